"""Antialiased crop-and-resize as two matrix products.

Resampling by a separable filter is linear in the rows and in the columns of an image,
so a crop of any box to any size is A X Bᵀ with matrices made from the box. The box may
be traced: under `vmap` every image has its own, and no gather appears. The conventions
are Pillow's (`Image.crop` followed by `Image.resize`): the filter widens with the scale
when an image shrinks, pixels outside of the crop weigh nothing, and weights sum to 1.

Note:
    Pillow rounds and clips to whole grey levels between the two passes and after them;
    here nothing is rounded or clipped, so the two agree to about one level of 255 (and
    to a few where the cubic overshoots 0 or 255 between the passes).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.precise import einsum, matmul
from jax_ssl.core.types import Array
from jax_ssl.ops.platforms import looped

Scalar = float | Array


class Box(NamedTuple):
    """A part of an image, in pixels: rows [top, top + height), columns likewise."""

    top: Scalar
    left: Scalar
    height: Scalar
    width: Scalar


def box_mask(box: Box, height: int, width: int) -> Array:
    """Whether a pixel lies in the box, [height, width] bool."""
    i, j = jnp.arange(height)[:, None], jnp.arange(width)
    rows = (i >= box.top) & (i < box.top + box.height)
    return rows & (j >= box.left) & (j < box.left + box.width)


def triangle(x: Array) -> Array:
    """The tent max(0, 1 - |x|); "bilinear"."""
    return jnp.maximum(0.0, 1.0 - jnp.abs(x))


def cubic(x: Array) -> Array:
    """Keys' cubic convolution kernel with a = -1/2, zero from |x| = 2; "bicubic"."""
    x = jnp.minimum(jnp.abs(x), 2.0)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return jnp.where(x < 1.0, near, far)


FILTERS: dict[str, Callable[[Array], Array]] = {"bilinear": triangle, "bicubic": cubic}
REACH = {"bilinear": 1.0, "bicubic": 2.0}  # Where the filters end.

BLOCK = 16  # Output pixels of one small product on a CPU; 8 and 32 are slower.


class Axis(NamedTuple):
    """Where the output pixels of one axis lie on the input, in input pixels.

    Input pixel j covers [j, j + 1).

    Attributes:
        centers: [out] of the output pixels.
        scale: input pixels per output pixel; the filter is stretched where it is > 1.
        low: pixels whose centres lie below have no weight.
        high: nor have those whose centres lie at or above it.
    """

    centers: Array
    scale: Scalar
    low: Scalar
    high: Scalar


def crop_axis(
    num_out: int, start: Scalar, length: Scalar, mirror: bool | Array = False
) -> Axis:
    """The axis that resizes [start, start + length) to `num_out` pixels.

    Args:
        num_out: output pixels.
        start: of the crop, in pixels; may be traced.
        length: of the crop, at least 1; may be traced.
        mirror: reverses the output where true; may be traced.
    """
    scale = length / num_out
    out = jnp.arange(num_out)
    out = jnp.where(mirror, num_out - 1 - out, out) + 0.5
    return Axis(start + out * scale, scale, start, start + length)


def axis_weights(
    axis: Axis, num_in: int, method: str = "bilinear", first: int | Array = 0
) -> Array:
    """The weight of input pixels in every output pixel, along one axis.

    Args:
        axis: of the output pixels. [low, high) must hold a pixel's centre within the
            filter's reach of each of its centres, as it does for boxes at least one
            pixel long.
        num_in: how many input pixels are looked at.
        method: a name in `FILTERS`.
        first: number of the first of them; may be traced.

    Returns:
        [out, num_in] float32, rows summing to one if they hold all pixels that matter.
    """
    pixels = first + jnp.arange(num_in, dtype=jnp.float32) + 0.5
    stretch = jnp.maximum(axis.scale, 1.0)
    weights = FILTERS[method]((pixels - axis.centers[:, None]) / stretch)
    weights = jnp.where((pixels >= axis.low) & (pixels < axis.high), weights, 0.0)
    # Multiples of 2⁻¹⁶ have exact sums whatever their order, which is the compiler's:
    # the same box has the same weights on any number of devices.
    weights = jnp.round(weights * 2.0**16) / 2.0**16
    return weights / weights.sum(axis=1, keepdims=True)


def resample(
    image: Array,
    rows: Axis,
    columns: Axis,
    *,
    method: str = "bilinear",
    max_scale: tuple[float, float],
) -> Array:
    """Resamples both axes of an image.

    Args:
        image: [H, W, C] uint8 or float.
        rows: of the output's rows.
        columns: of its columns.
        method: a name in `FILTERS`.
        max_scale: the largest that the scale of `rows` and of `columns` can be, which
            is known before compilation; it bounds how many pixels a CPU looks at.

    Returns:
        [h, w, C] float32 in the image's own range.
    """
    height, width = image.shape[:2]
    sides = zip((height, width), max_scale, strict=True)
    if looped() and all(window_length(n, method, m) <= n / 2 for n, m in sides):
        return resample_by_windows(image, rows, columns, method, max_scale)
    return apply_weights(
        image, axis_weights(rows, height, method), axis_weights(columns, width, method)
    )


def apply_weights(image: Array, rows: Array, columns: Array) -> Array:
    """Resamples both axes of an image: `rows` X `columns`ᵀ for every channel.

    Args:
        image: [..., H, W, C] uint8 or float.
        rows: [h, H].
        columns: [w, W].

    Returns:
        [..., h, w, C] float32 in the image's own range.

    Note:
        The products are taken in full float32. One bfloat16 pass, the default
        on TPU, keeps 8 bits of each weight, and TF32 11: an error of up to half a grey
        level per pass that depends on the device. The cost is about 1 % of a training
        step of ResNet-50 at 224 px.
    """
    # Channels stay off the minor axis between the products: both are plain matrix
    # products of width W * C and h * C.
    image = einsum("...hwc,oh->...wco", image.astype(jnp.float32), rows)
    return einsum("...wco,pw->...opc", image, columns)


def window_length(num_in: int, method: str, max_scale: float) -> int:
    """Input pixels that a block of `BLOCK` output pixels can need."""
    span = (BLOCK - 1) * max_scale + 2 * REACH[method] * max(max_scale, 1.0)
    return min(num_in, math.ceil(span) + 2)


def axis_windows(
    axis: Axis, num_in: int, method: str, max_scale: float
) -> tuple[Array, Array]:
    """`axis_weights` in blocks of `BLOCK` output pixels, zeros left out.

    Args:
        axis: of the output pixels.
        num_in: input pixels.
        method: a name in `FILTERS`.
        max_scale: the largest that the axis' scale can be.

    Returns:
        firsts [blocks] int32, the first input pixel that a block looks at, and weights
        [blocks, BLOCK, window] float32. A last block may reach beyond the output.
    """
    window = window_length(num_in, method, max_scale)
    num_out = axis.centers.shape[0]
    centers = jnp.pad(axis.centers, (0, -num_out % BLOCK), "edge").reshape(-1, BLOCK)
    reach = REACH[method] * jnp.maximum(axis.scale, 1.0)
    firsts = jnp.floor(centers.min(axis=1) - reach).astype(jnp.int32)
    firsts = jnp.clip(firsts, 0, num_in - window)

    def block(first: Array, centers: Array) -> Array:
        return axis_weights(axis._replace(centers=centers), window, method, first)

    return firsts, jax.vmap(block)(firsts, centers)


def resample_by_windows(
    image: Array, rows: Axis, columns: Axis, method: str, max_scale: tuple[float, float]
) -> Array:
    """`resample` by small products, each with the part of the image it needs.

    A crop of 224 pixels out of 256 takes a third of the time of the dense products on
    a CPU. Under `vmap` the parts would become gathers: see `platforms.one_by_one`.
    """
    height, width, channels = image.shape
    h, w = rows.centers.shape[0], columns.centers.shape[0]
    planes = image.transpose(0, 2, 1).astype(jnp.float32)  # [H, C, W]
    across = planes.reshape(height, channels * width)

    def some_rows(window: tuple[Array, Array]) -> Array:
        first, weights = window
        part = jax.lax.dynamic_slice_in_dim(across, first, weights.shape[1])
        return matmul(weights, part)

    down = jax.lax.map(some_rows, axis_windows(rows, height, method, max_scale[0]))
    down = down.reshape(-1, channels * width)[:h].reshape(h * channels, width)

    def some_columns(window: tuple[Array, Array]) -> Array:
        first, weights = window
        part = jax.lax.dynamic_slice_in_dim(down, first, weights.shape[1], axis=1)
        return matmul(part, weights.T)

    out = jax.lax.map(some_columns, axis_windows(columns, width, method, max_scale[1]))
    out = out.transpose(1, 0, 2)  # [h · C, blocks, BLOCK]
    return out.reshape(h, channels, -1)[..., :w].transpose(0, 2, 1)


def crop_and_resize(
    image: Array,
    box: Box,
    height: int,
    width: int,
    *,
    method: str = "bilinear",
    mirror: bool | Array = False,
) -> Array:
    """Cuts `box` out of an image, resizes it, and mirrors it left to right if asked.

    Args:
        image: [H, W, C] uint8 or float.
        box: inside the image, sides at least 1 pixel; scalars, traced or not.
        height: output rows.
        width: output columns.
        method: "bilinear" or "bicubic".
        mirror: left and right change sides where true; costs nothing.

    Returns:
        [height, width, C] float32 in the image's own range, up to the cubic's
        overshoot.

    Raises:
        ValueError: if `method` is not known.
    """
    checks.one_of(FILTERS, interpolation=method)
    return resample(
        image,
        crop_axis(height, box.top, box.height),
        crop_axis(width, box.left, box.width, mirror),
        method=method,
        max_scale=(image.shape[0] / height, image.shape[1] / width),
    )


def resize(image: Array, height: int, width: int, *, method: str = "bilinear") -> Array:
    """Resizes a whole image [H, W, C] to [height, width, C] float32.

    Raises:
        ValueError: if `method` is not known.
    """
    box = Box(0.0, 0.0, float(image.shape[0]), float(image.shape[1]))
    return crop_and_resize(image, box, height, width, method=method)
