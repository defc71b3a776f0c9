"""Bilinear sampling of one image at given places.

Coordinates are (x, y) in pixels, x to the right and y down, with (0, 0) the centre of
the first pixel. Sampling gathers; crops and resizes belong to `resize`, which does not.
"""

import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array

BORDERS = ("zero", "edge")


def bilinear_sample(image: Array, points: Array, *, border: str = "zero") -> Array:
    """Interpolates an image between its four nearest pixels.

    Args:
        image: [H, W, C] float.
        points: [..., 2] (x, y) in pixels.
        border: what lies outside of the image: "zero", or "edge" for the nearest pixel
            of it.

    Returns:
        [..., C] of the image's dtype.

    Raises:
        ValueError: if `border` is neither of the two words.
    """
    checks.one_of(BORDERS, border=border)
    height, width = image.shape[:2]
    x, y = points[..., 0], points[..., 1]
    left, top = jnp.floor(x), jnp.floor(y)

    def pixel(column: Array, row: Array, weight: Array) -> Array:
        if border == "zero":
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            weight = jnp.where(inside, weight, 0.0)
        column = jnp.clip(column, 0, width - 1).astype(jnp.int32)
        row = jnp.clip(row, 0, height - 1).astype(jnp.int32)
        return weight[..., None].astype(image.dtype) * image[row, column]

    dx, dy = x - left, y - top
    return (
        pixel(left, top, (1 - dx) * (1 - dy))
        + pixel(left + 1, top, dx * (1 - dy))
        + pixel(left, top + 1, (1 - dx) * dy)
        + pixel(left + 1, top + 1, dx * dy)
    )


def affine_points(matrix: Array, height: int, width: int) -> Array:
    """Where the pixels of an image go under an affine map about its centre.

    Args:
        matrix: [2, 3], (x, y, 1) -> (x, y), both measured from the image's centre.
        height: rows.
        width: columns.

    Returns:
        [height, width, 2] coordinates (x, y) in pixels.
    """
    # The centre of the square of pixels, e.g. 3.5 for 8: halfway between two of them.
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    x = jnp.arange(width) - center_x
    y = (jnp.arange(height) - center_y)[:, None]
    # Sums and not a product of matrices: exact for the identity on every device.
    return jnp.stack(
        [
            matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] + center_x,
            matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] + center_y,
        ],
        axis=-1,
    )


def affine_sample(image: Array, matrix: Array, *, border: str = "zero") -> Array:
    """The image whose pixel p is read at `matrix` · p, about the image's centre.

    Args:
        image: [H, W, C] float.
        matrix: [2, 3]; from OUTPUT to input pixels, the inverse of how content moves.
        border: "zero" or "edge".

    Returns:
        [H, W, C] of the image's dtype.

    Raises:
        ValueError: if `border` is neither of the two words.
    """
    points = affine_points(matrix, image.shape[0], image.shape[1])
    return bilinear_sample(image, points, border=border)
