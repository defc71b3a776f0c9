"""Regions of images that are taken out: the centre, blocks, and irregular shapes."""

import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core.types import Array

BLOCK = 8  # Sides of a block in that of the image.
CELLS = 8  # Random numbers a side that irregular shapes are interpolated from.


def center_hole(count: int, height: int, width: int) -> Array:
    """The middle half of both sides, [count, height, width] bool."""
    hole = jnp.zeros((height, width), bool)
    top, left = height // 4, width // 4
    hole = hole.at[top : top + height // 2, left : left + width // 2].set(True)
    return jnp.broadcast_to(hole, (count, height, width))


def random_blocks(
    key: Array, count: int, height: int, width: int, area: float
) -> Array:
    """Blocks at random places, which may overlap, [count, height, width] bool.

    Args:
        key: [] typed PRNG key.
        count: of images.
        height: of them.
        width: of them.
        area: share of the pixels that they cover at most.
    """
    sides = max(1, height // BLOCK), max(1, width // BLOCK)
    blocks = max(1, int(area * height * width / (sides[0] * sides[1])))

    def bands(key: Array, length: int, side: int) -> Array:
        first = jax.random.randint(key, (count, blocks, 1), 0, length - side + 1)
        place = jnp.arange(length)
        return (place >= first) & (place < first + side)  # [count, blocks, length]

    down, right = jax.random.split(key)
    rows, columns = bands(down, height, sides[0]), bands(right, width, sides[1])
    return (rows[..., None] & columns[:, :, None]).any(axis=1)


def random_regions(
    key: Array, count: int, height: int, width: int, area: float
) -> Array:
    """Irregular shapes, [count, height, width] bool.

    The darkest pixels of smooth noise, as many of them as the area says.

    Args:
        key: [] typed PRNG key.
        count: of images.
        height: of them.
        width: of them.
        area: share of the pixels.
    """
    coarse = jax.random.uniform(key, (count, CELLS, CELLS))
    smooth = jax.image.resize(coarse, (count, height, width), "cubic")
    flat = smooth.reshape(count, -1)
    order = jnp.argsort(jnp.argsort(flat, axis=1), axis=1)
    return (order < round(area * height * width)).reshape(count, height, width)


def eroded(region: Array, pixels: int) -> Array:
    """What of a region is further inside than so many pixels; the frame is no border.

    Args:
        region: [B, H, W] bool.
        pixels: along rows, columns and diagonals.
    """
    side = 2 * pixels + 1
    outside = lax.reduce_window(
        ~region, False, lax.bitwise_or, (1, side, side), (1, 1, 1), "SAME"
    )
    return ~outside
