"""Noise-contrastive estimation between a vector and the places of another view."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array
from jax_ssl.losses.contrastive import is_lead
from jax_ssl.parallel.rows import mean_over_rows


class Found(NamedTuple):
    """How well places are told from those of other images.

    Attributes:
        loss: cross-entropy.
        accuracy: share of places that lead all negatives; without gradient.
        square: mean squared score before the clip.
    """

    loss: Array
    accuracy: Array
    square: Array


def places_nce(source: Array, target: Array, *, clip: float = 20.0) -> Found:
    """A vector of each view against all places of the other view.

    AMDIM (arXiv 1906.00910), as its released code has it. The score of two vectors is
    their inner product over √D, then clip · tanh(score / clip). Each place of the same
    image's other view is a positive, against all places of all other images in that
    view; the other places of the image itself count neither way.

    Args:
        source: [B, 2, D], rows of the batch sharded over the mesh.
        target: [B, 2, L, D], sharded likewise; gathered by all devices, of which each
            holds the scores of its b rows, 2 b B L numbers.
        clip: positive.

    Returns:
        Three [] float32, means over the global batch, views and places. The loss is
        log(1 + (B - 1) L) where all scores agree.

    Raises:
        AssertionError: if the shapes do not fit.
        ValueError: if `clip` is not positive, or there is one row.
    """
    chex.assert_rank([source, target], [3, 4])
    chex.assert_equal_shape_prefix([source, target], 2)
    chex.assert_equal_shape_suffix([source, target], 1)
    checks.positive(clip=clip)
    checks.several_rows(len(source), "noise-contrastive estimation")

    def row_loss(mine: dict, everyone: dict, start: Array) -> Found:
        found = places(mine["source"], everyone["target"], start, clip=clip)
        return Found(*(x.reshape(len(x), -1).mean(1) for x in found))

    return mean_over_rows(row_loss, {"source": source, "target": target})


def places(source: Array, target: Array, start: Array | int, *, clip: float) -> Found:
    """The same for some rows, each place by itself.

    Args:
        source: [b, 2, D].
        target: [B, 2, L, D] of all images.
        start: number of the first of the b rows.
        clip: positive.

    Returns:
        loss and accuracy [b, 2, L] of each place of the other view; squares
        [b, 2, B, L].
    """
    source, target = (x.astype(jnp.float32) for x in (source, target))
    raw = einsum("bvd,nvld->bvnl", source, target[:, ::-1]) / source.shape[-1] ** 0.5
    scores = clip * jnp.tanh(raw / clip)
    rows = start + jnp.arange(len(source))
    own = (jnp.arange(len(target)) == rows[:, None])[:, None, :, None]
    positive = jnp.sum(jnp.where(own, scores, 0), axis=2)  # [b, 2, L]
    negative = jnp.where(own, -jnp.inf, scores)
    others = jax.nn.logsumexp(negative, axis=(2, 3))[..., None]
    highest = negative.max((2, 3))[..., None]
    hits = jax.lax.stop_gradient(is_lead(highest - positive))
    return Found(jax.nn.softplus(others - positive), hits, jnp.square(raw))
