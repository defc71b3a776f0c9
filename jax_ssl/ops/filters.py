"""Separable filters of one image, as products with banded matrices."""

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array


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

    # A floor rather than a branch: below it every tap but the middle underflows.
    rate = -0.5 / jnp.square(jnp.maximum(sigma, 1e-2))
    # Term by term: the order of a reduction would be the compiler's, and with it the
    # last bit of every pixel.
    total = 1.0 + sum(2.0 * jnp.exp(rate * d * d) for d in range(1, radius + 1))

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
        image: [H, W, C] float.
        sigma: in pixels, may be traced; 0 is the identity.
        kernel_size: taps, odd.

    Returns:
        [H, W, C] float32 in the image's own range.

    Raises:
        ValueError: if `kernel_size` is even or larger than the image allows.
    """
    height, width = image.shape[:2]
    rows = gaussian_weights(height, kernel_size, sigma)
    columns = rows if width == height else gaussian_weights(width, kernel_size, sigma)
    highest = jax.lax.Precision.HIGHEST
    image = jnp.einsum("hwc,oh->wco", image, rows, precision=highest)
    return jnp.einsum("wco,pw->opc", image, columns, precision=highest)
