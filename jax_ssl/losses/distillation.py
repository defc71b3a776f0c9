"""Cross-entropies between a teacher's and a student's scores of prototypes.

DINO (Caron et al., 2021, arXiv:2104.14294), iBOT (Zhou et al., 2022, arXiv:2111.07832).
All are computed in float32, and differentiated in the student's scores alone.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array
from jax_ssl.ops.sinkhorn import sinkhorn


def sharpened(
    scores: Array, center: Array | float, temperature: Array | float
) -> Array:
    """The teacher's distribution, softmax((g - c) / τ) (DINO, section 3.1).

    Args:
        scores: g, [..., K].
        center: c, [K], subtracted.
        temperature: τ, positive.

    Returns:
        [..., K] float32 that sum to 1; no gradient flows through it.
    """
    scores = jax.lax.stop_gradient(scores).astype(jnp.float32)
    return jax.nn.softmax((scores - center) / temperature, axis=-1)


def teacher_targets(
    scores: Array,
    center: Array | float,
    temperature: Array | float,
    centering: Literal["center", "sinkhorn"],
    counts: Array | None = None,
) -> Array:
    """The teacher's distributions as DINOv2 makes them (section 4), of some rows.

    Args:
        scores: g, [..., K].
        center: c, [K]; not read by Sinkhorn.
        temperature: τ, positive; Sinkhorn's ε.
        centering: "center" for `sharpened`, or "sinkhorn" over all rows that count.
        counts: [...] bool, rows that do; None for all.

    Returns:
        [..., K] float32 that sum to 1, or are 0 where a row does not count; no gradient
        flows through it.
    """
    if centering == "center":
        targets = sharpened(scores, center, temperature)
    else:
        rows = None if counts is None else counts.reshape(-1)
        flat = scores.reshape(-1, scores.shape[-1])
        targets = sinkhorn(flat, epsilon=temperature, rows=rows).reshape(scores.shape)
    if counts is not None:  # Sinkhorn of no rows at all is not finite.
        targets = jnp.where(counts[..., None], targets, 0.0)
    return jax.lax.stop_gradient(targets)


def entropy(probabilities: Array) -> Array:
    """Mean entropy of distributions [..., K], [] float32 in nats."""
    return -jax.scipy.special.xlogy(probabilities, probabilities).sum(-1).mean()


def multi_crop_cross_entropy(logits: Array, targets: Array) -> Array:
    """What the student says of every crop against what the teacher says of another.

    DINO's equation 3: the mean over rows, and over all pairs of a crop i that the
    teacher sees and a crop v ≠ i of the student, of -Σₖ Pᵢₖ log softmax(gᵥ)ₖ. With V
    crops of which the teacher sees two there are 2 (V - 1) pairs.

    Args:
        logits: g, [B, V, K], the student's, divided by its temperature. The first T
            crops are those that the teacher sees, in the same order.
        targets: P, [B, T, K], distributions; T <= V.

    Returns:
        [] float32, at least the mean entropy of the targets; ln K for equal logits.

    Raises:
        ValueError: if there is no pair, or more targets than crops.
    """
    T, V = targets.shape[1], logits.shape[1]
    if T > V or T * V <= T:
        raise ValueError(
            f"{V} crops of the student and {T} of the teacher make no pairs of "
            "different crops; the student sees all of the teacher's, and there are at "
            "least two."
        )
    logits, targets = logits.astype(jnp.float32), jax.lax.stop_gradient(targets)
    # The targets sum to 1, so that only the logits are normalised.
    said = einsum("btk,bvk->btv", targets, logits)
    pairs = jax.nn.logsumexp(logits, axis=-1)[:, None] - said  # [B, T, V]
    others = 1.0 - jnp.eye(T, V)
    return (pairs.mean(0) * others).sum() / others.sum()


def masked_cross_entropy(logits: Array, targets: Array, mask: Array) -> Array:
    """What the student says of patches that it did not see (iBOT, equation 3).

    The mean over images of the mean over their masked patches; an image without any
    counts as zero.

    Args:
        logits: [N, M, K], the student's, divided by its temperature.
        targets: [N, M, K], the teacher's distributions of the same patches.
        mask: [N, M] bool, patches that count.

    Returns:
        [] float32.
    """
    logits, targets = logits.astype(jnp.float32), jax.lax.stop_gradient(targets)
    losses = jax.nn.logsumexp(logits, axis=-1) - (targets * logits).sum(-1)  # [N, M]
    number = jnp.maximum(mask.sum(1), 1)
    return (jnp.where(mask, losses, 0.0).sum(1) / number).mean()
