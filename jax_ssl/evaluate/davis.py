"""Region and boundary measures of video object segmentation, as DAVIS 2017 has them.

Perazzi et al., 2016, "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation", for the measures J and F; Pont-Tuset et al., 2017, arXiv:1704.00675, for
several objects in a film. Details are those of the challenge's own code.
"""

import math
from typing import NamedTuple

import numpy as np

BOUND = 0.008  # Of the diagonal: how far from the true one a boundary may be.
BINS = 4  # Quarters of a film, of which the decay compares the first and the last.


class Statistics(NamedTuple):
    """Of one object's measure over the frames of a film.

    Attributes:
        mean: of the frames.
        recall: share of the frames above 1/2.
        decay: mean of the first quarter minus that of the last.
    """

    mean: float
    recall: float
    decay: float


def region(found: np.ndarray, true: np.ndarray) -> float:
    """J: intersection over union of two masks [H, W] bool; 1 if both are empty."""
    either = np.count_nonzero(found | true)
    return np.count_nonzero(found & true) / either if either else 1.0


def boundary(found: np.ndarray, true: np.ndarray, bound: float = BOUND) -> float:
    """F: harmonic mean of precision and recall of the boundary of a mask.

    A pixel of one boundary is right if one of the other is no farther away than
    `bound` of the diagonal, rounded up to whole pixels. A boundary that is empty is
    found without a mistake, and misses nothing.

    Args:
        found: [H, W] bool.
        true: [H, W] bool.
        bound: as a share of the diagonal.
    """
    from scipy import ndimage  # type: ignore[import-untyped]  # Slow to load, seldom used.

    radius = math.ceil(bound * math.hypot(*found.shape))
    lines = [edges(found), edges(true)]
    sizes = [int(line.sum()) for line in lines]
    if not all(sizes):
        # The empty one has precision 1 and recall 0, or the other way round; or is all.
        return float(not any(sizes))
    # What is beyond both boundaries is far from all of their pixels.
    rows, columns = (np.flatnonzero((lines[0] | lines[1]).any(axis)) for axis in (1, 0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    own, other = (line[window] for line in lines)
    precision, recall = (
        line[ndimage.distance_transform_edt(~beside) <= radius].sum() / line.sum()
        for line, beside in ((own, other), (other, own))
    )
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


def edges(mask: np.ndarray) -> np.ndarray:
    """Pixels [H, W] that differ from the next to the right, below, or both.

    In the last row and column only the neighbour along it is looked at.
    """
    right, below, both = (np.zeros_like(mask) for _ in range(3))
    right[:, :-1] = mask[:, 1:] != mask[:, :-1]
    below[:-1] = mask[1:] != mask[:-1]
    both[:-1, :-1] = mask[1:, 1:] != mask[:-1, :-1]
    return right | below | both


def statistics(values: np.ndarray) -> Statistics:
    """Mean, recall and decay over the frames of a film.

    Args:
        values: [n] of a measure, n at least 1. Neighbouring quarters share a frame.
    """
    ends = np.round(np.linspace(1, len(values), BINS + 1) + 1e-10).astype(int) - 1
    first, last = (values[ends[i] : ends[i + 1] + 1] for i in (0, BINS - 1))
    recall = (values > 0.5).mean()
    return Statistics(*map(float, (values.mean(), recall, first.mean() - last.mean())))
