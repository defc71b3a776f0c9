"""Average precision of boxes, by the rules of COCO and of Pascal VOC, in float64.

Boxes are (x0, y0, x1, y1) from edge to edge. A detection is a row (class, score, x0,
y0, x1, y1), a true box (class, x0, y0, x1, y1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # COCO's, of the IoU.
RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's, at which precision is read.
# COCO's, of a true box's area in pixels.
SIZES: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}


@dataclass(frozen=True)
class Picture:
    """What is on a picture, and what was found on it.

    Attributes:
        found: [m, 6].
        true: [n, 5].
        ignored: [k, 5] crowds, of which any share may be found, or nothing.
    """

    found: np.ndarray
    true: np.ndarray
    ignored: np.ndarray = field(default_factory=lambda: np.zeros((0, 5)))


def overlap(found: np.ndarray, true: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU [m, n] of boxes [m, 4] and [n, 4].

    Where `crowd` [n] is set, the intersection is divided by the found box's area.
    """
    low = np.maximum(found[:, None, :2], true[None, :, :2])
    high = np.minimum(found[:, None, 2:], true[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), -1)
    areas = [np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), -1) for b in (found, true)]
    union = areas[0][:, None] + areas[1] - both
    below = np.where(crowd, areas[0][:, None], union)
    return np.divide(both, below, out=np.zeros_like(both), where=below > 0)


def coco(pictures: Sequence[Picture], num_classes: int) -> dict[str, float | None]:
    """The twelve numbers of COCO's evaluation of boxes.

    Args:
        pictures: all of them, of classes 0 to num_classes - 1.
        num_classes: K.

    Returns:
        "ap" (mean over IoU 0.50 to 0.95 and classes), "ap50", "ap75", "ap_small",
        "ap_medium", "ap_large" at 100 detections a picture, "ar_1", "ar_10", "ar_100",
        "ar_small", "ar_medium", "ar_large"; None where no true box is of that size.
        Sizes are areas of the boxes.
    """
    precision: dict[str, list[np.ndarray]] = {size: [] for size in SIZES}
    recall: dict[tuple[str, int], list[np.ndarray]] = {}
    for number in range(num_classes):
        mine = [_of_class(picture, number) for picture in pictures]
        for size in SIZES:
            for most in (1, 10, 100):
                if size != "all" and most < 100:
                    continue
                scored = _scored(mine, SIZES[size], most)
                if scored is None:
                    continue
                recall.setdefault((size, most), []).append(scored[1])
                if most == 100:
                    precision[size].append(scored[0])

    def mean(values: Sequence[np.ndarray], at: int | None = None) -> float | None:
        if not len(values):
            return None
        stacked = np.stack(values)
        return float((stacked if at is None else stacked[:, at]).mean())

    whole = precision["all"]
    named = {"ap": mean(whole), "ap50": mean(whole, 0), "ap75": mean(whole, 5)}
    others = [size for size in SIZES if size != "all"]
    named |= {f"ap_{size}": mean(precision[size]) for size in others}
    named |= {f"ar_{n}": mean(recall.get(("all", n), [])) for n in (1, 10, 100)}
    return named | {f"ar_{s}": mean(recall.get((s, 100), [])) for s in others}


Mine = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _of_class(picture: Picture, number: int) -> Mine:
    """Scores, boxes, true boxes and which of them are crowds, of one class."""
    found = picture.found[picture.found[:, 0] == number]
    found = found[np.argsort(-found[:, 1], kind="mergesort")]
    true = picture.true[picture.true[:, 0] == number][:, 1:]
    crowds = picture.ignored[picture.ignored[:, 0] == number][:, 1:]
    crowd = np.arange(len(true) + len(crowds)) >= len(true)
    return found[:, 1], found[:, 2:], np.concatenate([true, crowds]), crowd


def _scored(
    pictures: Sequence[Mine], size: tuple[float, float], most: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Precision [10, 101] and recall [10] of a class; None if it has no true box."""
    scores, hits, leaves, total = [], [], [], 0
    for score, found, true, crowd in pictures:
        score, found = score[:most], found[:most]
        area = np.prod(true[:, 2:] - true[:, :2], -1)
        ignore = crowd | (area < size[0]) | (area > size[1])
        total += int((~ignore).sum())
        # Boxes that count come before those that do not.
        order = np.argsort(ignore, kind="mergesort")
        ignore, crowd = ignore[order], crowd[order]
        near = overlap(found, true[order], crowd)
        hit, leave = _matched(near, ignore, crowd)
        own = np.prod(found[:, 2:] - found[:, :2], -1)
        outside = (own < size[0]) | (own > size[1])
        scores.append(score)
        hits.append(hit)
        leaves.append(leave | (~hit & outside))
    if not total:
        return None
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    hit = np.concatenate(hits, 1)[:, order]
    leave = np.concatenate(leaves, 1)[:, order]
    precision, recall = np.zeros((10, 101)), np.zeros(10)
    for i in range(10):
        right = np.cumsum(hit[i] & ~leave[i])
        wrong = np.cumsum(~hit[i] & ~leave[i])
        if not len(right):
            continue
        reached = right / total
        recall[i] = reached[-1]
        exact = right / np.maximum(right + wrong, np.spacing(1))
        best = np.maximum.accumulate(exact[::-1])[::-1]
        at = np.searchsorted(reached, RECALLS, side="left")
        there = at < len(best)
        precision[i, there] = best[at[there]]
    return precision, recall


def _matched(
    near: np.ndarray, ignore: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections hit a true box, and which hit one that is ignored, [10, m].

    In falling order of the scores each takes the free box that it overlaps most, one
    that counts if there is any; crowds are never used up.
    """
    m, n = near.shape
    hit, leave = np.zeros((2, 10, m), bool)
    for i, threshold in enumerate(THRESHOLDS):
        taken = np.zeros(n, bool)
        for d in range(m):
            best, chosen = min(threshold, 1 - 1e-10), -1
            for g in range(n):
                if taken[g] and not crowd[g]:
                    continue
                if chosen > -1 and not ignore[chosen] and ignore[g]:
                    break
                if near[d, g] >= best:
                    best, chosen = near[d, g], g
            if chosen > -1:
                taken[chosen] = hit[i, d] = True
                leave[i, d] = ignore[chosen]
    return hit, leave


def voc(
    pictures: Sequence[Picture], num_classes: int, threshold: float = 0.5
) -> tuple[float | None, float | None]:
    """Mean average precision of Pascal VOC: over 11 points (2007), over all (2010 on).

    In falling order of the scores, a detection is right if the true box that it
    overlaps most has an IoU above the threshold and was not found before; where that
    one is ignored ("difficult"), it does not count.

    Args:
        pictures: all of them.
        num_classes: K; classes without a true box are left out.
        threshold: of the IoU.

    Returns:
        (11 points, all points), in [0, 1]; None where there is no true box.
    """
    eleven, every = [], []
    for number in range(num_classes):
        scores, rights, counts, total = [], [], [], 0
        for picture in pictures:
            score, found, true, ignored = _of_class(picture, number)
            total += int((~ignored).sum())
            near = overlap(found, true, np.zeros(len(true), bool))
            taken = np.zeros(len(true), bool)
            for d in range(len(found)):
                best = int(near[d].argmax()) if len(true) else -1
                meets = best >= 0 and near[d, best] > threshold
                counts.append(not (meets and ignored[best]))
                rights.append(meets and not taken[best])
                if meets:
                    taken[best] = True
            scores.append(score)
        if not total:
            continue
        order = np.argsort(-np.concatenate(scores), kind="mergesort")
        counted = np.array(counts, bool)[order]
        right = np.array(rights, bool)[order][counted]
        recall = np.cumsum(right) / total
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        best_from = np.maximum.accumulate(precision[::-1])[::-1]
        points = [best_from[recall >= t] for t in np.linspace(0, 1, 11)]
        eleven.append(np.mean([p[0] if len(p) else 0.0 for p in points]))
        steps = np.diff(np.concatenate([[0.0], recall]))
        every.append(float((steps * best_from).sum()))
    if not eleven:
        return None, None
    return float(np.mean(eleven)), float(np.mean(every))
