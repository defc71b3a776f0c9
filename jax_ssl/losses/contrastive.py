"""Contrastive losses: a softmax that tells one positive from many negatives.

Each is written as log(1 + Σ exp(negative - positive)), not as logsumexp minus the
positive: where the positives are close and the temperature is small, the loss is far
below the rounding error of either term, and their difference would have no digit left.
"""

from collections.abc import Callable

import chex
import jax.numpy as jnp
from jax import lax

from jax_ssl.core.types import Array
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.rows import mean_over_rows


def nt_xent(z: Array, *, temperature: float | Array) -> Array:
    """Normalized temperature-scaled cross entropy over the global batch.

    SimCLR, equation 1: ℓ(i, j) = -log(exp(s_ij / τ) / Σ_{k≠i} exp(s_ik / τ)), s the
    cosine similarity, j the other view of i's image, k over all 2B - 1 other rows.

    Args:
        z: [B, 2, D] projections, rows of the batch sharded over the mesh; z[i, 0] and
            z[i, 1] come from one image. Of any length: rows are normalised here, at
            every scale that float32 holds; rows of zeros are similar to none.
        temperature: τ, positive; may be traced.

    Returns:
        [] float32, the mean over all 2B anchors, between 0 and log(2B - 1) + 2 / τ;
        exactly 0 for B = 1.

    Raises:
        AssertionError: if z is not [B, 2, D].
        ValueError: if the temperature is a number that is not positive.

    Note:
        The paper's code adds its two cross-entropies of B anchors each, so what it
        prints is 2 times this value, which is equation 1 averaged.

        Against float64, value and gradient agree to 1e-5 for τ of 0.05 and above. The
        error of a similarity is 1e-7, so that of the value grows as 1e-7 / τ, and that
        of the gradient also as 1e-7 / α where all rows lie within an angle α.
    """
    unit = _unit_pairs(z, temperature)
    return mean_over_rows(_anchors(_loss_of_differences, temperature), unit)


def nt_xent_with_accuracy(
    z: Array, *, temperature: float | Array
) -> tuple[Array, Array]:
    """`nt_xent`, and how often the positive is the most similar of all rows.

    The accuracy has no gradient. Under `jit` the compiler merges its gather and
    similarities with those of the loss.

    Returns:
        [] float32 loss; [] float32 share of the 2B anchors, in [0, 1]. A tie counts as
        a miss, so collapsed projections score 0.

    Raises:
        AssertionError: if z is not [B, 2, D].
        ValueError: if the temperature is a number that is not positive.
    """
    unit = _unit_pairs(z, temperature)
    value = mean_over_rows(_anchors(_loss_of_differences, temperature), unit)
    hits = mean_over_rows(_anchors(_is_hit, temperature), lax.stop_gradient(unit))
    return value, hits


def info_nce(
    q: Array, k: Array, negatives: Array, *, temperature: float | Array
) -> Array:
    """InfoNCE with negatives that all queries share.

    MoCo, equation 1: -log(exp(q·k / τ) / (exp(q·k / τ) + Σ_n exp(q·n / τ))).

    Args:
        q: [B, D] queries, used as they are: normalise them first.
        k: [B, D] keys; k[i] is the positive of q[i].
        negatives: [K, D], a queue of past keys.
        temperature: τ, positive; may be traced.

    Returns:
        [] float32, the mean over the global batch; log(K + 1) where all scores agree.

    Raises:
        AssertionError: if the shapes do not fit.
        ValueError: if the temperature is a number that is not positive.

    Note:
        Gradients flow into all three arrays; MoCo stops those of keys and queue.
    """
    chex.assert_rank([q, k, negatives], 2)
    chex.assert_equal_shape([q, k])
    chex.assert_equal_shape_suffix([q, negatives], 1)
    _check_temperature(temperature)
    q, k, negatives = (x.astype(jnp.float32) for x in (q, k, negatives))
    positive = jnp.einsum("bd,bd->b", q, k, precision=lax.Precision.HIGHEST)
    scores = _products(q, negatives)  # [B, K]
    return _loss_of_differences((scores - positive[:, None]) / temperature).mean()


def _unit_pairs(z: Array, temperature: float | Array) -> Array:
    chex.assert_shape(z, (None, 2, None))
    _check_temperature(temperature)
    return l2_normalize(z.astype(jnp.float32), epsilon=0)


def _anchors(
    of_differences: Callable[[Array], Array], temperature: float | Array
) -> Callable[[Array, Array, Array], Array]:
    """A row loss for `mean_over_rows` out of a function [n, m] -> [n].

    The function sees, for every anchor, (s_ik - s_ij) / τ over all rows k of the
    global batch, -inf where k is the anchor or its positive.
    """

    def row_loss(mine: Array, everyone: Array, start: Array) -> Array:
        b, _, D = mine.shape
        # Pairs side by side, so that the similarities are one plain matrix.
        B = everyone.shape[0]
        similarity = _products(mine.reshape(2 * b, D), everyone.reshape(2 * B, D))
        anchor = (2 * start + jnp.arange(2 * b))[:, None]  # [2b, 1]
        row = jnp.arange(2 * B)
        # Read off the matrix, so that equal rows differ by exactly zero.
        is_positive = row == anchor ^ 1
        positive = jnp.sum(jnp.where(is_positive, similarity, 0), 1, keepdims=True)
        difference = (similarity - positive) / temperature
        difference = jnp.where(row // 2 == anchor // 2, -jnp.inf, difference)
        return of_differences(difference).reshape(b, 2).mean(1)

    return row_loss


def _products(a: Array, b: Array) -> Array:
    """Inner products [n, m] of rows [n, D] and [m, D], in full float32."""
    return jnp.einsum("nd,md->nm", a, b, precision=lax.Precision.HIGHEST)


def _loss_of_differences(x: Array) -> Array:
    """log(1 + Σ exp(x)) of every row, to full relative precision.

    Args:
        x: [n, m], below infinity.
    """
    top = lax.stop_gradient(jnp.maximum(jnp.max(x, axis=1), 0))
    total = jnp.sum(jnp.exp(x - top[:, None]), axis=1)
    return top + jnp.log1p(total + jnp.expm1(-top))


def _is_hit(x: Array) -> Array:
    """1 where every negative is below the positive, else 0; [n, m] -> [n]."""
    return (jnp.max(x, axis=1) < 0).astype(jnp.float32)


def _check_temperature(temperature: float | Array) -> None:
    if isinstance(temperature, int | float) and not temperature > 0:
        raise ValueError(
            f"temperature = {temperature} must be positive; the papers' values lie "
            "between 0.05 and 1."
        )
