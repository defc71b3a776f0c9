"""Boxes (x0, y0, x1, y1) from edge to edge: areas, overlaps, and the best of many."""

import jax.numpy as jnp
from jax import lax

from jax_ssl.core.types import Array

TINY = 1e-9  # Of an area that is divided by.


def areas(boxes: Array) -> Array:
    """Areas [...] of boxes [..., 4]; 0 where the second corner is not beyond."""
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def overlaps(a: Array, b: Array) -> tuple[Array, Array]:
    """Intersection and union [...] of boxes [..., 4] with their like."""
    corners = jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])
    both = areas(jnp.concatenate(corners, axis=-1))
    return both, areas(a) + areas(b) - both


def iou(a: Array, b: Array) -> Array:
    """Intersection over union [...] of boxes [..., 4] with their like, in [0, 1]."""
    both, union = overlaps(a, b)
    return both / jnp.maximum(union, TINY)


def giou(a: Array, b: Array) -> Array:
    """Generalized IoU (Rezatofighi et al., 2019, arXiv:1902.09630), in (-1, 1].

    IoU - (|C| - |A ∪ B|) / |C| with C the smallest box that holds both; it has a
    gradient also where the boxes do not meet.

    Args:
        a: [..., 4].
        b: likewise.

    Returns:
        [...].
    """
    both, union = overlaps(a, b)
    corners = jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])
    hull = areas(jnp.concatenate(corners, axis=-1))
    return both / jnp.maximum(union, TINY) - (hull - union) / jnp.maximum(hull, TINY)


def suppressed(boxes: Array, classes: Array, scores: Array, threshold: float) -> Array:
    """Greedy non-maximum suppression, class by class.

    In falling order of the scores, a box stays unless its IoU with one of its class
    that stays is above the threshold. Of equal scores the earlier one is first.

    Args:
        boxes: [n, 4].
        classes: [n] integers.
        scores: [n]; those of 0 and below never stay.
        threshold: of the IoU.

    Returns:
        [n] bool, which ones stay.
    """
    order = jnp.argsort(-scores, stable=True)
    boxes, classes = boxes[order], classes[order]
    near = iou(boxes[:, None], boxes[None]) > threshold
    rivals = near & (classes[:, None] == classes[None])
    rivals = jnp.tril(rivals, -1)  # Row i: those before it.

    def decide(i: Array, stays: Array) -> Array:
        return stays.at[i].set(stays[i] & ~(rivals[i] & stays).any())

    stays = lax.fori_loop(0, len(boxes), decide, scores[order] > 0)
    return jnp.zeros_like(stays).at[order].set(stays)


def best(
    boxes: Array,
    scores: Array,
    *,
    candidates: int,
    threshold: float,
    least_score: float,
    count: int,
) -> Array:
    """The detections of one picture, class by class the best of those that overlap.

    Args:
        boxes: [n, 4].
        scores: [n, K], of every class.
        candidates: highest scores of all that are looked at.
        threshold: IoU above which the lower score gives way.
        least_score: of a candidate.
        count: of the detections.

    Returns:
        [count, 6] float32, (class, score, x0, y0, x1, y1) by falling score; rows of -1
        where there are no more.
    """
    K = scores.shape[1]
    found, at = lax.top_k(scores.ravel(), min(candidates, scores.size))
    classes, places = at % K, boxes[at // K]
    valid = jnp.where(found > least_score, found, 0.0)
    stays = suppressed(places, classes, valid, threshold)
    chosen = jnp.where(stays, valid, 0.0)
    top, order = lax.top_k(chosen, min(count, len(chosen)))
    columns = classes[order][:, None], top[:, None], places[order]
    rows = jnp.concatenate([c.astype(jnp.float32) for c in columns], axis=1)
    rows = jnp.where(top[:, None] > 0, rows, -1.0)
    return jnp.pad(rows, ((0, count - len(rows)), (0, 0)), constant_values=-1.0)
