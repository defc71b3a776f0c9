"""Random resized crops and centre crops, inside the filled part of a canvas."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.fields import Window
from jax_ssl.core.types import Array
from jax_ssl.ops.resize import FILTERS, Axis, Box, crop_and_resize, resample

ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True)
class RandomCrop:
    """A random resized crop, mirrored with a probability; always the first step.

    Area as a share of the image is uniform, and width / height log-uniform; sides are
    rounded to pixels and the place is uniform among those where the box fits.

    Attributes:
        size: side of the view.
        min_scale: smallest share of the image's area.
        max_scale: largest.
        min_ratio: smallest width / height of the crop.
        max_ratio: largest.
        interpolation: antialiased filter of the resize.
        sampling: what becomes of boxes that do not fit. "torchvision" draws up to ten
            times and then takes the largest central box of an allowed ratio; "clipped"
            draws once and cuts each side to the image's, as BYOL does, and MAE in its
            linear probe.
        flip: probability of a mirror image.
    """

    size: int = 224
    min_scale: float = 0.08
    max_scale: float = 1.0
    min_ratio: float = 3 / 4
    max_ratio: float = 4 / 3
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    sampling: Literal["torchvision", "clipped"] = "torchvision"
    flip: float = 0.5

    name: ClassVar[str] = "crop, flip"

    def __post_init__(self) -> None:
        checks.words(self)
        checks.at_least(1, size=self.size)
        checks.within("(0, 1]", min_scale=self.min_scale, max_scale=self.max_scale)
        checks.rising(min_scale=self.min_scale, max_scale=self.max_scale)
        checks.positive(min_ratio=self.min_ratio, max_ratio=self.max_ratio)
        checks.rising(min_ratio=self.min_ratio, max_ratio=self.max_ratio)
        checks.within("[0, 1]", flip=self.flip)

    def draw(self, key: Array, height: float | Array, width: float | Array) -> Box:
        """The box for an image of so many pixels, which may be traced.

        Returns:
            Box of whole numbers as float32, inside the image.
        """
        height = jnp.asarray(height, jnp.float32)
        width = jnp.asarray(width, jnp.float32)
        scale = self.min_scale, self.max_scale
        ratio = self.min_ratio, self.max_ratio
        attempts = ATTEMPTS if self.sampling == "torchvision" else 1
        # All draws come from one call: a PRNG call costs more than its numbers.
        uniform = jax.random.uniform(key, (2 * attempts + 2,))
        wide, high = random_sides(uniform[:-2], height * width, scale, ratio)
        if self.sampling == "clipped":
            w = jnp.clip(wide[0], 1, width)
            h = jnp.clip(high[0], 1, height)
            centred = jnp.zeros((), bool)
        else:
            fits = (wide >= 1) & (wide <= width) & (high >= 1) & (high <= height)
            centred = ~fits.any()
            # The largest box of an allowed ratio, where none of the drawn ones fits.
            h_last = jnp.maximum(jnp.minimum(height, jnp.round(width / ratio[0])), 1)
            w_last = jnp.maximum(jnp.minimum(width, jnp.round(height * ratio[1])), 1)
            w = jnp.where(centred, w_last, first_that_fits(fits, wide))
            h = jnp.where(centred, h_last, first_that_fits(fits, high))

        def place(free: Array, u: Array) -> Array:
            return jnp.where(centred, jnp.floor(free / 2), random_place(u, free))

        return Box(place(height - h, uniform[-2]), place(width - w, uniform[-1]), h, w)

    def __call__(self, key: Array, image: Array, extent: Array | None) -> Array:
        """Cuts a random box out of an image and resizes it to a square.

        Args:
            key: PRNG key.
            image: [H, W, C] uint8 or float.
            extent: [2] int32 (height, width) of the filled top-left part of `image`,
                where that is a canvas; None for all of it.

        Returns:
            [size, size, C] float32 in the image's own range, up to the cubic's
            overshoot.
        """
        crop_key, flip_key = jax.random.split(key)
        height, width = image.shape[:2] if extent is None else extent
        return crop_and_resize(
            image,
            self.draw(crop_key, height, width),
            self.size,
            self.size,
            method=self.interpolation,
            mirror=jax.random.bernoulli(flip_key, self.flip),
        )


def random_sides(
    uniform: Array,
    pixels: float | Array,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[Array, Array]:
    """Sides of several boxes, rounded to pixels.

    Args:
        uniform: [2 n] in [0, 1); n for the areas, and as many for the ratios.
        pixels: of the image.
        scale: smallest and largest share of them.
        ratio: smallest and largest ratio of the first side to the second, log-uniform.

    Returns:
        [n] each.
    """
    share, aspect = uniform.reshape(2, -1)
    area = pixels * between(scale, share)
    root = jnp.exp(0.5 * between((math.log(ratio[0]), math.log(ratio[1])), aspect))
    return jnp.round(jnp.sqrt(area) * root), jnp.round(jnp.sqrt(area) / root)


def first_that_fits(fits: Array, side: Array) -> Array:
    """The first side [n] with a fitting box, [], or 0; an index would be a gather."""
    return jnp.sum(jnp.where(fits & (jnp.cumsum(fits) == 1), side, 0.0))


def random_place(uniform: Array, free: int | Array) -> Array:
    """A whole number that is uniform from 0 to `free`."""
    return jnp.minimum(jnp.floor(uniform * (free + 1)), free)


def between(bounds: tuple[float, float], uniform: Array) -> Array:
    """What is uniform in the bounds, out of what is uniform in [0, 1)."""
    return bounds[0] + (bounds[1] - bounds[0]) * uniform


def resized_center_crop(
    image: Array,
    size: int,
    resize: int,
    *,
    extent: Array | None = None,
    method: str = "bicubic",
) -> Array:
    """Resizes the shorter side to `resize` and cuts a square out of the middle.

    Rounds like torchvision: the longer side down, the offset to the nearest. Only the
    pixels that remain are computed.

    Args:
        image: [H, W, C] uint8 or float.
        size: side of the square, at most `resize`.
        resize: the shorter side before the cut.
        extent: [2] int32 (height, width) of the filled top-left part of `image`.
        method: "bilinear" or "bicubic".

    Returns:
        [size, size, C] float32 in the image's own range, up to the cubic's overshoot.

    Raises:
        ValueError: if `size` is above `resize`, or `method` is not known.
    """
    checks.one_of(FILTERS, interpolation=method)
    sides = jnp.array(image.shape[:2]) if extent is None else extent
    window = center_window(sides, size, resize)
    rows, columns = (
        Axis(start + (jnp.arange(size) + 0.5) * step, step, 0.0, side)
        for start, step, side in zip(window.start, window.step, sides, strict=True)
    )
    # The longer side is rounded down, at most by one pixel of `resize`.
    least = max(1, resize - 1)
    bounds = image.shape[0] / least, image.shape[1] / least
    return resample(image, rows, columns, method=method, max_scale=bounds)


def center_window(sides: Array, size: int, resize: int) -> Window:
    """The middle of a picture that `resized_center_crop` shows.

    Args:
        sides: [2] (height, width) of the picture, may be traced.
        size: side of the square, at most `resize`.
        resize: the shorter side before the cut.

    Raises:
        ValueError: if `size` is above `resize`.
    """
    checks.rising(size=size, resize=resize)
    sides = sides.astype(jnp.int32)
    resized = sides * resize // sides.min()  # In whole numbers, so exact.
    step = sides / resized
    start = jnp.round((resized - size) / 2) * step
    return Window((start[0], start[1]), (step[0], step[1]), (size, size))
