"""The input itself as features: the control that any encoder must beat."""

import itertools
import math

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array

RAW_DIMENSIONS = 3072  # Of the input as features, at most: 32 x 32 x 3.


def pooling_side(shape: tuple[int, ...], most: int = RAW_DIMENSIONS) -> int:
    """Least side of the squares whose means are at most `most` values of an input.

    Args:
        shape: of the input without the batch, (..., H, W, C) or (T,).
        most: values to leave.
    """
    return next(s for s in itertools.count(1) if math.prod(_pooled(shape, s)) <= most)


def flattened(x: Array) -> Array:
    """The input itself as features.

    Args:
        x: [B, ..., H, W, C] or [B, T]; larger ones are averaged over the squares of
            `pooling_side`. What fills no square at the right and bottom is left out.

    Returns:
        [B, at most `RAW_DIMENSIONS`] float32.
    """
    shape = x.shape[1:]
    small = _pooled(shape, pooling_side(shape))
    for axis, size in enumerate(small, start=1):
        whole = x.shape[axis] // size
        x = jax.lax.slice_in_dim(x, 0, size * whole, axis=axis).astype(jnp.float32)
        x = x.reshape(*x.shape[:axis], size, whole, *x.shape[axis + 1 :]).mean(axis + 1)
    return x.reshape(len(x), -1)


def _pooled(shape: tuple[int, ...], side: int) -> tuple[int, ...]:
    """The shape after averaging: channels stay, and so do frames."""
    if len(shape) == 1:
        return (max(shape[0] // side, 1),)
    *rest, height, width, channels = shape
    return (*rest, max(height // side, 1), max(width // side, 1), channels)
