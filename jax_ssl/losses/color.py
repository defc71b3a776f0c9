"""Losses of predicting colours that a network did not see, cell by cell of its grid."""

import chex
import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array


def soft_cross_entropy(logits: Array, bins: Array, shares: Array) -> Array:
    """Cross-entropy with a target that few classes share, -Σₖ shareₖ log pₖ.

    Args:
        logits: [..., Q].
        bins: [..., k] int, the classes that have a share.
        shares: [..., k], with the sum 1.

    Returns:
        [...] float32, of every cell.

    Raises:
        AssertionError: if the shapes do not fit.
    """
    chex.assert_equal_shape([bins, shares])
    chex.assert_equal_shape_prefix([logits, bins], logits.ndim - 1)
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    return -jnp.sum(shares * jnp.take_along_axis(log_p, bins, axis=-1), axis=-1)


def squared_distance(prediction: Array, target: Array) -> Array:
    """‖ŷ - y‖² of vectors [..., C], [...] float32.

    Raises:
        AssertionError: if the shapes differ.
    """
    chex.assert_equal_shape([prediction, target])
    error = prediction.astype(jnp.float32) - target.astype(jnp.float32)
    return jnp.square(error).sum(axis=-1)
