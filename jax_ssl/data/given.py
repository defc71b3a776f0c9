"""Images that a program hands over: paths, pictures of Pillow, and arrays."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image

from jax_ssl.data import tiff
from jax_ssl.data.bands import Channels, Sides, Stored
from jax_ssl.data.canvas import decode, fitted, pixels_of, upright_planes
from jax_ssl.data.images import MAX_MEGAPIXELS, held, open_file
from jax_ssl.data.ranges import Range

Given: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray

_BICUBIC = Image.Resampling.BICUBIC
FILTERS = {"bicubic": _BICUBIC, "bilinear": Image.Resampling.BILINEAR}
# Bands of arrays by their number; those of others have no name.
BANDS = {1: ("grey",), 2: ("grey", "alpha"), 3: tiff.RGB, 4: (*tiff.RGB, "alpha")}
WHITE = {"uint8": 255.0, "uint16": 65535.0}


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How images of any size become arrays of one shape.

    Attributes:
        sides: (height, width) of the array.
        channels: as for `data.canvas.decode`.
        canvas: whether an image is shrunk to fit and laid into the first corner, as the
            sources with a canvas do. Otherwise it is scaled to cover the frame, and the
            middle of it is cut out.
        resize: what the shorter side is scaled to before the cut, where that is a
            square; None: no more than covers it.
        interpolation: of the scaling before the cut, "bicubic" or "bilinear".
        range: what is black and white, as for `data.canvas.decode`.
        max_megapixels: of a file that may be decoded at once.
    """

    sides: Sides
    channels: Channels = 3
    canvas: bool = False
    resize: int | None = None
    interpolation: str = "bicubic"
    range: Range | None = None
    max_megapixels: float = MAX_MEGAPIXELS

    def read(self, image: Given) -> tuple[np.ndarray, Sides]:
        """Pixels [h, w, C] uint8, and the (height, width) of the image in full.

        With a canvas h and w are what the image fills of it; else they are the frame's.

        Raises:
            ValueError: if it is no image, or the frame's settings do not read it.
            Exception: of many types, if a file is broken; Pillow has no common one.
        """
        if isinstance(image, str | os.PathLike):
            with open_file(os.fspath(image)) as file:
                pixels, size = decode(
                    file,
                    canvas=self.sides if self.canvas else None,
                    channels=self.channels,
                    range=self.range,
                    max_megapixels=self.max_megapixels,
                )
            if self.canvas:
                return pixels, size
            planes = _pictures(pixels)
        else:
            planes, size = upright_planes(stored(image), self.channels, self.range)
        if not self.canvas:
            return pixels_of(self._cut(planes), self.channels), size
        if planes[0].size != (new := fitted(size, self.sides)[::-1]):
            planes = [plane.resize(new, _BICUBIC, reducing_gap=3.0) for plane in planes]
        return pixels_of(planes, self.channels), size

    def _cut(self, planes: Sequence[Image.Image]) -> list[Image.Image]:
        """The middle of pictures that are scaled before, as torchvision does both."""
        (width, height), (high, wide) = planes[0].size, self.sides
        if self.resize is not None:  # The longer side is rounded down.
            short = min(width, height)
            new = self.resize * width // short, self.resize * height // short
        else:
            factor = max(high / height, wide / width)
            new = max(wide, round(width * factor)), max(high, round(height * factor))
        left, top = (round((n - s) / 2) for n, s in zip(new, (wide, high), strict=True))
        box = left, top, left + wide, top + high
        filter = FILTERS[self.interpolation]
        return [
            (plane if plane.size == new else plane.resize(new, filter)).crop(box)
            for plane in planes
        ]


def stored(image: Image.Image | np.ndarray) -> Stored:
    """A picture or an array as what `opened` makes of a file.

    Raises:
        ValueError: if it is neither, or an array of another shape or dtype.
    """
    if isinstance(image, Image.Image):
        return held(image)
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f"an image must be a path, a picture of Pillow or an array, not "
            f"{type(image).__name__}."
        )
    values = image[..., None] if image.ndim == 2 else image
    if values.ndim != 3 or 0 in values.shape or values.dtype.name not in WHITE:
        raise ValueError(
            f"an array of an image must be [height, width, channels] of uint8, or of "
            f"uint16, not {list(image.shape)} of {image.dtype}; brightness in [0, 1] "
            "is multiplied by 255 and rounded."
        )
    bands = BANDS.get(values.shape[-1], ("",) * values.shape[-1])
    return Stored(
        size=values.shape[:2],
        bands=bands,
        read=lambda: values,
        orientation=lambda: 1,
        dtype=values.dtype,
        white=WHITE[values.dtype.name],
    )


def _pictures(pixels: np.ndarray) -> list[Image.Image]:
    """Pixels [h, w, C] as one picture, or one for each band."""
    if pixels.shape[-1] == 3:
        return [Image.fromarray(pixels)]
    return [Image.fromarray(x.copy()) for x in np.moveaxis(pixels, -1, 0)]
