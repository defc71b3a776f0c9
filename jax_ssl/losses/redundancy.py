"""Losses that keep the features of a batch from repeating each other.

All are functions of the global batch: moments are over all its rows, and the sums over
rows cross the devices. Everything is float32 whatever the dtype of the embeddings.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array
from jax_ssl.losses.prediction import normalized_mse
from jax_ssl.ops.normalize import standardize
from jax_ssl.ops.whitening import whiten


def barlow_twins(
    z: Array, *, redundancy_weight: float = 0.0051, epsilon: float = 1e-5
) -> tuple[Array, dict[str, Array]]:
    """Distance of the views' cross-correlation matrix from the identity.

    Barlow Twins, equations 1 and 2: with features standardised over the batch and
    C_ij = mean_b ẑ_bi ẑ'_bj, the loss is Σ_i (1 - C_ii)² + λ Σ_i Σ_{j≠i} C_ij².

    Args:
        z: [B, 2, D] embeddings.
        redundancy_weight: λ; 0.0051 in the released code, 5e-3 in the paper.
        epsilon: added to the variance of a feature.

    Returns:
        [] float32, a sum over all pairs of features; {"invariance", "redundancy"}, its
        two terms, the second without λ.

    Raises:
        AssertionError: if z is not [B, 2, D].

    Note:
        The variance is the biased one, as in the released code (a batch norm without
        scale and offset); with the unbiased one C_ii would not reach 1.
    """
    chex.assert_shape(z, (None, 2, None))
    checks.several_rows(len(z), "barlow_twins")
    standard = standardize(_wide(z), axis=0, epsilon=epsilon, ddof=0)
    C = einsum("bi,bj->ij", standard[:, 0], standard[:, 1]) / z.shape[0]  # [D, D]
    invariance = jnp.square(1 - jnp.diagonal(C)).sum()
    redundancy = jnp.square(_off_diagonal(C)).sum()
    value = invariance + redundancy_weight * redundancy
    return value, {"invariance": invariance, "redundancy": redundancy}


def vicreg(
    z: Array,
    *,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
    epsilon: float = 1e-4,
) -> tuple[Array, dict[str, Array]]:
    """Variance, invariance and covariance of two views' embeddings.

    VICReg, equation 6, λ s + μ v + ν c, of three terms:

        s = mean_b,i (z_bi - z'_bi)²                      mean square (equation 5, / D)
        v = mean_i max(0, 1 - √(Var z_i + ε))             halved sum of both views
        c = Σ_i Σ_{j≠i} Cov(z)_ij² / D                    sum of both views

    Args:
        z: [B, 2, D] embeddings, B > 1, as they are: nothing is normalised.
        invariance_weight: λ.
        variance_weight: μ.
        covariance_weight: ν.
        epsilon: ε, added to the variance under the root.

    Returns:
        [] float32; {"invariance", "variance", "covariance"}, the terms without weights.

    Raises:
        AssertionError: if z is not [B, 2, D].
        ValueError: if there is one row.

    Note:
        s is a mean over the features too, and v is an average over the views where c is
        their sum: the released code has both so, and the published weights go with it.
        Variance and covariance are divided by B - 1.
    """
    chex.assert_shape(z, (None, 2, None))
    B, _, D = z.shape
    checks.several_rows(B, "vicreg")
    z = _wide(z)
    invariance = jnp.square(z[:, 0] - z[:, 1]).mean()
    centred = z - z.mean(0)
    std = jnp.sqrt(jnp.square(centred).sum(0) / (B - 1) + epsilon)  # [2, D]
    variance = jax.nn.relu(1 - std).mean()
    covariance = jnp.zeros(())
    for x in (centred[:, 0], centred[:, 1]):
        C = einsum("bi,bj->ij", x, x) / (B - 1)  # [D, D]
        covariance += jnp.square(_off_diagonal(C)).sum() / D
    value = (
        invariance_weight * invariance
        + variance_weight * variance
        + covariance_weight * covariance
    )
    terms = {"invariance": invariance, "variance": variance, "covariance": covariance}
    return value, terms


def w_mse(
    z: Array,
    orders: Array,
    *,
    size: int,
    distance: Literal["cosine", "euclidean"] = "cosine",
    shrinkage: float = 0.0,
) -> Array:
    """Mean squared error of whitened positives.

    W-MSE: the rows are cut into sub-batches, the same in every
    view; each view of each sub-batch is whitened by itself, and all V (V - 1) / 2 pairs
    of views of an image are compared. The mean over pairs and images of dist(w_i, w_j).

    Args:
        z: [B, V, D] embeddings, V ≥ 2.
        orders: [I, B] int32 permutations of the rows; the loss is averaged over the I
            partitions into runs of `size` rows that they make.
        size: rows of a sub-batch, well above D; divides B.
        distance: "cosine" for 2 - 2 cos, "euclidean" for the squared difference, mean
            over features.
        shrinkage: share of the identity in the covariance, in [0, 1).

    Returns:
        [] float32.

    Raises:
        AssertionError: if the shapes do not fit.
        ValueError: if there is one view, `size` does not divide B or cannot be
            whitened; for another distance.
    """
    chex.assert_rank([z, orders], [3, 2])
    B, V, D = z.shape
    chex.assert_shape(orders, (None, B))
    if V < 2:
        raise ValueError("w_mse compares views; give it 2 or more, not 1.")
    checks.one_of(("cosine", "euclidean"), distance=distance)
    if size < 1 or B % size:
        raise ValueError(
            f"w_mse cannot cut {B} rows into sub-batches of size = {size}; choose a "
            "divisor of the batch size."
        )
    z = _wide(z)

    def of_partition(order: Array) -> Array:
        parts = z[order].reshape(B // size, size, V, D).swapaxes(1, 2)
        white = whiten(parts, shrinkage=shrinkage)  # [B / size, V, size, D]
        i, j = jnp.triu_indices(V, k=1)
        a, b = white[:, i], white[:, j]
        if distance == "cosine":
            return normalized_mse(a, b)
        return jnp.square(a - b).mean()

    return jax.vmap(of_partition)(orders).mean()


def _off_diagonal(square: Array) -> Array:
    """The matrix with zeros on its diagonal."""
    return jnp.where(jnp.eye(len(square), dtype=bool), 0, square)


def _wide(z: Array) -> Array:
    return jnp.asarray(z, jnp.float32)
