"""The loss of predicting what was masked: only what the network did not see counts."""

import chex
import jax.numpy as jnp

from jax_ssl.core.types import Array


def masked_mse(prediction: Array, target: Array, mask: Array) -> Array:
    """Mean squared error of the masked patches.

    MAE (He et al., 2022, arXiv:2111.06377), section 3: Σ mask · mean_P (ŷ - y)² /
    Σ mask, with sums over the patches of the whole batch. What is predicted for the
    others has no part in the loss and no gradient.

    Args:
        prediction: [B, N, P], P values of each of N patches.
        target: [B, N, P].
        mask: [B, N] bool, True where the network did not see the patch; at least one.

    Returns:
        [] float32.

    Raises:
        AssertionError: if the shapes do not fit.
    """
    chex.assert_rank([prediction, target, mask], [3, 3, 2])
    chex.assert_equal_shape([prediction, target])
    chex.assert_equal_shape_prefix([prediction, mask], 2)
    error = prediction.astype(jnp.float32) - target.astype(jnp.float32)
    error = jnp.square(error).mean(axis=-1)  # [B, N]
    return jnp.sum(jnp.where(mask, error, 0.0)) / jnp.sum(mask)
