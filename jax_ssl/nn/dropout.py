"""Dropout of what a network computes row by row, such as grids of an encoder."""

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.parallel.chunks import row_numbers


def dropped(key: Array, x: Array, rate: float) -> Array:
    """Makes a share of the numbers of x [n, ...] 0, and the others larger.

    What a row draws depends on its number in the global batch, so that neither devices
    nor chunks change it. Flax's dropout would draw the same for each chunk.

    Args:
        key: [] of the whole batch.
        x: rows along axis 0.
        rate: the share, in [0, 1).
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, row_numbers(len(x)))
    draw = lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:])
    return jnp.where(jax.vmap(draw)(keys), x / (1 - rate), 0).astype(x.dtype)
