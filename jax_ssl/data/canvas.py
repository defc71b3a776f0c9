"""Decoding image files of any size, mode and orientation onto one canvas.

The host only decodes and shrinks; everything random happens on the accelerator. A
picture fills the top-left corner of a static frame, its "size" says how much, and its
"scale" how it was shrunk. A picture that fits is never touched: a canvas should leave
the usual picture of its set alone.
"""

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from jax_ssl.core import checks
from jax_ssl.core.fields import FILL, Fields, Window, resampled
from jax_ssl.data.bands import Channels, Sides, Stored
from jax_ssl.data.images import MAX_MEGAPIXELS, opened, pillow
from jax_ssl.data.ranges import Range
from jax_ssl.data.source import CorruptExamples, Rows, UnsetError

_BICUBIC = Image.Resampling.BICUBIC
# What sets a picture upright, by its orientation in EXIF 2.3; from 5 on its sides are
# exchanged.
_UPRIGHT = dict(
    enumerate(
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        start=2,
    )
)
# Of the images, how many a canvas that is advised should serve: a few panoramas would
# ask for a multiple of what all others need.
SERVED = 0.95


def sides_of(canvas: int | Sides) -> Sides:
    """(height, width) of a canvas; a number is the side of a square.

    Raises:
        ValueError: if a side is not at least 1 pixel.
    """
    height, width = (canvas, canvas) if isinstance(canvas, int) else canvas
    checks.at_least(1, **{"data.canvas": canvas})
    return height, width


def fitted(size: Sides, canvas: Sides) -> Sides:
    """The sides of a picture shrunk by min(1, H / h, W / w), at least 1 pixel each."""
    have, room = max(zip(size, canvas, strict=True), key=lambda pair: pair[0] / pair[1])
    if have <= room:
        return size
    height, width = (max(1, round(side * room / have)) for side in size)
    return height, width


def needed_for(canvas: Sides, size: Sides) -> Sides:
    """How many pixels of a picture a good shrinking into a canvas needs."""
    # Whether it will be turned is not known yet: no less than either way needs.
    ways = [fitted(size, sides) for sides in (canvas, canvas[::-1])]
    return 2 * max(height for height, _ in ways), 2 * max(width for _, width in ways)


def decode(
    data: bytes | BinaryIO,
    *,
    canvas: Sides | None = None,
    channels: Channels = 3,
    upright: bool = True,
    range: Range | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
    page: int = 0,
) -> tuple[np.ndarray, Sides]:
    """Decodes one image file and shrinks it into a canvas.

    Palettes, grey and CMYK images become RGB; transparent pixels are laid on white.
    Images are never enlarged.

    Args:
        data: the file, of one of `images.FORMATS`.
        canvas: (H, W) that the image is shrunk to fit, antialiased. None leaves the
            size alone.
        channels: 3 for RGB, 1 for grey; any other number for all bands of a file that
            has so many, and several for those bands.
        upright: whether to obey the EXIF orientation.
        range: what is black and white, see `ranges.Range`; None for all that the
            numbers of the file can say.
        max_megapixels: that may be decoded at once.
        page: out of `images.pages`; 0 for the first.

    Returns:
        Pixels [h, w, C] uint8, and the upright (height, width) of the file.

    Raises:
        UnsetError: if the file is whole, but these settings do not read it.
        Exception: of many types, if the file is broken; Pillow has no common one.

    Note:
        JPEGs are first reduced by 2, 4 or 8 while decoding, down to no less than twice
        the final size, which is several times faster for photographs.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    needed = None if canvas is None else functools.partial(needed_for, canvas)
    stored = opened(file, page, needed=needed, megapixels=max_megapixels)
    planes, size = upright_planes(stored, channels, range, upright=upright)
    if canvas is not None and planes[0].size != (new := fitted(size, canvas)[::-1]):
        planes = [plane.resize(new, _BICUBIC, reducing_gap=3.0) for plane in planes]
    return pixels_of(planes, channels), size


def upright_planes(
    stored: Stored, channels: Channels, range: Range | None, *, upright: bool = True
) -> tuple[list[Image.Image], Sides]:
    """An image as one picture or one for each band, and its (height, width) in full.

    Args:
        stored: the image, of which the header has been read.
        channels: as for `decode`.
        range: as for `decode`.
        upright: whether to obey the EXIF orientation.
    """
    planes = stored.planes(channels, range)
    orientation = stored.orientation() if upright else 1
    if orientation in _UPRIGHT:
        planes = [plane.transpose(_UPRIGHT[orientation]) for plane in planes]
    size = stored.size[::-1] if orientation in (5, 6, 7, 8) else stored.size
    return planes, size


def pixels_of(planes: Sequence[Image.Image], channels: Channels) -> np.ndarray:
    """Pictures of one size as one array [h, w, C] uint8; grey three times for RGB."""
    height, width = planes[0].height, planes[0].width
    arrays = [np.asarray(plane).reshape(height, width, -1) for plane in planes]
    pixels = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, -1)
    if channels == 3 and pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, -1)
    return pixels


def stored_values(data: bytes) -> np.ndarray:
    """The numbers in an image file as they are, [h, w] or [h, w, C].

    Of a palette the indices; 16 bits stay 16. For masks, depths and disparities, where
    a number is not a brightness.

    Raises:
        Exception: as `decode`.
    """
    return np.asarray(pillow(io.BytesIO(data)))


def shrink(
    example: Mapping[str, np.ndarray], fields: Fields, full: Sides, canvas: Sides
) -> dict[str, np.ndarray]:
    """Shrinks the pictures of one example into a canvas, and all that depends on it.

    Images and frames are antialiased, other pictures take the nearest pixel, and
    disparity, flow, boxes and matrix follow as `core.fields.resampled` says.

    Args:
        example: some fields of one example. Images may have been shrunk already, by
            `decode`.
        fields: what they are.
        full: (height, width) of the pictures in their file.
        canvas: (H, W).

    Returns:
        The same fields, and "size" [2] int32 and "scale" [2] float32, new / full.

    Raises:
        ValueError: if a picture does not have the size `full`, or the axes of its
            field.
    """
    new = fitted(full, canvas)
    vertical, horizontal = np.divide(full, new)
    window = Window((np.float64(0), np.float64(0)), (vertical, horizontal), new)
    out: dict[str, np.ndarray] = {}
    for name, value in example.items():
        field, at = fields[name], fields[name].rows_axis
        smooth = field.kind in ("image", "frames")
        have = full if at is None else value.shape[at : at + 2]
        if have != full and not (smooth and have == new):
            raise ValueError(f"{name} has {have} pixels, its picture {full}")
        if at is not None and value.ndim != len(field.shape):
            raise ValueError(
                f"{name} has the shape {value.shape}, where a {field.kind} has "
                f"{len(field.shape)} axes; a mask in colours must become a palette or "
                "grey values that are its numbers"
            )
        if have == new:
            out[name] = value
        elif smooth:
            out[name] = _antialiased(value, new)
        else:
            out[name] = resampled(value, field, window, np)
    out["size"] = np.array(new, np.int32)
    out["scale"] = np.divide(new, full).astype(np.float32)
    return out


def stack(
    rows: np.ndarray,
    read: Callable[[int], Mapping[str, Any]],
    where: Callable[[int], str],
    fields: Fields,
) -> Rows:
    """Lays examples on canvases, each value in the first corner of its array.

    Args:
        rows: [n] integers.
        read: decodes one row, into no value that is larger than its field.
        where: names the file of a row.
        fields: what to stack; of the example's other fields nothing is made.

    Returns:
        {name: [n, ...]} without "index"; what an example does not fill is 0, in a mask
        255 and in boxes -1.

    Raises:
        CorruptExamples: if `read` raised for some rows, with an account of them all.
    """
    out = {
        name: np.full((len(rows), *field.shape), FILL.get(field.kind, 0), field.dtype)
        for name, field in fields.items()
        if field.kind != "index"
    }
    reasons = {}
    for i, row in enumerate(rows.tolist()):
        try:
            example = read(row)
        except (ImportError, MemoryError):  # Faults of the machine, not of a file.
            raise
        except UnsetError as error:
            reasons[row] = f"{where(row)}: {error}"
            continue
        except Exception as error:  # Decoders fail in every way on broken files.
            reasons[row] = f"{where(row)}: {type(error).__name__}: {error}"
            continue
        for name, values in out.items():
            corner: Any = tuple(slice(side) for side in np.shape(example[name]))
            values[(i, *corner)] = example[name]
    if reasons:
        raise CorruptExamples(reasons)
    return out


@dataclass(frozen=True)
class CanvasReport:
    """What a canvas does to the images of a data set; made by `canvas_report`.

    Attributes:
        lacking: share of the images whose shorter side is less than the evaluation's
            view resizes it to, though the file's was not.
        needed: side of a square canvas that would leave the view enough of 95 % of the
            images, in pixels.
        sentence: these, and how many images were shrunk to what, for the log.
        warn: whether the canvas is too small for the view, in more than 5 % of images.
    """

    lacking: float
    needed: int
    sentence: str
    warn: bool


def canvas_report(rows: Rows, fields: Fields, resize: int | Sides = 0) -> CanvasReport:
    """What the canvas of a data set does to its images.

    Args:
        rows: a sample of examples, with "size" and "scale".
        fields: of the source.
        resize: what the evaluation's view resizes the shorter side to, or (height,
            width); 0 for a view that does not resize.
    """
    resize = resize if isinstance(resize, int) else min(resize)
    size = rows["size"].astype(np.float64)
    full = np.round(size / rows["scale"])
    factors = (size / full).mean(axis=1)
    small = factors < 1
    wanted = np.minimum(resize, full.min(axis=1))
    lacking = float((size.min(axis=1) < wanted).mean())
    long_sides = np.ceil(wanted / full.min(axis=1) * full.max(axis=1))
    needed = int(np.quantile(long_sides, SERVED, method="higher"))
    factor = factors[small].mean() if small.any() else 1.0
    height, width = next(f.sides for f in fields.values() if f.sides)
    sentence = (
        f"data.canvas: on {height} x {width} pixels {small.mean():.0%} of the images "
        f"are shrunk, to {factor:.0%} of their sides in the mean; the shortest side "
        f"left has {size.min():.0f} pixels."
    )
    warn = lacking > 1 - SERVED
    if warn:
        sentence += (
            f" The evaluation's view resizes the shorter side to {resize} pixels, more "
            f"than {lacking:.0%} of the images have left though their files have them: "
            f"set data.canvas = {needed}, which is enough for {SERVED:.0%} of them."
        )
    return CanvasReport(lacking, needed, sentence, warn)


def _antialiased(pixels: np.ndarray, size: Sides) -> np.ndarray:
    """Images [..., h, w, C] with other sides; float32 stays in [0, 1]."""
    if pixels.ndim > 3:
        return np.stack([_antialiased(frame, size) for frame in pixels])
    planes = [
        np.asarray(Image.fromarray(plane).resize(size[::-1], _BICUBIC))
        for plane in np.moveaxis(pixels, -1, 0)
    ]
    out = np.stack(planes, -1)
    return out if out.dtype == np.uint8 else out.clip(0, 1)
