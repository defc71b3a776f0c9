"""Random resized crops and centre crops, inside the filled part of a canvas."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.fields import Window
from jax_ssl.core.types import Array
from jax_ssl.ops.resize import (
    FILTERS,
    Axis,
    Box,
    crop_and_resize,
    resample,
)

ATTEMPTS = 10


def random_box(
    key: Array,
    height: float | Array,
    width: float | Array,
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    sampling: str = "torchvision",
) -> Box:
    """Draws the box of a random resized crop.

    Area as a share of the image is uniform in `scale`, and width / height log-uniform
    in `ratio`; sides are rounded to pixels and the place is uniform among those where
    the box fits.

    Args:
        key: PRNG key.
        height: of the image, in pixels; may be traced.
        width: of the image, in pixels; may be traced.
        scale: smallest and largest share of the area.
        ratio: smallest and largest width / height.
        sampling: what becomes of boxes that do not fit. "torchvision" draws up to ten
            times and then takes the largest central box of an allowed ratio; "clipped"
            draws once and cuts each side to the image's, as the crops of MAE do.

    Returns:
        Box of whole numbers as float32, inside the image.

    Raises:
        ValueError: if `sampling` is not known.
    """
    checks.one_of(("torchvision", "clipped"), sampling=sampling)
    height = jnp.asarray(height, jnp.float32)
    width = jnp.asarray(width, jnp.float32)
    attempts = ATTEMPTS if sampling == "torchvision" else 1
    # All draws of a box come from one call: a PRNG call costs more than its numbers.
    uniform = jax.random.uniform(key, (2 * attempts + 2,))
    area = height * width * _between(scale, uniform[:attempts])
    log_ratio = (math.log(ratio[0]), math.log(ratio[1]))
    root = jnp.exp(0.5 * _between(log_ratio, uniform[attempts : 2 * attempts]))
    wide = jnp.round(jnp.sqrt(area) * root)  # [attempts]
    high = jnp.round(jnp.sqrt(area) / root)
    if sampling == "clipped":
        w = jnp.clip(wide[0], 1, width)
        h = jnp.clip(high[0], 1, height)
        centred = jnp.zeros((), bool)
    else:
        fits = (wide >= 1) & (wide <= width) & (high >= 1) & (high <= height)
        # The first that fits, by a sum: an index would be a gather under vmap.
        first = fits & (jnp.cumsum(fits) == 1)
        centred = ~fits.any()
        # The largest box of an allowed ratio, where none of the drawn ones fits.
        h_last = jnp.maximum(jnp.minimum(height, jnp.round(width / ratio[0])), 1)
        w_last = jnp.maximum(jnp.minimum(width, jnp.round(height * ratio[1])), 1)
        w = jnp.where(centred, w_last, jnp.sum(jnp.where(first, wide, 0)))
        h = jnp.where(centred, h_last, jnp.sum(jnp.where(first, high, 0)))

    def place(free: Array, u: Array) -> Array:
        drawn = jnp.minimum(jnp.floor(u * (free + 1)), free)
        return jnp.where(centred, jnp.floor(free / 2), drawn)

    return Box(place(height - h, uniform[-2]), place(width - w, uniform[-1]), h, w)


def random_resized_crop(
    key: Array,
    image: Array,
    size: int,
    *,
    extent: Array | None = None,
    method: str = "bicubic",
    mirror: bool | Array = False,
    **box: Any,
) -> Array:
    """Cuts a random box out of an image and resizes it to a square.

    Args:
        key: PRNG key.
        image: [H, W, C] uint8 or float.
        size: side of the result.
        extent: [2] int32 (height, width) of the filled top-left part of `image`, where
            that is a canvas; all of it unless given.
        method: "bilinear" or "bicubic".
        mirror: left and right change sides where true.
        **box: `scale`, `ratio` and `sampling` of `random_box`.

    Returns:
        [size, size, C] float32 in the image's own range, up to the cubic's overshoot.

    Raises:
        ValueError: if `method` or `sampling` is not known.
    """
    height, width = _extent(image, extent)
    drawn = random_box(key, height, width, **box)
    return crop_and_resize(image, drawn, size, size, method=method, mirror=mirror)


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
    checks.rising(size=size, resize=resize)
    checks.one_of(FILTERS, interpolation=method)
    sides = jnp.stack(_extent(image, extent))
    window = center_window(sides, size, resize)
    rows, columns = (
        Axis(
            centers=start + (jnp.arange(size) + 0.5) * step,
            scale=step,
            low=0.0,
            high=side,
        )
        for start, step, side in zip(window.start, window.step, sides, strict=True)
    )
    # The longer side is rounded down, at most by one pixel of `resize`.
    bounds = tuple(side / max(1, resize - 1) for side in image.shape[:2])
    return resample(
        image, rows, columns, method=method, max_scale=(bounds[0], bounds[1])
    )


def center_window(sides: Array, size: int, resize: int) -> Window:
    """The middle of a picture that `resized_center_crop` shows.

    Args:
        sides: [2] (height, width) of the picture, may be traced.
        size: side of the square, at most `resize`.
        resize: the shorter side before the cut.

    Raises:
        ValueError: if `size` is above `resize`.
    """
    if size > resize:
        raise ValueError(
            f"a centre of {size} pixels does not fit a side of {resize}; "
            f"resize to {size} at least."
        )
    sides = sides.astype(jnp.int32)
    resized = sides * resize // sides.min()  # In whole numbers, so exact.
    step = sides / resized
    start = jnp.round((resized - size) / 2) * step
    return Window((start[0], start[1]), (step[0], step[1]), (size, size))


def _extent(image: Array, extent: Array | None) -> tuple[Array, Array]:
    if extent is None:
        return jnp.asarray(image.shape[0]), jnp.asarray(image.shape[1])
    return extent[0], extent[1]


def _between(bounds: tuple[float, float], uniform: Array) -> Array:
    return bounds[0] + (bounds[1] - bounds[0]) * uniform
