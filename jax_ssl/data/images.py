"""Image files, opened but not yet read.

The header of a file says what it holds, so what the settings cannot do with it is
refused before a pixel is decoded. Pillow opens the files, those of some formats alone;
where its picture would lack bits or bands of theirs, their numbers are read.
"""

import contextlib
import functools
import io
import math
import os
import stat
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile

from jax_ssl.data import tiff
from jax_ssl.data.bands import Sides, Stored
from jax_ssl.data.places import remote, whole
from jax_ssl.data.source import UnsetError

# Not the others that Pillow knows: they are rare, and EPS would start a program.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF")
# Those whose pictures after the first are no previews, as cameras put into a JPEG.
ANIMATED = ("AVIF", "GIF", "PNG", "WEBP")
MAX_MEGAPIXELS = 250.0
WORD = np.dtype("uint16")

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


def open_file(path: str) -> BinaryIO:
    """Opens a file for reading, but nothing that its reader might wait for.

    What lies in a bucket is read as a whole.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is a FIFO, a device or a socket, or is empty.
    """
    if remote(path):
        if data := whole(path):
            return io.BytesIO(data)
        raise ValueError("the file is empty")

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
        UnsetError: if more would have to be decoded, or the numbers of a TIFF are of
            a type that cannot be read.
        ValueError: if it is not an image of the `FORMATS`.
    """
    if tiff.is_tiff(_head(file)):
        sheet = tiff.Page(file, page)
        least, most = _factors(sheet.size, needed, megapixels)
        factor = min(least, most) if least > 1 and sheet.in_parts else 1
        _refuse_large("TIFF", sheet.size, factor, megapixels)
        if factor > 1 or not sheet.plain:
            sheet.refuse_unread()
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


def held(image: Image.Image) -> Stored:
    """A picture of Pillow that is in memory, as if it had come from a file."""
    facts: dict[str, Any] = {"bands": _BANDS.get(image.mode, image.getbands())}
    if image.mode[0] in "IF":
        facts = _numbers(image)
    elif image.has_transparency_data and "alpha" not in facts["bands"]:
        facts["bands"] += ("alpha",)
    read: Any = lambda: image
    turn = functools.partial(_turn, image)
    return Stored(
        **{"size": image.size[::-1], "read": read, "orientation": turn, **facts}
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
    return _numbers(image) if image.mode[0] in "IF" else None


def _numbers(image: Any) -> dict[str, Any]:
    """Facts of a picture whose only band has numbers of more than 8 bits."""
    facts = {"bands": _GREY, "read": functools.partial(np.asarray, image)}
    if image.mode == "F":
        return {**facts, "dtype": np.dtype("float32"), "white": None}
    return {**facts, "dtype": WORD, "white": 65535.0}


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
