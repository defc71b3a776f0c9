"""The bands of an image in a file, and how their numbers become pixels of 8 bits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jax_ssl.core import checks
from jax_ssl.data import tiff
from jax_ssl.data.ranges import ADVICE, Range, bounds, in_range
from jax_ssl.data.source import UnsetError

Sides = tuple[int, int]  # (height, width) in pixels.
Channels = int | tuple[int, ...]  # How many, or which bands, counted from 0.
BYTE = np.dtype("uint8")


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
            f"to take, counted from 0, such as {(*np.arange(min(count, 3)).tolist(),)}"
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
    if not channels:
        raise ValueError(
            "data.channels = () names no channel; give a number of channels, or those "
            "to take, counted from 0, such as (0,)."
        )
    checks.at_least(0, **{"data.channels": channels})
    return len(channels)


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
