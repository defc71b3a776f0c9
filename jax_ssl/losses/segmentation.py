"""Pixel-wise cross-entropy, and how well the pixels of a batch are told apart."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jax_ssl.core.fields import VOID
from jax_ssl.core.types import Array


def pixel_cross_entropy(
    scores: Array, mask: Array, weights: Array | None = None
) -> Array:
    """Softmax cross-entropy, the mean over all pixels of the global batch with a class.

    Args:
        scores: [B, h, w, K] float.
        mask: [B, h, w] integers, a class or 255 for none.
        weights: [B, h, w] of the pixels, each 1 unless given. They multiply the terms
            of the sum, which is divided by the number of pixels and not by theirs.

    Returns:
        [] float32, 0 where no pixel has a class, and not a number where a class is K or
        above but not 255.
    """
    counted = mask != VOID
    number = jnp.where(counted, mask, 0).astype(jnp.int32)
    logs = jax.nn.log_softmax(scores.astype(jnp.float32))
    chosen = number[..., None] == jnp.arange(scores.shape[-1])
    terms = -jnp.where(chosen, logs, 0.0).sum(-1)
    terms = jnp.where(number < scores.shape[-1], terms, jnp.nan)
    if weights is not None:
        terms = terms * weights
    return jnp.where(counted, terms, 0.0).sum() / jnp.maximum(counted.sum(), 1)


def border_weights(
    mask: Array,
    class_weights: Sequence[float] | None = None,
    borders: Array | None = None,
    *,
    height: float = 10.0,
    sigma: float = 5.0,
) -> Array:
    """The weight map of U-Net (arXiv 1505.04597), equation 2.

    w(x) = w_c(x) + height · exp(-(d1(x) + d2(x))² / (2 sigma²))

    Args:
        mask: [...] integers, a class or 255.
        class_weights: w_c of each class; 1 for all unless given.
        borders: [...] d1 + d2, the distances to the borders of the two nearest cells in
            pixels (`data.borders`); None leaves the second term out.
        height: w_0 of the paper.
        sigma: in pixels.

    Returns:
        [...] float32.
    """
    weights = jnp.ones(mask.shape, jnp.float32)
    if class_weights is not None:
        table = jnp.asarray(class_weights, jnp.float32)
        weights = table[jnp.minimum(mask, len(table) - 1).astype(jnp.int32)]
    if borders is not None:
        near = jnp.square(borders.astype(jnp.float32)) / (2 * sigma**2)
        weights = weights + height * jnp.exp(-near)
    return weights


class Agreement(NamedTuple):
    """How far classes of pixels are the true ones, over the whole batch.

    Attributes:
        pixel_accuracy: [] share of the counted pixels.
        mean_iou: [] intersection over union, the mean over the classes that occur in
            truth or prediction.
    """

    pixel_accuracy: Array
    mean_iou: Array


def agreement(scores: Array, mask: Array) -> Agreement:
    """The largest score of each pixel against its class; 255 is left out.

    Args:
        scores: [B, h, w, K] float.
        mask: [B, h, w] integers.
    """
    classes = jnp.arange(scores.shape[-1])
    counted = (mask != VOID)[..., None]
    said = (scores.argmax(-1)[..., None] == classes) & counted
    true = (mask[..., None] == classes) & counted
    # Whole numbers: their sums do not depend on the order, nor so on the devices.
    every = tuple(range(mask.ndim))
    both, either = (x.sum(every, jnp.int32) for x in (said & true, said | true))
    there = either > 0
    iou = jnp.where(there, both / jnp.maximum(either, 1), 0.0)
    return Agreement(
        both.sum() / jnp.maximum(counted.sum(), 1),
        iou.sum() / jnp.maximum(there.sum(), 1),
    )
