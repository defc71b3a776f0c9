"""Pages of TIFF files as the numbers that they hold: any depth, any number of bands.

Pillow reads pictures of at most four bands, most of them with 8 bits. Its decoders
undo the compression of any numbers, though: a part of a page is handed to them as a
grey picture of single bytes, and NumPy makes numbers of these.
"""

import io
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from jax_ssl.data.source import UnsetError

# Tags of TIFF 6.0 and its supplements.
SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
FILL_ORDER, STRIPS, ORIENTATION, SAMPLES = 266, 273, 274, 277
STRIP_ROWS, STRIP_BYTES, PLANAR, PREDICTOR = 278, 279, 284, 317
TILE_WIDTH, TILE_ROWS, TILES, TILE_BYTES, EXTRA, FORMAT = 322, 323, 324, 325, 338, 339
DIRECTORIES = (330, 34665, 34853)  # Tags that lead to further directories.

NO_PAGE = 1 | 4  # Bits of SUBFILE: another page in fewer pixels, the mask of one.
RGB = ("red", "green", "blue")
CMYK = ("cyan", "magenta", "yellow", "black")
# The bands by PHOTOMETRIC; the numbers of 6 are YCbCr, those of others no colours.
COLOURS = {0: ("grey",), 1: ("grey",), 2: RGB, 5: CMYK, 6: RGB}
YCBCR = 6
ALPHA = (1, 2)  # Of EXTRA; of 1, the colours have been multiplied by it.
# Compressions of bytes: none, LZW, Deflate (twice), PackBits, LZMA and Zstandard.
OF_BYTES = (1, 5, 8, 32946, 32773, 34925, 50000)
MOST_SHRUNK = 2**16  # Bytes that one compressed byte may stand for.
COMPLEX = (5, 6)  # Integers, and floats.
KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}  # Of numbers, by FORMAT.
AT_ONCE = 2**24  # Pixels of the parts in which a large page is read.

LONG = 4  # One of the types of entries. The bytes of a value of each:
TYPE_BYTES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), start=1))
TYPE_BYTES |= {16: 8, 17: 8, 18: 8}
WHOLE = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}


class Entry(NamedTuple):
    """One entry of a directory."""

    type: int
    length: int  # How many values.
    data: bytes  # The values, or where in the file they are.


class Parts(NamedTuple):
    """The strips or tiles of a page, row by row, and of each band where it is alone."""

    offsets: Sequence[int]
    sizes: Sequence[int]  # Bytes of each.
    rows: int  # Pixels of each
    width: int
    down: int  # and how many there are.
    across: int


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins so is a TIFF or a BigTIFF."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def pages(file: BinaryIO) -> list[int]:
    """Where the directories of a TIFF's pages are; smaller copies and masks are none.

    Raises:
        ValueError: if the file ends before its last page.
    """
    page, seen, found = Page(file), set[int](), []
    first = page.offset
    while page.offset not in seen:  # A damaged file may lead in a circle.
        seen.add(page.offset)
        if not page.value(SUBFILE, 0) & NO_PAGE:
            found.append(page.offset)
        if page.following:
            page = Page(file, page.following)
    return found or [first]


class Page:
    """One page of a TIFF; nothing but its directory is read before it must be.

    Attributes:
        offset: of its directory in the file.
        following: offset of the next directory; 0 for the last page.
        size: (height, width), as stored.
        bands: their names, "" for those that the file does not name.
        bits: of each number.
    """

    def __init__(self, file: BinaryIO, offset: int = 0) -> None:
        """Reads a directory.

        Args:
            file: the TIFF.
            offset: of the directory; 0 for the first one.

        Raises:
            ValueError: if the file ends inside of the directory, or that lacks what
                every page has.
            UnsetError: if its bands have different depths.
        """
        self._file, self._end = file, file.seek(0, io.SEEK_END)
        head = self._bytes(0, 4)
        self._order = "<" if head[:2] == b"II" else ">"
        big = b"+" in head
        pointer, entry, counter = (8, "HHQ8s", 8) if big else (4, "HHI4s", 2)
        self.offset = offset or self._number(pointer, pointer)
        at = self.offset + counter
        size = self._number(self.offset, counter) * struct.calcsize("<" + entry)
        listed = struct.iter_unpack(self._order + entry, self._bytes(at, size))
        self._entries = {tag: Entry(*rest) for tag, *rest in listed}
        # Some writers leave out the pointer behind the last directory.
        more = at + size + pointer <= self._end
        self.following = self._number(at + size, pointer) if more else 0

        self.size = self.value(LENGTH), self.value(WIDTH)
        self._photometric = self.value(PHOTOMETRIC, 1)
        depths = self.values(BITS, (1,))
        self.bits, self._format = depths[0], self.value(FORMAT, 1)
        if len(set(depths)) > 1:
            raise UnsetError(
                f"its bands have different depths, {depths} bits; write it again with "
                "one depth for all, or move it away"
            )
        colours = COLOURS.get(self._photometric, ("",))
        samples = self.value(SAMPLES, len(colours))
        if min(*self.size, samples, self.bits) < 1 or samples >= 2**16:
            raise ValueError(
                f"the TIFF says {self.size} pixels of {samples} bands, {self.bits} bits"
            )
        extra = ["alpha" if kind in ALPHA else "" for kind in self.values(EXTRA, ())]
        names = [*colours[:samples], *extra, *[""] * samples]
        self.bands = tuple(names[:samples])

    @property
    def plain(self) -> bool:
        """Whether it is a picture that Pillow reads, with nothing of it lost."""
        if self._photometric not in COLOURS or self._photometric == YCBCR:
            return True
        usual = self.bits == 8 or (self.bits in (1, 2, 4) and len(self.bands) == 1)
        known = "" not in self.bands and self.bands.count("alpha") <= 1
        return usual and known and self._format == 1

    @property
    def in_parts(self) -> bool:
        """Whether it can be read in parts, its numbers being brightness."""
        return self._photometric in COLOURS and self._parts.down > 1

    @property
    def white(self) -> float | None:
        """What full brightness is; None where the type of the numbers has none."""
        return 2.0**self.bits - 1 if self._format == 1 and self.bits <= 16 else None

    @property
    def negative(self) -> bool:
        """Whether small numbers are bright."""
        return self._photometric == 0

    @property
    def premultiplied(self) -> bool:
        """Whether the colours have been multiplied by the alpha."""
        return ALPHA[0] in self.values(EXTRA, ())

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers; packed ones get the next larger one.

        Raises:
            UnsetError: for complex numbers, and floats of unusual sizes.
        """
        kind, size = KINDS.get(self._format), self.bits // 8
        if kind == "u":
            size = next((size for size in (1, 2, 4, 8) if self.bits <= 8 * size), 0)
        try:
            return np.dtype(f"{self._order}{kind}{size}")
        except TypeError:
            words = "complex numbers" if self._format in COMPLEX else "numbers"
            raise UnsetError(
                f"its {words} of {self.bits} bits in TIFF's format {self._format} "
                "cannot be read; write it again with integers or floats, of complex "
                "numbers the magnitude or two bands, or move it away"
            ) from None

    def refuse_unread(self) -> None:
        """Refuses numbers that are compressed in a way that cannot be undone.

        Raises:
            UnsetError: naming the compression.
        """
        scheme = self.value(COMPRESSION, 1)
        if scheme not in OF_BYTES and not self.plain:
            count = len(self.bands)
            raise UnsetError(
                f"{count} band{'s' * (count > 1)} of {self.dtype.name} that TIFF's "
                f"scheme {scheme} compresses cannot be read; write it again without "
                "compression or with Deflate, or move it away"
            )

    def values(self, tag: int, default: Sequence[int] | None = None) -> Sequence[int]:
        """The whole numbers of an entry.

        Raises:
            ValueError: if there is no such entry and no default.
        """
        if default is not None and tag not in self._entries:
            return default
        entry = self._entry(tag)
        if entry.type not in WHOLE or not entry.length:
            raise ValueError(f"entry {tag} of the TIFF has no whole number")
        return np.frombuffer(entry.data, self._order + WHOLE[entry.type]).tolist()

    def value(self, tag: int, default: int | None = None) -> int:
        """The first of the `values`."""
        return self.values(tag, None if default is None else (default,))[0]

    def alone(self) -> io.BytesIO:
        """The page in a file of its own, as it is stored."""
        entries = {tag: self._entry(tag) for tag in {*self._entries} - {*DIRECTORIES}}
        return self._file_of(entries, range(len(self._parts.offsets)))

    def numbers(self, factor: int = 1) -> np.ndarray:
        """All numbers, [h / factor, w / factor, bands], the sides rounded up.

        Args:
            factor: side of the squares whose mean each number is; above 1, a page of
                several strips or tiles is never in memory as a whole.
        """
        parts, (height, width) = self._parts, self.size
        step = parts.down
        if factor > 1:  # So many rows of parts that whole squares lie in them.
            step = factor // math.gcd(factor, parts.rows)
            step *= max(1, AT_ONCE // (step * parts.rows * width))
        found = []
        for first in range(0, parts.down, step):
            read = self._read(first, min(first + step, parts.down))
            rest = height - first * parts.rows
            found.append(_shrunk(read[:rest, :width], factor))
        return np.concatenate(found)

    @cached_property
    def _parts(self) -> Parts:
        height, width = self.size
        tiled = TILES in self._entries
        rows = self.value(TILE_ROWS if tiled else STRIP_ROWS, height)
        rows, each = (
            (rows, self.value(TILE_WIDTH)) if tiled else (min(rows, height), width)
        )
        down, across = -(-height // rows), -(-width // each)
        offsets = list(self.values(TILES if tiled else STRIPS))
        if self.value(COMPRESSION, 1) == 1 and not tiled and down == 1:
            # Shorter strips, of which a few can be read.
            line = self._line(each)
            rows = min(rows, max(1, AT_ONCE // each))
            starts = range(0, height, rows)
            offsets = [at + start * line for at in offsets for start in starts]
            sizes = [line * min(rows, height - start) for start in starts]
            sizes, down = sizes * self._planes, len(starts)
        else:
            sizes = list(self.values(TILE_BYTES if tiled else STRIP_BYTES))
        if not len(offsets) == len(sizes) == self._planes * down * across:
            raise ValueError("its strips or tiles do not make up the page")
        return Parts(offsets, sizes, rows, each, down, across)

    @property
    def _planes(self) -> int:
        """How often the page is stored: once, or once for every band."""
        return len(self.bands) if self.value(PLANAR, 1) == 2 else 1

    def _line(self, width: int) -> int:
        """Bytes of a row of so many pixels."""
        return math.ceil(width * len(self.bands) // self._planes * self.bits / 8)

    def _read(self, first: int, last: int) -> np.ndarray:
        """Numbers [rows, columns, bands] of some rows of parts, padding included."""
        parts, (height, _) = self._parts, self.size
        rows = (last - first) * parts.rows
        if TILES not in self._entries:  # The last strip is shorter, not padded.
            rows = min(rows, height - first * parts.rows)
        ends = (first * parts.across, last * parts.across)
        scheme = self.value(COMPRESSION, 1)
        chosen = [
            range(*(plane * parts.down * parts.across + end for end in ends))
            for plane in range(self._planes)
        ]
        stored = sum(parts.sizes[i] for each in chosen for i in each)
        wanted = rows * self._line(parts.width) * parts.across * self._planes
        if wanted > stored * (1 if scheme == 1 else MOST_SHRUNK):
            raise ValueError(f"{stored} bytes cannot be {wanted} bytes of numbers")
        if scheme in OF_BYTES:
            return np.concatenate([self._by_bytes(rows, each) for each in chosen], -1)
        self.refuse_unread()
        return self._by_pillow(rows, [i for each in chosen for i in each])

    def _by_pillow(self, rows: int, chosen: Sequence[int]) -> np.ndarray:
        """Those parts as the picture that Pillow sees there, as numbers of the file."""
        left_out = {*DIRECTORIES, ORIENTATION}
        entries = {tag: self._entry(tag) for tag in {*self._entries} - left_out}
        entries |= self._longs({LENGTH: [rows]})
        read = np.asarray(TiffImageFile(self._file_of(entries, chosen)))
        read = read.reshape(*read.shape[:2], -1).astype(np.uint8)
        # Pillow has turned negatives round.
        return np.uint8(self.white or 255) - read if self.negative else read

    def _by_bytes(self, rows: int, chosen: Sequence[int]) -> np.ndarray:
        """The numbers of those parts, which lie side by side in rows."""
        parts, bands = self._parts, len(self.bands) // self._planes
        line = self._line(parts.width)
        facts = {WIDTH: [line * parts.across], LENGTH: [rows], BITS: [8], SAMPLES: [1]}
        facts |= {PHOTOMETRIC: [1], COMPRESSION: [self.value(COMPRESSION, 1)]}
        facts |= {FILL_ORDER: [self.value(FILL_ORDER, 1)]}
        if TILES in self._entries:
            facts |= {TILE_WIDTH: [line], TILE_ROWS: [parts.rows]}
        else:
            facts |= {STRIP_ROWS: [parts.rows]}
        image = TiffImageFile(self._file_of(self._longs(facts), chosen))
        read = np.asarray(image).reshape(rows, parts.across, line)
        return self._unpacked(read, bands).reshape(rows, -1, bands)

    def _unpacked(self, read: np.ndarray, bands: int) -> np.ndarray:
        """Rows of bytes [..., n] as numbers [..., pixels, bands]."""
        *lead, size = read.shape
        predictor, dtype = self.value(PREDICTOR, 1), self.dtype
        if self.bits != 8 * dtype.itemsize:
            count = size * 8 // self.bits // bands * bands
            digits = np.unpackbits(read, axis=-1)[..., : count * self.bits]
            digits = digits.reshape(*lead, -1, bands, self.bits)
            kind = dtype.newbyteorder("=")
            return digits @ (2 ** np.arange(self.bits - 1, -1, -1, dtype=kind))
        if predictor == 3:  # Differences of bytes, the highest of all numbers first.
            read = read.reshape(*lead, -1, bands).cumsum(axis=-2, dtype=np.uint8)
            read = read.reshape(*lead, dtype.itemsize, -1).swapaxes(-1, -2)
            read, dtype = np.ascontiguousarray(read), dtype.newbyteorder(">")
            return read.view(dtype).reshape(*lead, -1, bands)
        values = read.view(dtype).reshape(*lead, -1, bands)
        if predictor == 2:  # Differences of numbers as if they were whole.
            whole = values.view(f"{dtype.byteorder}u{dtype.itemsize}")
            whole = whole.cumsum(axis=-2, dtype=f"u{dtype.itemsize}")
            values = whole.view(dtype.newbyteorder("="))
        return values

    def _file_of(
        self, entries: Mapping[int, Entry], chosen: Iterable[int]
    ) -> io.BytesIO:
        """A TIFF of those strips or tiles alone.

        Args:
            entries: of its directory, but for where they are.
            chosen: their places among all.
        """
        parts, tiled = self._parts, TILES in self._entries
        sizes = [parts.sizes[i] for i in chosen]
        starts = np.cumsum([8, *sizes])
        where = {TILES if tiled else STRIPS: starts[:-1].tolist()}
        where |= {TILE_BYTES if tiled else STRIP_BYTES: sizes}
        data = b"".join(self._bytes(parts.offsets[i], parts.sizes[i]) for i in chosen)
        listed, behind = b"", b""
        entries = {**entries, **self._longs(where)}
        end = 8 + len(data) + 2 + 12 * len(entries) + 4
        for tag, entry in sorted(entries.items()):
            kind, count, values = self._narrow(entry)
            field = values
            if len(values) > 4:
                field = struct.pack(self._order + "I", end + len(behind))
                behind += values
            head = struct.pack(self._order + "HHI", tag, kind, count)
            listed += head + field.ljust(4, b"\0")
        mark = b"II*\0" if self._order == "<" else b"MM\0*"
        start = struct.pack(self._order + "I", 8 + len(data))
        number = struct.pack(self._order + "H", len(entries))
        return io.BytesIO(mark + start + data + number + listed + bytes(4) + behind)

    def _longs(self, facts: Mapping[int, Sequence[int]]) -> dict[int, Entry]:
        """Entries that hold these numbers."""
        order = self._order + "u4"
        return {
            tag: Entry(LONG, len(values), np.array(values, order).tobytes())
            for tag, values in facts.items()
        }

    def _narrow(self, entry: Entry) -> Entry:
        """An entry as a TIFF has it, where it is one of BigTIFF alone."""
        if entry.type not in (16, 18):
            return entry
        values = np.frombuffer(entry.data, self._order + "u8").astype(
            self._order + "u4"
        )
        return Entry(LONG, entry.length, values.tobytes())

    def _entry(self, tag: int) -> Entry:
        """An entry with its values.

        Raises:
            ValueError: if there is none.
        """
        if tag not in self._entries or self._entries[tag].type not in TYPE_BYTES:
            raise ValueError(f"the TIFF has no entry {tag}")
        kind, count, data = self._entries[tag]
        size = count * TYPE_BYTES[kind]
        if size > len(data):
            data = self._bytes(self._whole(data), size)
        return Entry(kind, count, data[:size])

    def _number(self, at: int, size: int) -> int:
        """The whole number of so many bytes at a place of the file."""
        return self._whole(self._bytes(at, size))

    def _whole(self, data: bytes) -> int:
        return int.from_bytes(data, "little" if self._order == "<" else "big")

    def _bytes(self, at: int, size: int) -> bytes:
        if at + size > self._end:
            raise ValueError(f"the file ends before byte {at + size}; it is truncated")
        self._file.seek(at)
        return self._file.read(size)


def _shrunk(values: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares, [h / factor, w / factor, bands] float32, rounded up."""
    if factor == 1:
        return values
    planes = [np.array(plane, np.float32) for plane in np.moveaxis(values, -1, 0)]
    small = [np.asarray(Image.fromarray(plane).reduce(factor)) for plane in planes]
    return np.stack(small, -1)
