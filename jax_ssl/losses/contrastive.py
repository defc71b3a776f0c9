"""Contrastive losses: a softmax that tells one positive from many negatives.

Each is written as log(1 + Σ exp(negative - positive)), not as logsumexp minus the
positive: where the positives are close and the temperature is small, the loss is far
below the rounding error of either term, and their difference would have no digit left.
"""

import functools
from typing import Any, Literal, TypeAlias, get_args

import chex
import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core import checks
from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.ring import every, logsumexp_over_rows
from jax_ssl.parallel.rows import mean_over_rows, shard_count

# How rows meet those of other devices: all are gathered, or they travel around a ring.
Form: TypeAlias = Literal["auto", "gather", "ring"]

# What a device may hold of the gathered form before "auto" takes the ring: 64 MiB.
GATHER_LIMIT = 2**26

# A positive leads if it is more similar by this much, which rounding cannot feign.
LEAD = 1e-6


def nt_xent(
    z: Array,
    *,
    temperature: float | Array,
    form: Form = "auto",
    decoupled: bool = False,
) -> Array:
    """Normalized temperature-scaled cross entropy over the global batch.

    SimCLR, equation 1: ℓ(i, j) = -log(exp(s_ij / τ) / Σ_{k≠i} exp(s_ik / τ)), s the
    cosine similarity, j the other view of i's image, k over all 2B - 1 other rows.

    Args:
        z: [B, 2, D] projections, rows of the batch sharded over the mesh; z[i, 0] and
            z[i, 1] come from one image. Of any length: rows are normalised here, at
            every scale that float32 holds; rows of zeros are similar to none.
        temperature: τ, positive; may be traced.
        form: the same value by other means. "gather": every device gathers z and holds
            the similarities of its rows to all, 4b x B numbers where it has b rows of
            z. "ring": the rows travel, and the similarities are made in tiles, forward
            and again backward; memory is O(B D) on one device, O(b D) on many. "auto":
            the ring where the similarities would take more than `GATHER_LIMIT` bytes.
        decoupled: j is left out of the sum over k too (Yeh et al., 2022,
            arXiv:2110.06848, "DCL"). In equation 1 a positive that is close already
            weakens the gradient of all negatives, most of all in small batches.

    Returns:
        [] float32, the mean over all 2B anchors, between 0 and log(2B - 1) + 2 / τ;
        exactly 0 for B = 1. Decoupled, that of an anchor is less by -log(1 - p), p the
        softmax's share of its positive, and the mean is within log(2B - 2) ± 2 / τ.

    Raises:
        AssertionError: if z is not [B, 2, D].
        ValueError: if the temperature is a number that is not positive, the form is
            unknown, or there is a single pair and the loss is decoupled.

    Note:
        The paper's code adds its two cross-entropies of B anchors each, so what it
        prints and what its gradient is of are 2 times this value, which is equation 1
        averaged; `simclr` has a scale for that.

        Against float64, value and gradient agree to 1e-5 for τ of 0.05 and above. The
        error of a similarity is 1e-7, so that of the value grows as 1e-7 / τ, and that
        of the gradient also as 1e-7 / α where all rows lie within an angle α.
    """
    return nt_xent_with_accuracy(
        z, temperature=temperature, form=form, decoupled=decoupled
    )[0]


def nt_xent_with_accuracy(
    z: Array,
    *,
    temperature: float | Array,
    form: Form = "auto",
    decoupled: bool = False,
) -> tuple[Array, Array]:
    """`nt_xent`, and how often the positive is the most similar of all rows.

    The accuracy has no gradient.

    Returns:
        [] float32 loss; [] float32 share of the 2B anchors, in [0, 1]. A lead of less
        than `LEAD` counts as a miss, so collapsed projections score 0.

    Raises:
        AssertionError: if z is not [B, 2, D].
        ValueError: as of `nt_xent`.
    """
    chex.assert_shape(z, (None, 2, None))
    checks.positive(temperature=temperature)
    unit = l2_normalize(z.astype(jnp.float32), epsilon=0)
    B, _, D = unit.shape
    if decoupled and B == 1:
        raise ValueError(
            "a single pair has no negatives, which decoupled = True needs."
        )
    if chosen_form(form, 4 * (2 * B) ** 2 // shard_count()) == "gather":
        row_loss = functools.partial(
            _gathered_anchors, temperature=temperature, decoupled=decoupled
        )
        return mean_over_rows(row_loss, unit)
    rows, partners = (x.reshape(2 * B, D) for x in (unit, unit[:, ::-1]))
    images = jnp.arange(2 * B) // 2
    ids = {"x_ids": images, "y_ids": images}
    return _against(rows, partners, rows, temperature, decoupled=decoupled, **ids)


def info_nce(
    q: Array,
    k: Array,
    negatives: Array,
    *,
    temperature: float | Array,
    form: Form = "auto",
    own: Array | None = None,
) -> tuple[Array, Array]:
    """InfoNCE with negatives that all queries share, and how often it is solved.

    MoCo, equation 1: -log(exp(q·k / τ) / (exp(q·k / τ) + Σ_n exp(q·n / τ))).

    Args:
        q: [B, D] queries, used as they are: normalise them first.
        k: [B, D] keys; k[i] is the positive of q[i].
        negatives: [K, D], a queue of past keys.
        temperature: τ, positive; may be traced.
        form: how devices see the queue; none ever holds its B x K scores. "gather":
            whole, which costs no transfer if it is replicated. "ring": each has K /
            devices rows of it, which travel; the devices must be able to share them.
            "auto": the ring where the queue is larger than `GATHER_LIMIT` bytes and
            can be shared.
        own: [B, J, D], further negatives of each query alone, or None.

    Returns:
        [] float32 loss, the mean over the global batch; log(K + J + 1) where all scores
        agree. [] float32, the share of queries that score their key above all
        negatives, by more than `LEAD`; it has no gradient.

    Raises:
        AssertionError: if the shapes do not fit.
        ValueError: if the temperature is a number that is not positive, the form is
            unknown, or the devices cannot share the queue.

    Note:
        Gradients flow into all three arrays; MoCo stops those of keys and queue.
    """
    chex.assert_rank([q, k, negatives], 2)
    chex.assert_equal_shape([q, k])
    chex.assert_equal_shape_suffix([q, negatives], 1)
    checks.positive(temperature=temperature)
    if own is not None:
        chex.assert_shape(own, (len(q), None, q.shape[1]))
        own = own.astype(jnp.float32)
    q, k, negatives = (x.astype(jnp.float32) for x in (q, k, negatives))
    K, shards = len(negatives), shard_count()
    chosen = chosen_form(form, negatives.nbytes)
    if chosen == "ring" and K % shards:
        if form == "ring":
            raise ValueError(
                f"{shards} devices cannot share a queue of {K} rows equally; make it a "
                f"multiple of {shards}, or use the form 'gather'."
            )
        chosen = "gather"
    reach = "ring" if chosen == "ring" else "whole"
    return _against(q, k, negatives, temperature, own, allowed=every, reach=reach)


def info_nce_in_batch(
    q: Array, k: Array, *, temperature: float | Array, form: Form = "auto"
) -> tuple[Array, Array]:
    """InfoNCE whose negatives are the other keys of the global batch.

    MoCo v3, equation 1, with negatives {k_j, j ≠ i}:
    -log(exp(q_i·k_i / τ) / Σ_j exp(q_i·k_j / τ)).

    Args:
        q: [B, D] queries, rows sharded over the mesh; normalise them first.
        k: [B, D] keys, sharded likewise; k[i] is the positive of q[i].
        temperature: τ, positive; may be traced.
        form: how keys reach all devices, none of which ever holds its b x B scores:
            by one "gather", or around a "ring". "auto": the ring where all keys take
            more than `GATHER_LIMIT` bytes.

    Returns:
        [] float32 loss, the mean over the global batch; log(B) where all scores agree.
        [] float32 accuracy, as of `info_nce`.

    Raises:
        AssertionError: if the shapes do not fit.
        ValueError: if the temperature is a number that is not positive, or the form is
            unknown.

    Note:
        Gradients flow into both arrays; MoCo v3 stops those of keys. Its code
        multiplies the loss by 2 τ; that factor is left to the method.
    """
    chex.assert_rank([q, k], 2)
    chex.assert_equal_shape([q, k])
    checks.positive(temperature=temperature)
    q, k = (x.astype(jnp.float32) for x in (q, k))
    return _against(q, k, k, temperature, reach=chosen_form(form, k.nbytes))


def _against(
    q: Array,
    k: Array,
    rows: Array,
    temperature: float | Array,
    own: Array | None = None,
    decoupled: bool = False,
    **how: Any,
) -> tuple[Array, Array]:
    """Loss and accuracy of q [B, D] with the positives k among the scores of `rows`."""
    positive = jnp.sum(q * k, axis=1)
    lse, top = logsumexp_over_rows(q, rows, positive, scale=1 / temperature, **how)
    if own is not None:
        scores = einsum("bd,bjd->bj", q, own) - positive[:, None]
        scores = scores / temperature
        lse = jnp.logaddexp(lse, jax.nn.logsumexp(scores, axis=1))
        top = jnp.maximum(top, lax.stop_gradient(scores).max(1))
    loss = lse if decoupled else jax.nn.softplus(lse)
    return loss.mean(), is_lead(top * temperature).mean()


def check_form(form: str, setting: str = "form") -> None:
    """Refuses a form that is none.

    Raises:
        ValueError: naming the setting, its value and the forms there are.
    """
    checks.one_of(get_args(Form), **{setting: form})


def chosen_form(form: Form, gathered_bytes: int) -> Literal["gather", "ring"]:
    """The form itself, and for "auto" the one that the bytes of the gathered speak for.

    Raises:
        ValueError: if the form is unknown.
    """
    check_form(form)
    if form == "auto":
        return "ring" if gathered_bytes > GATHER_LIMIT else "gather"
    return form


def differences(mine: Array, everyone: Array, start: Array) -> tuple[Array, Array]:
    """How much more similar each row is to an anchor than the anchor's positive.

    Args:
        mine: [b, 2, D], pairs whose rows are the anchors, the two of a pair being each
            other's positive.
        everyone: [B, 2, D], all pairs.
        start: [] int32, number of the first of the b pairs.

    Returns:
        [2b, 2B] differences of inner products, exactly 0 for rows equal to the
        positive; [2b, 2B] bool, True for the negatives, the rows of other pairs.
    """
    # Pairs side by side, so that the similarities are one plain matrix.
    anchors = mine.reshape(-1, mine.shape[-1])
    rows = everyone.reshape(-1, mine.shape[-1])
    similarity = einsum("nd,md->nm", anchors, rows)
    anchor = (2 * start + jnp.arange(len(anchors)))[:, None]
    row = jnp.arange(len(rows))
    # Read off the matrix, so that equal rows differ by exactly zero.
    is_positive = row == anchor ^ 1
    positive = jnp.sum(jnp.where(is_positive, similarity, 0), 1, keepdims=True)
    return similarity - positive, row // 2 != anchor // 2


def _gathered_anchors(
    mine: Array,
    everyone: Array,
    start: Array,
    *,
    temperature: float | Array,
    decoupled: bool,
) -> tuple[Array, Array]:
    """Loss and hits of every pair of views, a row loss for `mean_over_rows`."""
    difference, negative = differences(mine, everyone, start)
    difference = jnp.where(negative, difference / temperature, -jnp.inf)
    largest = jnp.max(difference, axis=1)
    if decoupled:
        loss = jax.nn.logsumexp(difference, axis=1)
    else:
        # log(1 + Σ exp(difference)) of every row, to full relative precision.
        top = lax.stop_gradient(jnp.maximum(largest, 0))
        total = jnp.sum(jnp.exp(difference - top[:, None]), axis=1)
        loss = top + jnp.log1p(total + jnp.expm1(-top))
    hit = is_lead(largest * temperature)
    return loss.reshape(-1, 2).mean(1), hit.reshape(-1, 2).mean(1)


def is_lead(largest: Array) -> Array:
    """1 where the largest difference to the positive is clearly below 0, else 0."""
    return (largest < -LEAD).astype(jnp.float32)
