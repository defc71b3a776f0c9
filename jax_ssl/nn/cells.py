"""A linear classifier of the cells of grids."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.nn.norm import BatchNorm


class LinearCells(nn.Module):
    """Batch norm and a linear map of the cells of levels, laid side by side.

    Attributes:
        num_classes: K.
    """

    num_classes: int

    @nn.compact
    def __call__(self, levels: tuple[Array, ...], *, train: bool) -> Array:
        """Maps levels [B, h, w, D] to [B, h', w', K], h' x w' cells of the finest."""
        sides = levels[0].shape[1:3]
        fine = [
            level
            if level.shape[1:3] == sides
            else jax.image.resize(
                level, (len(level), *sides, level.shape[-1]), "bilinear"
            )
            for level in levels
        ]
        x = BatchNorm()(jnp.concatenate(fine, -1).astype(jnp.float32), train=train)
        first = nn.initializers.normal(0.01)
        return nn.Dense(self.num_classes, kernel_init=first)(x)
