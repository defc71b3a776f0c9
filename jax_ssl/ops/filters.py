"""Separable filters of one image: banded matrices, or a sum over taps on a CPU."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.platforms import looped
from jax_ssl.ops.resize import apply_weights


def gaussian_weights(length: int, kernel_size: int, sigma: float | Array) -> Array:
    """The matrix that blurs one axis with a Gaussian cut off at `kernel_size` taps.

    Tap d of the kernel weighs exp(-d² / (2 sigma²)), normalised over the taps. Beyond
    the border the axis is reflected without repeating the border pixel, as torchvision
    does.

    Args:
        length: pixels of the axis.
        kernel_size: odd, at most 2 * length - 1.
        sigma: standard deviation in pixels, may be traced; 0 gives the identity.

    Returns:
        [length, length] float32, rows summing to one.

    Raises:
        ValueError: if `kernel_size` is even or too large for one reflection.
    """
    radius = check_kernel(length, kernel_size)
    rate, total = _rate_and_total(sigma, radius)

    def taps(offset: Array) -> Array:
        square = jnp.square(offset.astype(jnp.float32))
        return jnp.where(jnp.abs(offset) <= radius, jnp.exp(rate * square), 0.0)

    i = jnp.arange(length)[:, None]
    j = jnp.arange(length)[None, :]
    before = jnp.where(j > 0, taps(-j - i), 0.0)  # Pixel j seen again at -j,
    after = jnp.where(j < length - 1, taps(2 * (length - 1) - j - i), 0.0)  # and here.
    return (taps(j - i) + before + after) / total


def gaussian_blur(image: Array, sigma: float | Array, *, kernel_size: int) -> Array:
    """Gaussian blur with reflected borders.

    Args:
        image: [..., H, W, C] float; the frames of a video share the blur.
        sigma: in pixels, may be traced; 0 is the identity.
        kernel_size: taps, odd.

    Returns:
        [..., H, W, C] float32 in the image's own range.

    Raises:
        ValueError: if `kernel_size` is even or larger than the image allows.
    """
    for side in image.shape[-3:-1]:
        check_kernel(side, kernel_size)

    form = blur_by_taps if looped() else blur_by_products
    return form(image, sigma, kernel_size)


def blur_by_products(image: Array, sigma: float | Array, kernel_size: int) -> Array:
    """`gaussian_blur` as two products with banded matrices, for matrix units."""
    height, width = image.shape[-3:-1]
    rows = gaussian_weights(height, kernel_size, sigma)
    columns = rows if width == height else gaussian_weights(width, kernel_size, sigma)
    return apply_weights(image, rows, columns)


def blur_by_taps(image: Array, sigma: float | Array, kernel_size: int) -> Array:
    """`gaussian_blur` as a sum of shifted images: a tenth of the arithmetic."""
    radius = kernel_size // 2
    rate, total = _rate_and_total(sigma, radius)
    taps = [jnp.exp(rate * d * d) / total for d in range(radius + 1)]
    planes = jnp.moveaxis(image, -1, 0).astype(jnp.float32)  # [C, ..., H, W]
    for axis in (-2, -1):
        planes = symmetric_filter(planes, taps, axis, "reflect")
    return jnp.moveaxis(planes, 0, -1)


def symmetric_filter(
    x: Array, taps: Sequence[float | Array], axis: int, border: str
) -> Array:
    """Filters one axis by a sum of shifted arrays.

    Args:
        x: [...] float.
        taps: half of a symmetric kernel, the middle first.
        axis: that is filtered.
        border: how `jnp.pad` extends the axis, "edge" or "reflect".

    Returns:
        Array like `x`.
    """
    reach, length = len(taps) - 1, x.shape[axis]
    pad = [(0, 0)] * x.ndim
    pad[axis] = (reach, reach)
    # Written out once; XLA would extend the border anew for every tap.
    wide = jax.lax.optimization_barrier(jnp.pad(x, pad, mode=border))

    def shifted(d: int) -> Array:
        return jax.lax.slice_in_dim(wide, reach + d, reach + d + length, axis=axis)

    out = taps[0] * x
    for d in range(1, reach + 1):
        out = out + taps[d] * (shifted(-d) + shifted(d))
    return out


def check_kernel(length: int, kernel_size: int) -> int:
    """The radius of a blur of `kernel_size` taps, if an axis of `length` allows it.

    Raises:
        ValueError: if the size is even, or reaches further than a reflection can fill.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f"blur kernel size {kernel_size} is not a positive odd number; "
            f"use {max(1, kernel_size + 1)}."
        )
    radius = kernel_size // 2
    if radius > length - 1:
        raise ValueError(
            f"a blur of {kernel_size} taps reaches {radius} pixels beyond an axis of "
            f"{length}, more than a reflection can fill; use at most {2 * length - 1}."
        )
    return radius


def _rate_and_total(sigma: float | Array, radius: int) -> tuple[Array, Array]:
    """The rate c of taps exp(c d²), and their sum over d = -radius ... radius."""
    # A floor rather than a branch: below it every tap but the middle underflows.
    rate = -0.5 / jnp.square(jnp.maximum(sigma, 1e-2))
    # Term by term: the order of a reduction would be the compiler's, and with it the
    # last bit of every pixel.
    taps = (2.0 * jnp.exp(rate * d * d) for d in range(1, radius + 1))
    return rate, sum(taps, start=jnp.ones(()))
