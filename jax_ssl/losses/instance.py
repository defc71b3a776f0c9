"""Instance discrimination: every image of the data set is a class, its memory a weight.

The memory bank holds a unit vector per image. No gradient flows into it; its rows move
after the loss has read them.
"""

import math
from typing import Literal, TypeAlias

import chex
import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.losses.contrastive import is_lead
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.ops.queue import random_queue
from jax_ssl.parallel.bank import (
    bank_rows,
    bank_scores,
    bank_size,
    logsumexp_over_bank,
    write_bank,
)

# How the own memory is told from a few others: by `bank_nce`, or `bank_info_nce`.
Contrast: TypeAlias = Literal["nce", "softmax"]


def new_bank(key: Array, num_examples: int, dim: int) -> Array:
    """Random unit rows for `num_examples` images and a few rows that nobody reads."""
    return random_queue(key, bank_size(num_examples), dim)


def bank_softmax(
    v: Array, index: Array, bank: Array, *, num_examples: int, temperature: float
) -> tuple[Array, dict[str, Array]]:
    """Cross-entropy of an image among all images of the data set.

    NPID, equations 2 and 3: -log(exp(v_i · f_i / τ) / Σ_j exp(v_i · f_j / τ)).

    Args:
        v: [B, D] unit vectors, rows sharded over the mesh.
        index: [B] int32, the rows' images, sharded likewise.
        bank: [N, D], see `parallel.bank`.
        num_examples: n, 2 or more; rows of the bank from here on do not count.
        temperature: τ, positive.

    Returns:
        [] float32, the mean over the global batch, log n where all scores agree;
        {"positive_similarity", "contrastive_accuracy"}: the mean of v_i · f_i, and the
        share of rows that score it above all others.

    Raises:
        AssertionError: if the shapes do not fit.
    """
    positive = _positive_scores(v, index, bank)
    lse, top = logsumexp_over_bank(
        v, positive, index, bank, scale=1 / temperature, num_examples=num_examples
    )
    return jax.nn.softplus(lse).mean(), {
        "positive_similarity": positive.mean(),
        "contrastive_accuracy": is_lead(top * temperature).mean(),
    }


def bank_nce(
    v: Array,
    index: Array,
    slots: Array,
    bank: Array,
    *,
    partition: Array,
    num_examples: int,
    temperature: float,
) -> tuple[Array, dict[str, Array]]:
    """Noise-contrastive estimation: the image's own memory against noise.

    NPID, section 3.2, with P(i|v) = exp(v · f_i / τ) / Z, noise P_n = 1 / n and
    h = P / (P + m P_n): -log h(own) - Σ_j log(1 - h(noise_j)), j = 1 ... m.

    Args:
        v: [B, D] unit vectors, rows sharded over the mesh.
        index: [B] int32, the rows' images, sharded likewise.
        slots: [B, m] int32, images drawn uniformly from all n for each row, with
            replacement; sharded likewise.
        bank: [N, D], see `parallel.bank`.
        partition: [] Z of an earlier step; 0 to estimate it from these scores.
        num_examples: n.
        temperature: τ, positive.

    Returns:
        [] float32, the mean over the global batch; log(1 + m) + m log(1 + 1 / m) where
        P = 1 / n throughout. {"partition"}: Z as it was used; {"positive_similarity",
        "contrastive_accuracy"} as of `bank_softmax`, the second among the slots.

    Raises:
        AssertionError: if the shapes do not fit.

    Note:
        As in the released code, the estimate n mean(exp(v · f / τ)) is over the batch's
        own memories too. Written with log-odds: nothing is clipped.
    """
    chex.assert_equal_shape_prefix([v, slots], 1)
    positive = _positive_scores(v, index, bank)
    noise = bank_scores(v, slots, bank)
    scores = jnp.concatenate([positive[:, None], noise], axis=1) / temperature
    estimate = num_examples * jnp.exp(jax.lax.stop_gradient(scores)).mean()
    partition = jnp.where(partition > 0, partition, estimate)
    # log(P / (m P_n)), the log-odds of h.
    odds = scores - jnp.log(partition) - jnp.log(slots.shape[1] / num_examples)
    value = jax.nn.softplus(-odds[:, 0]) + jax.nn.softplus(odds[:, 1:]).sum(1)
    return value.mean(), {
        "partition": partition,
        "positive_similarity": positive.mean(),
        "contrastive_accuracy": is_lead(noise.max(1) - positive).mean(),
    }


def bank_info_nce(
    v: Array, index: Array, slots: Array, bank: Array, *, temperature: float
) -> tuple[Array, dict[str, Array]]:
    """Cross-entropy of the image's own memory among itself and some others.

    -log(exp(v · f_own / τ) / (exp(v · f_own / τ) + Σ_j exp(v · f_j / τ))) over the
    slots j of a row.

    Args:
        v: [B, D] unit vectors, rows sharded over the mesh.
        index: [B] int32, the rows' images, sharded likewise.
        slots: [B, m] int32, other images for each row; sharded likewise.
        bank: [N, D], see `parallel.bank`.
        temperature: τ, positive.

    Returns:
        [] float32, the mean over the global batch, log(1 + m) where all scores agree;
        {"positive_similarity", "contrastive_accuracy"} as of `bank_nce`.

    Raises:
        AssertionError: if the shapes do not fit.
    """
    chex.assert_equal_shape_prefix([v, slots], 1)
    positive = _positive_scores(v, index, bank)
    noise = bank_scores(v, slots, bank) - positive[:, None]
    value = jax.nn.softplus(jax.nn.logsumexp(noise / temperature, axis=1))
    return value.mean(), {
        "positive_similarity": positive.mean(),
        "contrastive_accuracy": is_lead(noise.max(1)).mean(),
    }


def bank_contrast(
    objective: Contrast,
    v: Array,
    index: Array,
    slots: Array,
    bank: Array,
    *,
    partition: Array,
    num_examples: int,
    temperature: float,
) -> tuple[Array, dict[str, Array]]:
    """`bank_nce`, or `bank_info_nce` where the objective is "softmax".

    Returns:
        [] float32 loss and the terms of `bank_nce`; the softmax has no use for a
        partition and returns it as it is.
    """
    if objective == "softmax":
        value, terms = bank_info_nce(v, index, slots, bank, temperature=temperature)
        return value, {"partition": partition, **terms}
    return bank_nce(
        v,
        index,
        slots,
        bank,
        partition=partition,
        num_examples=num_examples,
        temperature=temperature,
    )


def contrast_chance(objective: Contrast, num_negatives: int) -> float:
    """The least that one probability for every slot costs in `bank_contrast`."""
    m = num_negatives
    return math.log1p(m) + (m * math.log1p(1 / m) if objective == "nce" else 0.0)


def remember(bank: Array, index: Array, v: Array, *, momentum: float) -> Array:
    """The bank after a step: f_i ← normalise(momentum f_i + (1 - momentum) v_i).

    Args:
        bank: [N, D], see `parallel.bank`.
        index: [B] int32, the rows to move, sharded over the mesh.
        v: [B, D] unit vectors, sharded likewise.
        momentum: weight of the old row, in [0, 1].

    Returns:
        [N, D]; rows that are not in `index` as they were.
    """
    moved = momentum * bank_rows(index, bank) + (1 - momentum) * v
    return write_bank(bank, index, l2_normalize(moved))


def _positive_scores(v: Array, index: Array, bank: Array) -> Array:
    chex.assert_rank([v, index, bank], [2, 1, 2])
    chex.assert_equal_shape_prefix([v, index], 1)
    chex.assert_equal_shape_suffix([v, bank], 1)
    return jnp.sum(v * bank_rows(index, bank), axis=1)
