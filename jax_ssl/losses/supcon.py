"""Supervised contrastive loss (Khosla et al., 2020, arXiv:2004.11362).

NT-Xent where labels are known: all rows of the anchor's class are its positives. Scores
are counted from that of the anchor's other view, so that, where no two images share a
label, what is computed is NT-Xent itself.
"""

import functools
from typing import Literal, NamedTuple, TypeAlias, get_args

import chex
import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.losses.contrastive import Form, chosen_form, differences, is_lead
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.ring import logsumexp_over_rows, sums_over_rows
from jax_ssl.parallel.rows import mean_over_rows, shard_count

# Where the mean over the positives stands: outside of the logarithm, or inside.
Mean: TypeAlias = Literal["outside", "inside"]


class Ids(NamedTuple):
    """What decides which rows belong together.

    Attributes:
        label: [n] integers.
        image: [n] int32, number of the image in the global batch.
    """

    label: Array
    image: Array


class Scores(NamedTuple):
    """Of every anchor, less the score of its image's other view, over τ; each [n].

    Attributes:
        negatives: log-sum-exp over the rows of other classes; -inf without any.
        hardest: the largest of them; -inf without any.
        peers: log-sum-exp over the rows of other images of its class, likewise.
        nearest: the largest of them, likewise.
        mean: over all positives, the other view among them with 0.
        positives: their number, at least 1.
    """

    negatives: Array
    hardest: Array
    peers: Array
    nearest: Array
    mean: Array
    positives: Array


def supervised_contrastive(
    z: Array,
    labels: Array,
    *,
    temperature: float | Array,
    mean: Mean = "outside",
    form: Form = "auto",
) -> tuple[Array, Array]:
    """Cross-entropy of an anchor's positives among all other rows, and its accuracy.

    With P the other rows of the anchor's class, A all other rows, and s_p the cosine
    similarity to row p: the paper's L_out (equation 2) is
    -(1/|P|) Σ_p log(exp(s_p / τ) / Σ_{a in A} exp(s_a / τ)), and its L_in (equation 3)
    -log((1/|P|) Σ_p exp(s_p / τ) / Σ_{a in A} exp(s_a / τ)), which is never larger.

    Args:
        z: [B, 2, D] projections, rows of the batch sharded over the mesh; of any
            length, see `nt_xent`.
        labels: [B] integers, sharded likewise; equal ones are one class, whatever their
            value: none stands for "unknown".
        temperature: τ, positive; may be traced.
        mean: "outside" for L_out, "inside" for L_in.
        form: as in `nt_xent`: "gather" holds the similarities of a device's rows to
            all, "ring" makes them in tiles and passes rows and labels on, three times
            around forward and backward. "auto": the ring where the similarities would
            take more than `contrastive.GATHER_LIMIT` bytes.

    Returns:
        [] float32 loss, the mean over all 2B anchors; log(2B - 1) where all rows agree.
        [] float32, share of the anchors whose most similar row is of their class, by a
        lead of more than `contrastive.LEAD`; it has no gradient.

    Raises:
        AssertionError: if z is not [B, 2, D], or labels are not [B].
        ValueError: if the temperature is a number that is not positive, or `mean` or
            the form is unknown.

    Note:
        The authors' codes multiply this loss by τ, or by τ / 0.07; that factor is left
        to the method.

        Against float64, value and gradient agree to 1e-5 for τ of 0.05 and above. Where
        the rows of a class almost coincide, the value still does, but the gradient of
        L_out, by then near zero, is a difference of nearly equal shares: of rows within
        an angle of 0.005 it has three digits.
    """
    chex.assert_shape(z, (None, 2, None))
    chex.assert_shape(labels, z.shape[:1])
    checks.positive(temperature=temperature)
    check_mean(mean)
    unit = l2_normalize(z.astype(jnp.float32), epsilon=0)
    B = len(unit)
    if chosen_form(form, 4 * (2 * B) ** 2 // shard_count()) == "gather":
        row_loss = functools.partial(_gathered, temperature=temperature, mean=mean)
        return mean_over_rows(row_loss, (unit, labels))
    value, hit = _judged(_around(unit, labels, temperature), temperature, mean)
    return value.mean(), hit.mean()


def check_mean(mean: str) -> None:
    """Refuses a place of the mean that is none.

    Raises:
        ValueError: naming the value and the places there are.
    """
    checks.one_of(get_args(Mean), mean=mean)


def _judged(
    scores: Scores, temperature: float | Array, mean: Mean
) -> tuple[Array, Array]:
    """Loss and hit of every anchor."""
    # Logs of Σ_P, and of Σ_A over it: neither is the difference of two large numbers.
    of_class = jax.nn.softplus(scores.peers)
    beyond = jax.nn.softplus(scores.negatives - of_class)
    if mean == "inside":
        value = beyond + jnp.log(scores.positives)
    else:
        value = beyond + of_class - scores.mean
    ahead = scores.hardest - jnp.maximum(scores.nearest, 0)
    return value, is_lead(lax.stop_gradient(ahead * temperature))


def another_class(own: Ids, others: Ids) -> Array:
    """Pairs of different labels."""
    return own.label != others.label


def peers(own: Ids, others: Ids) -> Array:
    """Pairs of different images of one label."""
    return (own.label == others.label) & (own.image != others.image)


def _around(unit: Array, labels: Array, temperature: float | Array) -> Scores:
    """Scores by the ring, of the rows of unit [B, 2, D] in their order."""
    B, _, D = unit.shape
    rows, partners = (x.reshape(2 * B, D) for x in (unit, unit[:, ::-1]))
    ids = Ids(jnp.repeat(labels, 2), jnp.arange(2 * B) // 2)
    partner = jnp.sum(rows * partners, axis=1)
    over = functools.partial(
        logsumexp_over_rows,
        *(rows, rows, partner),
        scale=1 / temperature,
        x_ids=ids,
        y_ids=ids,
    )
    ones = jnp.ones((2 * B, 1))
    sums = sums_over_rows(jnp.concatenate([rows, ones], axis=1), ids, allowed=peers)
    total, count = sums[:, :D], lax.stop_gradient(sums[:, D])
    mean = (jnp.sum(rows * total, axis=1) - count * partner) / (1 + count)
    return Scores(
        *over(allowed=another_class),
        *over(allowed=peers),
        mean / temperature,
        1 + count,
    )


def _gathered(
    mine: tuple[Array, Array],
    everyone: tuple[Array, Array],
    start: Array,
    *,
    temperature: float | Array,
    mean: Mean,
) -> tuple[Array, Array]:
    """Loss and hits of every image, a row loss for `mean_over_rows`."""
    difference, other_image = differences(mine[0], everyone[0], start)
    difference = difference / temperature
    own, others = jnp.repeat(mine[1], 2)[:, None], jnp.repeat(everyone[1], 2)
    peer = (own == others) & other_image
    count = 1 + jnp.sum(peer, axis=1)
    average = jnp.sum(jnp.where(peer, difference, 0), axis=1) / count
    scores = Scores(
        *_log_of_sum(difference, own != others),
        *_log_of_sum(difference, peer),
        average,
        count,
    )
    value, hit = _judged(scores, temperature, mean)
    return value.reshape(-1, 2).mean(1), hit.reshape(-1, 2).mean(1)


def _log_of_sum(x: Array, counts: Array) -> tuple[Array, Array]:
    """Log Σ exp(x) over the last axis and the largest x, where `counts`; else -inf."""
    x = jnp.where(counts, x, -jnp.inf)
    top = lax.stop_gradient(jnp.max(x, axis=1))
    origin = jnp.where(top == -jnp.inf, 0, top)
    total = jnp.sum(jnp.exp(x - origin[:, None]), axis=1)
    empty = total == 0
    # The inner `where` keeps the derivative of the logarithm away from zero.
    log = jnp.log(jnp.where(empty, 1, total)) + origin
    return jnp.where(empty, -jnp.inf, log), top
