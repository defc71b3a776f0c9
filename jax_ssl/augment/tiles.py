"""A 3 x 3 grid of tiles: where they lie, how they are cut, and pictures of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp

from jax_ssl.augment.crop import random_place
from jax_ssl.augment.pixels import in_unit
from jax_ssl.core.types import Array
from jax_ssl.ops.platforms import one_by_one
from jax_ssl.ops.resize import Axis, resample

SIDE = 3  # Cells along an axis.
TILES = SIDE * SIDE

# How an image is resized: (a uniform number in [0, 1), height, width) -> pixels of the
# resized image for each of the image's.
Zoom: TypeAlias = Callable[[Array, Array, Array], float | Array]


@dataclass(frozen=True)
class Grid:
    """Square tiles in the cells of a 3 x 3 grid, in pixels of the resized image.

    Attributes:
        size: side of a tile.
        cell: side of its cell.
        spread: along each axis a tile has `spread + 1` places, in the middle of its
            cell, each as likely.
    """

    size: int
    cell: int
    spread: int

    def corners(self, uniform: Array, height: Array, width: Array) -> Array:
        """Top-left corners of the tiles, [9, 2], whole numbers.

        Args:
            uniform: [20] in [0, 1).
            height: of the resized image, at least 3 cells.
            width: likewise.
        """
        # A product that should be a whole number may lack a little.
        free = jnp.floor(jnp.stack([height, width]) + 1e-3) - SIDE * self.cell
        origin = random_place(uniform[:2], free)
        cells = jnp.stack(jnp.divmod(jnp.arange(TILES), SIDE), axis=-1) * self.cell
        first = (self.cell - self.size - self.spread) // 2
        moved = random_place(uniform[2:].reshape(TILES, 2), self.spread)
        return origin + cells + first + moved

    def cut(
        self, key: Array, image: Array, extent: Array | None, zoom: Zoom | None
    ) -> Array:
        """Cuts the tiles out of an image that is first resized as a whole.

        Args:
            key: PRNG key.
            image: [H, W, C] uint8 or float.
            extent: [2] (height, width) of the filled part, or None for all.
            zoom: how it is resized; an image that is then smaller than the grid is
                enlarged to it. None: not at all, where the grid fits.

        Returns:
            [9, size, size, C] float32 in [0, 1], row by row.

        Raises:
            ValueError: if the grid does not fit, and nothing says how to resize.
        """
        uniform = jax.random.uniform(key, (21,))
        need = SIDE * self.cell
        if zoom is None and extent is None and min(image.shape[:2]) < need:
            raise ValueError(
                f"three cells of {self.cell} pixels do not fit into images of "
                f"{image.shape[0]} x {image.shape[1]}; lower config.views.size and the "
                "gap, or say to what size images are brought first (areas, resize)."
            )
        sides = jnp.array(image.shape[:2]) if extent is None else extent
        height, width = sides.astype(jnp.float32)
        factor = 1.0 if zoom is None else zoom(uniform[-1], height, width)
        factor = jnp.maximum(factor, need / jnp.minimum(height, width))
        corners = self.corners(uniform[:-1], height * factor, width * factor)
        most = max(min(image.shape[:2]) / need, 1.0)

        @one_by_one
        def tile(image: Array, corner: Array, step: Array, sides: Array) -> Array:
            at = (corner[:, None] + jnp.arange(self.size) + 0.5) * step
            rows, columns = (Axis(at[i], step, 0.0, sides[i]) for i in range(2))
            return resample(image, rows, columns, max_scale=(most, most))

        mapped = jax.vmap(tile, (None, 0, None, None))
        tiles = mapped(image, corners, 1.0 / factor, sides)
        return jnp.clip(in_unit(tiles, image.dtype), 0.0, 1.0)


def visible(tiles: Array) -> Array:
    """Tiles [n, 9, h, w, C] of any scale as values in [0, 1].

    The mean of the nine is grey, and two standard deviations above it are white.
    """
    axes = tuple(range(1, tiles.ndim))
    middle = tiles.mean(axes, keepdims=True)
    spread = tiles.std(axes, keepdims=True)
    return jnp.clip(0.5 + 0.25 * (tiles - middle) / (spread + 1e-6), 0.0, 1.0)


def pieced(tiles: Array) -> Array:
    """Pictures [n, H, W, C] of tiles [n, 9, h, w, C] in [0, 1], with grey rims."""
    rim = math.ceil(tiles.shape[2] / 16)
    sides = ((0, 0), (0, 0), (rim, rim), (rim, rim), (0, 0))
    tiles = jnp.pad(tiles, sides, constant_values=0.5)
    n, _, h, w, channels = tiles.shape
    board = tiles.reshape(n, SIDE, SIDE, h, w, channels).transpose(0, 1, 3, 2, 4, 5)
    return board.reshape(n, SIDE * h, SIDE * w, channels)
