"""One view's embedding predicted from another's: losses without negatives.

Both have a trivial minimum at equal outputs for all images; what keeps methods away
from it (a stopped gradient, a predictor, a slow teacher) is not in the loss. Gradients
flow into both arguments: methods stop those that the papers stop.
"""

import chex
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.normalize import l2_normalize


def negative_cosine(p: Array, z: Array) -> Array:
    """Negative cosine similarity, D(p, z) = -(p / ‖p‖) · (z / ‖z‖).

    SimSiam, equation 1.

    Args:
        p: [..., D] predictions, of any length.
        z: [..., D] targets, of any length.

    Returns:
        [] float32 in [-1, 1], the mean over all leading axes.

    Raises:
        AssertionError: if the shapes differ.
    """
    chex.assert_equal_shape([p, z])
    return -jnp.sum(_unit(p) * _unit(z), axis=-1).mean()


def normalized_mse(p: Array, z: Array) -> Array:
    """Squared distance of unit vectors, ‖p / ‖p‖ - z / ‖z‖‖² = 2 - 2 cos(p, z).

    BYOL, equation 2; summed over features, not averaged. Written as the distance, which
    keeps its digits where the two nearly agree. Zeros have the cosine 0 with anything,
    so that each row of them costs 2, as in the released code.

    Args:
        p: [..., D] predictions, of any length.
        z: [..., D] targets, of any length.

    Returns:
        [] float32 in [0, 4], the mean over all leading axes.

    Raises:
        AssertionError: if the shapes differ.
    """
    chex.assert_equal_shape([p, z])
    distance = jnp.sum(jnp.square(_unit(p) - _unit(z)), axis=-1)
    # What lacks a length is nearer by the square of that length than the cosine says.
    lost = sum((~jnp.any(x, axis=-1)).astype(jnp.float32) for x in (p, z))
    return (distance + lost).mean()


def output_std(z: Array) -> Array:
    """Standard deviation of the features of unit vectors: the sign of a collapse.

    SimSiam, figure 2: 0 if all outputs agree, and 1 / √D if they are spread evenly.

    Args:
        z: [B, ..., D], of any length; rows vary along axis 0.

    Returns:
        [] float32, the mean over features and the other axes.
    """
    return _unit(z).std(axis=0).mean()


def _unit(x: Array) -> Array:
    return l2_normalize(x.astype(jnp.float32))
