"""Batches of pictures at other sizes: areas averaged, or pixels interpolated."""

import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array
from jax_ssl.ops.resize import apply_weights, axis_weights, crop_axis


def area_resize(images: Array, height: int, width: int) -> Array:
    """Pictures whose pixels are the means of the areas that they cover.

    Args:
        images: [..., H, W, C] float.
        height: rows of the result.
        width: columns of it.

    Returns:
        [..., height, width, C] float32; of half the sides, means of 2 x 2 pixels.
    """
    rows, columns = images.shape[-3:-1]
    if (rows, columns) == (height, width):
        return images
    return apply_weights(images, shares(rows, height), shares(columns, width))


def bilinear_resize(images: Array, height: int, width: int) -> Array:
    """Pictures interpolated between the centres of their pixels, the border repeated.

    Args:
        images: [..., H, W, C] float, not larger than the result.
        height: rows of the result.
        width: columns of it.

    Returns:
        [..., height, width, C] float32.
    """
    rows, columns = images.shape[-3:-1]
    if (rows, columns) == (height, width):
        return images
    down = axis_weights(crop_axis(height, 0.0, float(rows)), rows)
    across = axis_weights(crop_axis(width, 0.0, float(columns)), columns)
    return apply_weights(images, down, across)


def shares(num_in: int, num_out: int) -> Array:
    """What share of each output pixel every input pixel covers, [out, in] float32."""
    ends = np.arange(num_out + 1) * num_in / num_out
    pixels = np.arange(num_in)
    low = np.maximum(ends[:-1, None], pixels)
    high = np.minimum(ends[1:, None], pixels + 1)
    covered = np.maximum(high - low, 0.0) * num_out / num_in
    return jnp.asarray(covered, jnp.float32)
