"""InfoNCE over time: which code comes k steps later? (CPC, arXiv:1807.03748).

A prediction of the code k steps ahead is scored against that code and others, by inner
products, and a softmax picks one. Written as log(1 + Σ exp(negative - positive)).
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array
from jax_ssl.losses.contrastive import LEAD
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.rows import everyone, first_row, map_shards

# What a device may hold of gathered negatives at a time: 256 MiB.
GATHERED = 2**28


def draw_negatives(key: Array, rows: int, steps: int, shape: tuple[int, int]) -> Array:
    """Places of negatives, drawn anywhere in the batch but at the anchor's own step.

    As in facebookresearch/CPC_audio: a row of the batch, and a step that is not t, in
    whichever row. One of them may be the code that is to be predicted.

    Args:
        key: [] typed PRNG key.
        rows: B, of the global batch.
        steps: T, of each row.
        shape: (W, N): anchors t = 0 ... W - 1 of a row, negatives of each.

    Returns:
        [B, W, N] int32, b T + t of the code at step t of row b.
    """
    row_key, step_key = jax.random.split(key)
    row = jax.random.randint(row_key, (rows, *shape), 0, rows)
    away = jax.random.randint(step_key, (rows, *shape), 1, steps)
    return row * steps + (jnp.arange(shape[0])[:, None] + away) % steps


def nce_of_drawn(
    predictions: Array, codes: Array, places: Array
) -> tuple[Array, Array]:
    """InfoNCE with drawn negatives that all horizons share, by the mean score.

    The score of a prediction p and a code z is p·z / D, as in CPC_audio, not p·z.

    Args:
        predictions: [B, W, K, D], of the codes at t + 1 ... t + K, for t below W <=
            T - K; rows of the global batch, sharded over the mesh.
        codes: [B, T, D], sharded likewise.
        places: [B, W, N] int32, of the negatives: see `draw_negatives`.

    Returns:
        ([K] float32 losses by horizon, the means over rows and steps, log(1 + N) where
        all scores agree; [K] float32 shares of predictions whose code has the highest
        score, by more than `LEAD`, which have no gradient). Where the right code is
        among the drawn ones, it counts as one more negative in the loss, but not in
        the accuracy.

    Raises:
        AssertionError: if the shapes do not fit.
    """
    B, W, K, D = predictions.shape
    chex.assert_shape(codes, (B, None, D))
    chex.assert_shape(places, (B, W, None))
    T, bytes_of_row = codes.shape[1], 4 * D * places.shape[1] * places.shape[2]

    def mine(predictions: Array, codes: Array, places: Array) -> tuple[Array, Array]:
        bank = everyone(codes).reshape(-1, D)
        numbers = first_row(len(codes)) + jnp.arange(len(codes))

        def row(one: tuple[Array, ...]) -> tuple[Array, Array]:
            number, p, own, drawn = one
            right = number * T + _steps_ahead(W, K)  # [W, K]
            positive = jnp.sum(p * own[_steps_ahead(W, K)], axis=-1) / D
            negative = einsum("wkd,wnd->wkn", p, bank[drawn]) / D
            return _told(positive, negative, right[..., None] == drawn[:, None])

        given = numbers, predictions, codes, places
        at_once = max(1, GATHERED // bytes_of_row)
        if at_once >= len(codes):
            return jax.vmap(row)(given)
        return jax.lax.map(jax.checkpoint(row), given, batch_size=at_once)

    return _means(mine, predictions, codes, places)


def nce_of_batch(predictions: Array, codes: Array) -> tuple[Array, Array]:
    """InfoNCE whose negatives are the other rows' codes at the same step.

    The score is the inner product itself, as in the paper.

    Args:
        predictions: [B, W, K, D], as for `nce_of_drawn`.
        codes: [B, T, D].

    Returns:
        Losses and accuracies [K] as `nce_of_drawn`; log(B) where all scores agree.

    Raises:
        AssertionError: if the shapes do not fit.
    """
    B, W, K, D = predictions.shape
    chex.assert_shape(codes, (B, None, D))

    def mine(predictions: Array, codes: Array) -> tuple[Array, Array]:
        ahead = everyone(codes)[:, _steps_ahead(W, K)]  # [B, W, K, D]
        scores = einsum("bwkd,cwkd->bwkc", predictions, ahead)
        numbers = first_row(len(codes)) + jnp.arange(len(codes))
        own = jnp.arange(B) == numbers[:, None, None, None]
        positive = jnp.sum(jnp.where(own, scores, 0), axis=-1)
        scores = jnp.where(own, -jnp.inf, scores)
        return _told(positive, scores, jnp.zeros((), bool), axis=1)

    return _means(mine, predictions, codes)


def probabilities(predictions: Array, codes: Array) -> Array:
    """How surely each right code is picked out of all codes of some rows, [B, K, W].

    By the softmax of cosines at temperature 0.1, which compares predictions of any
    objective; for pictures.

    Args:
        predictions: [B, W, K, D], as for `nce_of_drawn`; rows of one device.
        codes: [B, T, D].
    """
    B, W, K, _ = predictions.shape
    z = l2_normalize(codes.astype(jnp.float32))
    scores = einsum("bwkd,ctd->bwkct", l2_normalize(predictions), z) / 0.1
    share = jax.nn.softmax(scores.reshape(B, W, K, -1))
    right = jnp.arange(B)[:, None, None] * codes.shape[1] + _steps_ahead(W, K)
    found = jnp.take_along_axis(share, right[..., None], axis=-1)[..., 0]
    return found.swapaxes(1, 2)


def _steps_ahead(steps: int, horizons: int) -> Array:
    """[W, K]: the step that each prediction is about, t + k for k from 1."""
    return jnp.arange(steps)[:, None] + jnp.arange(1, horizons + 1)


def _told(
    positive: Array, negative: Array, same: Array, axis: int = 0
) -> tuple[Array, Array]:
    """Loss and hit of scores [..., W, K] and [..., W, K, N], the means over W."""
    difference = negative - positive[..., None]
    loss = jax.nn.softplus(jax.nn.logsumexp(difference, axis=-1))
    hardest = jnp.max(jnp.where(same, -jnp.inf, difference), axis=-1)
    hit = (jax.lax.stop_gradient(hardest) < -LEAD).astype(jnp.float32)
    return loss.mean(axis), hit.mean(axis)


def _means(
    mine: Callable[..., tuple[Array, Array]], *arrays: Array
) -> tuple[Array, Array]:
    """Means over the global batch of what each shard says of its rows, [b, K]."""
    given = tuple(a if a.dtype == jnp.int32 else a.astype(jnp.float32) for a in arrays)
    loss, hit = map_shards(lambda rows, whole: mine(*rows), given)
    return loss.mean(0), hit.mean(0)
