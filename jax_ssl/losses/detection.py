"""The loss of FCOS (Tian et al., 2019, arXiv:1904.01355): boxes without anchors.

Every cell of every level of a pyramid says which class is at its place, how far away
the four sides of the box are, and how near it is to the middle of the box.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array
from jax_ssl.ops.boxes import areas, giou

FAR = 1e8  # Larger than any area in pixels.


class Places(NamedTuple):
    """The cells of all levels, the finest level first, row by row.

    Attributes:
        points: [L, 2] float32, (x, y) of their middles in pixels.
        strides: [L] float32, pixels between neighbours.
        ranges: [L, 2] float32, of the distance to the farthest side of a box that is
            theirs: above the first and up to the second.
    """

    points: np.ndarray
    strides: np.ndarray
    ranges: np.ndarray


class Targets(NamedTuple):
    """What the cells of one picture should say.

    Attributes:
        classes: [L] int32, -1 where there is nothing.
        boxes: [L, 4], (x0, y0, x1, y1) in pixels; zeros where there is nothing.
        centreness: [L] in [0, 1].
    """

    classes: Array
    boxes: Array
    centreness: Array


def places_of(
    grids: Sequence[tuple[int, int]], strides: Sequence[int], reach: float = 8.0
) -> Places:
    """The cells of a pyramid, and which sizes are theirs.

    FCOS has strides 8 to 128 and the limits 64, 128, 256 and 512 between the levels:
    `reach` strides of the finer one.

    Args:
        grids: (height, width) of each level in cells, the finest first.
        strides: of each level, in pixels.
        reach: upper limit of a level, in strides; the last has none.
    """
    points, steps, ranges = [], [], []
    limits = [0.0, *(reach * stride for stride in strides[:-1]), np.inf]
    for level, ((height, width), stride) in enumerate(zip(grids, strides, strict=True)):
        y, x = np.mgrid[:height, :width]
        points.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        steps.append(np.full(height * width, stride))
        ranges.append(np.tile(limits[level : level + 2], (height * width, 1)))
    arrays = (
        np.concatenate(part).astype(np.float32) for part in (points, steps, ranges)
    )
    return Places(*arrays)


def assigned(boxes: Array, places: Places, radius: float | None = 1.5) -> Targets:
    """Which box of a picture each cell shall find; of several, the smallest.

    Args:
        boxes: [n, 5], (class, x0, y0, x1, y1), rows of -1 where there is none.
        places: the cells.
        radius: in strides; a cell counts only if it is so near to the middle of the
            box along both axes. None: anywhere in the box, as in the first version of
            the paper.
    """
    classes, corners = boxes[:, 0], boxes[:, 1:]
    points = jnp.asarray(places.points)[:, None]  # [L, 1, 2]
    sides = jnp.concatenate([points - corners[:, :2], corners[:, 2:] - points], -1)
    inside = (sides.min(-1) > 0) & (classes >= 0)
    farthest = sides.max(-1)
    low, high = (jnp.asarray(limit)[:, None] for limit in places.ranges.T)
    mine = inside & (farthest > low) & (farthest <= high)
    if radius is not None:
        middles = (corners[:, :2] + corners[:, 2:]) / 2
        away = jnp.abs(points - middles).max(-1)
        mine &= away < radius * jnp.asarray(places.strides)[:, None]
    size = jnp.where(mine, areas(corners), FAR)
    chosen = size.argmin(-1)
    there = mine.any(-1)
    own = jnp.take_along_axis(sides, chosen[:, None, None], axis=1)[:, 0]
    return Targets(
        jnp.where(there, classes[chosen], -1).astype(jnp.int32),
        jnp.where(there[:, None], corners[chosen], 0.0),
        jnp.where(there, centreness(own), 0.0),
    )


def centreness(sides: Array) -> Array:
    """How near a place is to the middle of its box, equation 3 of the paper.

    Args:
        sides: [..., 4], distances to the left, upper, right and lower side.

    Returns:
        [...], √(min(l, r) / max(l, r) · min(t, b) / max(t, b)), 0 outside of the box.
    """
    near = jnp.maximum(jnp.minimum(sides[..., :2], sides[..., 2:]), 0.0)
    far = jnp.maximum(jnp.maximum(sides[..., :2], sides[..., 2:]), 1e-6)
    return jnp.sqrt((near / far).prod(-1))


def focal_loss(
    logits: Array, targets: Array, *, alpha: float = 0.25, gamma: float = 2.0
) -> Array:
    """Sigmoid focal loss (Lin et al., 2017, arXiv:1708.02002), equation 5, unreduced.

    Args:
        logits: [...].
        targets: [...], 0 or 1.
        alpha: weight of ones, 1 - alpha being that of zeros.
        gamma: power of what is missing to the right answer.

    Returns:
        [...] float32.
    """
    logits = logits.astype(jnp.float32)
    signed = jnp.where(targets > 0, logits, -logits)
    weight = jnp.where(targets > 0, alpha, 1 - alpha)
    return -weight * jax.nn.sigmoid(-signed) ** gamma * jax.nn.log_sigmoid(signed)


class DetectionLosses(NamedTuple):
    """The three terms of the loss, each [] float32, and the cells that have a box."""

    class_loss: Array
    box_loss: Array
    centre_loss: Array
    positives: Array


def detection_losses(
    logits: Array, boxes: Array, centres: Array, targets: Targets
) -> DetectionLosses:
    """The terms of equation 2 over the global batch, GIoU in the place of IoU.

    Focal loss and cross-entropy of centreness are sums over the number of cells with a
    box; the boxes' 1 - GIoU is a mean weighted by the centreness wanted.

    Args:
        logits: [B, L, K] of the classes.
        boxes: [B, L, 4] in pixels.
        centres: [B, L] logits of the centreness.
        targets: [B, L, ...].
    """
    there = targets.classes >= 0
    number = jnp.maximum(there.sum(), 1).astype(jnp.float32)
    wanted = targets.classes[..., None] == jnp.arange(logits.shape[-1])
    weight = targets.centreness
    apart = jnp.where(there, 1 - giou(boxes, targets.boxes), 0.0)
    entropy = jnp.logaddexp(0.0, centres) - weight * centres
    return DetectionLosses(
        focal_loss(logits, wanted).sum() / number,
        (weight * apart).sum() / jnp.maximum(weight.sum(), 1e-6),
        jnp.where(there, entropy, 0.0).sum() / number,
        there.sum().astype(jnp.float32),
    )
