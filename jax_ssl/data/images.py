"""Image files, opened but not yet read, and how they become pixels of 8 bits.

The header of a file says what it holds, so what the settings cannot do with it is
refused before a pixel is decoded. Pillow opens the files, those of some formats alone;
where its picture would lack bits or bands of theirs, their numbers are read.
"""

import contextlib
import functools
import math
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile

from jax_ssl.core import checks
from jax_ssl.data import tiff
from jax_ssl.data.ranges import ADVICE, Range, bounds, in_range
from jax_ssl.data.source import UnsetError

Sides = tuple[int, int]  # (height, width) in pixels.
Channels = int | tuple[int, ...]  # How many, or which bands, counted from 0.

# Not the others that Pillow knows: they are rare, and EPS would start a program.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF")
# Those whose pictures after the first are no previews, as cameras put into a JPEG.
ANIMATED = ("AVIF", "GIF", "PNG", "WEBP")
MAX_MEGAPIXELS = 250.0
BYTE, WORD = np.dtype("uint8"), np.dtype("uint16")

_GREY = ("grey",)
# Bands of Pillow's modes, the last four as they are converted.
_BANDS = {
    "1": _GREY,
    "L": _GREY,
    "LA": (*_GREY, "alpha"),
    "La": (*_GREY, "alpha"),
    "RGB": tiff.RGB,
    "RGBA": (*tiff.RGB, "alpha"),
    "RGBa": (*tiff.RGB, "alpha"),
    "CMYK": tiff.CMYK,
    "P": tiff.RGB,
    "PA": (*tiff.RGB, "alpha"),
    "YCbCr": tiff.RGB,
    "LAB": tiff.RGB,
}


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An image in a file, of which the header has been read.

    Attributes:
        size: (height, width) before it is set upright.
        bands: their names, "" where the file has none.
        read: gives a picture of 8 bits, or numbers [h, w, bands]; perhaps smaller.
        orientation: gives that of EXIF, 1 to 8; to be asked when it has been read.
        dtype: of the numbers.
        white: full brightness; None where the type of the numbers has none.
        negative: whether small numbers are bright.
        premultiplied: whether the colours have been multiplied by the alpha.
    """

    size: Sides
    bands: tuple[str, ...]
    read: Callable[[], Image.Image | np.ndarray]
    orientation: Callable[[], int]
    dtype: np.dtype = BYTE
    white: float | None = 255.0
    negative: bool = False
    premultiplied: bool = False

    def check(self, channels: Channels, range: Range | None) -> tuple[int, ...] | None:
        """Whether it can be read so: the bands to take, or None for it as a picture.

        Raises:
            UnsetError: naming what it holds, and the setting that would read it.
        """
        if self.white is None and range is None:
            raise UnsetError(
                f"its numbers are {self.dtype.name}, which have no known range: "
                f"{ADVICE}"
            )
        count = len(self.bands)
        if isinstance(channels, tuple):
            if max(channels) < count:
                return channels
        elif channels in (1, 3) and self.pictorial:
            return None
        elif channels == count:
            return (*np.arange(count).tolist(),)
        named = [name for name in self.bands if name]
        named += [f"{count - len(named)} without a name"] * (len(named) < count)
        raise UnsetError(
            f"it has {count} band{'s' * (count > 1)} ({', '.join(named)}), and "
            f"data.channels = {channels}; set data.channels = {count}, or to the bands "
            "to take, counted from 0, such as (0, 1, 2)"
        )

    @property
    def pictorial(self) -> bool:
        """Whether the bands are colours, and perhaps one alpha."""
        return "" not in self.bands and self.bands.count("alpha") <= 1

    def planes(self, channels: Channels, range: Range | None) -> list[Image.Image]:
        """One picture, RGB or grey, where it can be one; otherwise one for each band.

        Args:
            channels: 3 for RGB and 1 for grey, or another number of bands, or which.
            range: what is black and white; None for all that the numbers can say. An
                image of 8 bits whose numbers do not reach it keeps its own.

        Raises:
            UnsetError: as `check` does.
            Exception: of many types, if the file is broken.
        """
        chosen = self.check(channels, range)
        own = [end for end in range or () if not isinstance(end, str)]
        if self.white == 255 and max(own, default=0) > 255:
            range = None
        image = self.read()
        if chosen is not None:
            if isinstance(image, Image.Image):
                image = np.asarray(_apart(image))
            values = image.reshape(*image.shape[:2], -1)[..., list(chosen)]
            pixels = self._pixels(values, range)
            return [Image.fromarray(x.copy()) for x in np.moveaxis(pixels, -1, 0)]
        if isinstance(image, Image.Image):
            image = _flat(image, grey=channels == 1)
            if range is not None:
                image = Image.fromarray(self._pixels(np.asarray(image), range))
            return [image]
        return [_flat(self._picture(image, range), grey=channels == 1)]

    def _pixels(self, values: np.ndarray, range: Range | None) -> np.ndarray:
        low, high = (0.0, self.white or 1.0) if range is None else bounds(values, range)
        pixels = in_range(values, low, high, BYTE)
        return 255 - pixels if self.negative else pixels

    def _picture(self, values: np.ndarray, range: Range | None) -> Image.Image:
        """Numbers of colours, and perhaps alpha, as the picture that they make."""
        values = values.reshape(*values.shape[:2], -1)
        colours = len(self.bands) - self.bands.count("alpha")
        pixels = self._pixels(values[..., :colours], range)
        if colours < len(self.bands):
            whole = np.iinfo(self.dtype).max if self.dtype.kind in "iu" else 1.0
            top = self.white or whole
            alpha = in_range(values[..., colours:], 0.0, top, BYTE)
            pixels = np.concatenate([pixels, alpha], -1)
        modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
        mode = "CMYK" if self.bands == tiff.CMYK else modes[pixels.shape[-1]]
        mode = mode.replace("A", "a") if self.premultiplied else mode
        return Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())


def count_of(channels: Channels) -> int:
    """How many bands an image gets.

    Raises:
        ValueError: if there is none, or one that cannot be counted.
    """
    if isinstance(channels, int):
        checks.at_least(1, **{"data.channels": channels})
        return channels
    checks.at_least(0, **{"data.channels": channels or -1})
    return len(channels)


def open_file(path: str) -> BinaryIO:
    """Opens a file for reading, but nothing that its reader might wait for.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is a FIFO, a device or a socket, or is empty.
    """

    def opener(path: str, flags: int) -> int:
        # With it, to open a FIFO does not wait for who writes into it.
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

    file = open(path, "rb", opener=opener)  # noqa: SIM115 - it is the caller's
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and found.st_size:
        return file
    file.close()
    # Files of the system, such as those of /proc, have no size and may make one wait.
    regular = stat.S_ISREG(found.st_mode)
    raise ValueError(
        "the file is empty" if regular else "it is a FIFO, a device or a socket"
    )


def opened(
    file: BinaryIO,
    page: int = 0,
    *,
    needed: Callable[[Sides], Sides] | None = None,
    megapixels: float = MAX_MEGAPIXELS,
) -> Stored:
    """Reads the header of an image file.

    Args:
        file: of any format.
        page: out of `pages`; 0 for the first.
        needed: of its (height, width), how many pixels must be left of it; None for
            all. JPEGs are reduced by 2, 4 or 8 while decoding, where that leaves them.
        megapixels: that may be decoded at once. Larger TIFFs and JPEG 2000s are reduced
            while they are read.

    Raises:
        UnsetError: if more would have to be decoded.
        ValueError: if it is not an image of the `FORMATS`.
    """
    if tiff.is_tiff(_head(file)):
        sheet = tiff.Page(file, page)
        least, most = _factors(sheet.size, needed, megapixels)
        factor = min(least, most) if least > 1 and sheet.in_parts else 1
        _refuse_large("TIFF", sheet.size, factor, megapixels)
        if factor > 1 or not sheet.plain:
            return Stored(
                size=sheet.size,
                bands=sheet.bands,
                read=functools.partial(sheet.numbers, factor),
                orientation=functools.partial(sheet.value, tiff.ORIENTATION, 1),
                dtype=sheet.dtype,
                white=sheet.white,
                negative=sheet.negative,
                premultiplied=sheet.premultiplied,
            )
        file = sheet.alone() if page else file
    image: Any = pillow(file)
    size, factor = image.size[::-1], 1
    if page and image.format != "TIFF":
        image.seek(page)
    elif deep := _deep(image, file):
        _refuse_large(str(image.format), size, 1, megapixels)
        return Stored(size=size, orientation=functools.partial(_turn, image), **deep)
    least, most = _factors(size, needed, megapixels)
    if image.format == "JPEG2000" and least > 1:
        powers = [p for p in range(_levels(file) + 1) if _halved(size, p, most)]
        power = next((p for p in powers if 2**p >= least), powers[-1])
        image.reduce, factor = power, 2**power
    elif needed is not None and image.draft(None, needed(size)[::-1]):
        factor = round(size[0] / image.size[1])
    _refuse_large(str(image.format), size, factor, megapixels)
    bands = _BANDS.get(image.mode, image.getbands())
    if image.has_transparency_data and "alpha" not in bands:
        bands = (*bands, "alpha")

    def read() -> Image.Image:
        # Asking a PNG for its EXIF would load it too, and swallow what is wrong.
        image.load()
        return image

    return Stored(
        size=size, bands=bands, read=read, orientation=functools.partial(_turn, image)
    )


def pages(file: BinaryIO) -> list[int]:
    """The pages of a file, or the frames of an animation, as `opened` takes them."""
    if tiff.is_tiff(_head(file)):
        return tiff.pages(file)
    image = pillow(file)
    several = image.format in ANIMATED
    return list(range(getattr(image, "n_frames", 1) if several else 1))


def pillow(file: BinaryIO) -> ImageFile.ImageFile:
    """A file opened by Pillow, if it is of one of the `FORMATS`.

    Pillow's own function has limits of its own for large images.

    Raises:
        ValueError: if it is not.
    """
    head, failed = _head(file), ""
    Image.init()
    for name in FORMATS:
        factory, accepts = Image.OPEN.get(name, (None, None))
        if factory is None or accepts is None or accepts(head) is not True:
            continue
        try:
            return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            failed = f", as a {name} does, but: {error}"
            file.seek(0)
    raise ValueError(
        f"not an image of a format that is read ({', '.join(FORMATS)}); it begins with "
        f"{head!r}{failed}"
    )


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    if not head:
        raise ValueError("the file is empty")
    return head


def _factors(
    size: Sides, needed: Callable[[Sides], Sides] | None, megapixels: float
) -> tuple[int, int]:
    """How many pixels of a side must become one, and how many may, from 1 on."""
    least = math.ceil(math.sqrt(math.prod(size) / 1e6 / megapixels))
    pairs = zip(size, size if needed is None else needed(size), strict=True)
    return max(1, least), max(1, min(have // wanted for have, wanted in pairs))


def _refuse_large(format: str, size: Sides, factor: int, megapixels: float) -> None:
    decoded = math.prod(size) / factor**2 / 1e6
    if decoded <= megapixels:
        return
    height, width = size
    smaller = f", read as {decoded:.0f}" if factor > 1 else ""
    raise UnsetError(
        f"it has {height} x {width} pixels, {height * width / 1e6:.0f} million"
        f"{smaller}, and this {format} cannot be read in fewer; set "
        f"data.max_megapixels = {math.ceil(decoded)} (now {megapixels:g}), which takes "
        f"{math.ceil(4 * decoded)} MB or more of each thread"
    )


def _deep(image: Any, file: BinaryIO) -> dict[str, Any] | None:
    """Facts of a file whose numbers Pillow's picture would lose; None for others."""
    codec, _, at, args = image.tile[0] if image.tile else ("", (), 0, "")
    rawmode, *more = (args,) if isinstance(args, str) else args
    deep = str(rawmode).endswith(";16B")
    if image.format == "PNG" and deep:
        bands = _BANDS[rawmode.removesuffix(";16B").replace("I", "L")]
        bands += ("alpha",) * ("transparency" in image.info)
        read: Any = functools.partial(_halves, image, file)
        return {"bands": bands, "read": read, "dtype": WORD, "white": 65535.0}
    white = 65535 if deep else more[0] if codec == "ppm" else 255
    if image.format == "PPM" and codec != "ppm_plain" and white > 255:
        bands = tiff.RGB if image.mode == "RGB" else _GREY
        shape = (*image.size[::-1], len(bands))

        def numbers() -> np.ndarray:
            file.seek(at)
            data = file.read(2 * math.prod(shape))
            return np.frombuffer(data, ">u2").reshape(shape)

        return {"bands": bands, "read": numbers, "dtype": WORD, "white": float(white)}
    if image.mode[0] in "IF":
        facts = {"bands": _GREY, "read": functools.partial(np.asarray, image)}
        if image.mode == "F":
            return {**facts, "dtype": np.dtype("float32"), "white": None}
        return {**facts, "dtype": WORD, "white": 65535.0}
    return None


def _halves(image: Any, file: BinaryIO) -> np.ndarray:
    """Numbers of 16 bits [h, w, bands] of a PNG, of which Pillow keeps the upper 8."""
    *tile, rawmode = image.tile[0]
    if rawmode == "I;16B":
        values = np.asarray(image)
    elif rawmode == "LA;16B":  # As long as four bands of 8 bits.
        image.tile = [(*tile, "RGBA")]
        values = np.asarray(image).view(">u2")
    else:  # To the decoder of the other byte order, the lower half is the upper.
        lower: Any = pillow(file)
        lower.tile = [(*tile, rawmode.replace("16B", "16L"))]
        low = np.asarray(lower)
        file.seek(0)
        values = 256 * np.asarray(image).astype(np.uint16) + low
    values = values.reshape(*values.shape[:2], -1).astype(np.uint16)
    if (key := image.info.get("transparency")) is not None:
        alpha = (values != key).any(-1, keepdims=True) * np.uint16(65535)
        values = np.concatenate([values, alpha], -1)
    return values


def _levels(file: BinaryIO) -> int:
    """How often a JPEG 2000 may be halved while it is read."""
    file.seek(0)
    data = file.read(2**16)
    file.seek(0)
    at = data.find(b"\xff\x52")  # The marker COD; its tenth byte counts them.
    return data[at + 9] if 0 <= at < len(data) - 9 else 0


def _halved(size: Sides, times: int, most: int) -> bool:
    """Whether a JPEG 2000 may be halved so often, and by Pillow.

    The decoder rounds its sides up, and Pillow believes that to the nearest.
    """
    side = 2**times
    same = all(-(-have // side) == (have + side // 2) // side for have in size)
    return same and side <= most


def _turn(image: Image.Image) -> int:
    """The orientation in EXIF; broken metadata leave an image as it is."""
    with contextlib.suppress(Exception):
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _flat(image: Image.Image, *, grey: bool) -> Image.Image:
    """A picture in grey, or RGB unless it is grey anyway, laid on white."""
    if image.has_transparency_data:
        image = image.convert("LA") if image.mode == "La" else image
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    mode = "L" if grey or image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _apart(image: Image.Image) -> Image.Image:
    """A picture whose bands are numbers on their own."""
    modes = {"1": "L", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
    mode = modes.get(image.mode, image.mode)
    if mode in ("P", "YCbCr", "LAB"):
        mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)
