"""Small filters of images [..., H, W, C], as sums of shifted planes.

Pillow's Gaussian blur is here and not in `filters`: it is another filter than the
sampled Gaussian there, different at the borders and in the shape of a small kernel.
Axes before [H, W, C], such as the frames of a video, share the parameters.
"""

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.filters import symmetric_filter

Scalar = float | Array

BOXES = 3


def box_taps(sigma: Scalar, reach: int) -> list[Array]:
    """Half of the box that Pillow runs three times for a Gaussian.

    The extended box of Gwosdek et al. (2011, "Theoretical Foundations of Gaussian
    Convolution by Extended Box Filtering"): 2 l + 1 whole taps and one partial tap at
    either end, with a variance of sigma² / 3.

    Args:
        sigma: of the Gaussian, in pixels, may be traced; 0 gives one tap.
        reach: taps on either side, at least `box_reach` of the largest sigma.

    Returns:
        reach + 1 weights [], from the middle outwards.
    """
    variance = jnp.square(sigma) / BOXES
    whole = jnp.floor((jnp.sqrt(12.0 * variance + 1.0) - 1.0) / 2.0)
    partial = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance)
    partial = partial / (6.0 * (variance - jnp.square(whole + 1.0)))
    share = 1.0 / (2.0 * (whole + partial) + 1.0)
    return [
        share * jnp.where(d <= whole, 1.0, jnp.where(d == whole + 1.0, partial, 0.0))
        for d in range(reach + 1)
    ]


def box_reach(sigma: float) -> int:
    """Taps on either side of the box for `sigma`; 2 for sigmas up to 2.4."""
    return int(((4.0 * sigma * sigma + 1.0) ** 0.5 - 1.0) / 2.0) + 1


def box_gaussian_blur(image: Array, sigma: Scalar, *, max_sigma: float) -> Array:
    """Pillow's Gaussian blur: a box filter run three times, borders repeated each time.

    Args:
        image: [..., H, W, C] float.
        sigma: Pillow's `radius`, in pixels, in [0, max_sigma], may be traced; 0 is the
            identity, exactly.
        max_sigma: decides how far the box may reach.

    Returns:
        [..., H, W, C] in the image's own range.

    Note:
        Pillow rounds to whole grey levels after each of the six passes; here nothing is
        rounded, so the two agree to about 0.4 of a level on average.
    """
    taps = box_taps(sigma, box_reach(max_sigma))

    def one_box(planes: Array, _: None) -> tuple[Array, None]:
        for axis in (-2, -1):
            planes = symmetric_filter(planes, taps, axis, "edge")
        return planes, None

    # A loop, for the fusions would compute the first box again inside of the second.
    planes, _ = jax.lax.scan(one_box, jnp.moveaxis(image, -1, -3), length=BOXES)
    return jnp.moveaxis(planes, -3, -1)


def smooth(image: Array) -> Array:
    """Pillow's `ImageFilter.SMOOTH`: 3 x 3 taps of 1/13, 5/13 in the middle.

    The outermost pixels of [..., H, W, C] are left as they are.
    """
    planes = jnp.moveaxis(image, -1, -3)
    box = planes
    for axis in (-2, -1):
        box = symmetric_filter(box, [1.0, 1.0], axis, "edge")
    mixed = (box + 4.0 * planes) / 13.0
    height, width = planes.shape[-2:]
    i, j = jnp.arange(height)[:, None], jnp.arange(width)
    inside = (i > 0) & (i < height - 1) & (j > 0) & (j < width - 1)
    return jnp.moveaxis(jnp.where(inside, mixed, planes), -3, -1)


def sharpness(image: Array, factor: Scalar) -> Array:
    """clip(smooth(x) + factor · (x - smooth(x)), 0, 1); 0 is `smooth`, 1 the identity.

    Pillow's `ImageEnhance.Sharpness` for an image [..., H, W, C] in [0, 1].
    """
    return jnp.clip(image + (1.0 - factor) * (smooth(image) - image), 0.0, 1.0)


def sobel(image: Array) -> Array:
    """Gradients of the grey image: left less right, and above less below.

    DeepCluster (arXiv 1807.05520): the input of its networks. As in the released code,
    grey is the mean of the channels, the taps are 1, 2, 1 and zeros lie beyond the
    border.

    Args:
        image: [..., H, W, C], in any range.

    Returns:
        [..., H, W, 2].
    """
    gray = image.mean(axis=-1)
    pad = [(0, 0)] * (gray.ndim - 2) + [(1, 1), (1, 1)]
    p = jnp.pad(gray, pad)
    rows = p[..., :-2, :] + 2.0 * p[..., 1:-1, :] + p[..., 2:, :]
    columns = p[..., :-2] + 2.0 * p[..., 1:-1] + p[..., 2:]
    return jnp.stack(
        [rows[..., :-2] - rows[..., 2:], columns[..., :-2, :] - columns[..., 2:, :]],
        axis=-1,
    )
