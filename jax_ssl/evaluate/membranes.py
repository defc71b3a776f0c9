"""Segmentation errors of membranes between cells, as the ISBI 2012 challenge counts.

Arganda-Carreras et al. (2015), "Crowdsourcing the creation of image segmentation
algorithms for connectomics": what matters is which pixels belong to one cell, and a gap
of a pixel in a membrane merges two. For sets of a few dozen pictures, whose maps are
brought to the host.
"""

import functools
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import VOID
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.evaluate import maps
from jax_ssl.evaluate.measured import predicting
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped

METRICS = (
    Metric("rand_error", "", "lower"),
    Metric("variation_of_information", "bits", "lower"),
    Metric("warping_error", "", "lower"),
    Metric("pixel_error", "", "lower"),
)
RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def membranes(
    *,
    cell: int = 1,
    thresholds: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
) -> Protocol:
    """Errors of the cells that a thresholded probability cuts out.

    Cells are regions of pixels above the threshold that touch at their sides; what is
    below joins the nearest cell, so that membranes have no width. "rand_error" is 1
    minus the F-score of pairs of pixels that belong together, and
    "variation_of_information" the entropy of each segmentation given the other, both
    over the pixels of true cells; each is a mean over pictures at the threshold where
    it is least, as in the challenge. "pixel_error" is the share of wrong pixels, and
    "warping_error" (Jain et al., 2010, "Boundary learning by optimization with
    topological constraints") that of pixels which are still wrong when the boundaries
    of the true cells have been moved to the found ones without a change of topology,
    both at the threshold of the Rand error.

    The baseline "one_cell" finds no membrane.

    Args:
        cell: class of the mask that is the inside of cells.
        thresholds: of the probability of that class.

    Raises:
        ValueError: if a threshold is no probability, or there is none.

    Note:
        The challenge thins found membranes by a watershed, and lets boundaries move by
        a few pixels alone; here the nearest cell takes them, and no limit is set.
    """
    checks.within("(0, 1)", thresholds=thresholds)
    checks.not_empty(thresholds=thresholds)

    def measure(said: Mapping[str, Array], fields: Example) -> Array:
        mask = fields["mask"]
        scores = said["segmentation"]
        probability = jax.nn.softmax(scores, axis=-1)[..., cell]
        found = maps.at_label(probability, fields, mask)
        true = jnp.where(maps.shown(fields, mask), mask, VOID).astype(jnp.float32)
        sides = jnp.array(mask.shape, jnp.float32)
        return jnp.concatenate([sides, found.ravel(), true.ravel()])

    def one_cell(seen: Views, fields: Example) -> Mapping[str, Array]:
        del seen, fields
        return {"segmentation": 100.0 * jnp.eye(VOID)[cell][None, None]}

    def outcomes(numbers: np.ndarray) -> Iterator[Outcome | Skipped]:
        height, width = numbers[0, :2].astype(int)
        pictures = numbers[:, 2:].reshape(-1, 2, height, width)
        kept = [pair for pair in pictures if (pair[1] == cell).any()]
        if not kept:
            yield Skipped(f"no picture has a pixel of class {cell}, the cells")
            return
        errors = np.array(
            [
                [split_errors(found > t, true == cell) for found, true in kept]
                for t in thresholds
            ]
        ).mean(axis=1)
        best, other = errors.argmin(axis=0)
        wrong = np.array(
            [
                [warping_error(found, true == cell), (found != (true == cell)).mean()]
                for found, true in (
                    (np.where(t == VOID, t == cell, f > thresholds[best]), t)
                    for f, t in kept
                )
            ]
        ).mean(axis=0)
        values = [errors[best, 0], errors[other, 1], *wrong]
        yield Outcome(
            title="membranes",
            settings={"cell": cell, "thresholds": thresholds},
            values={m.name: float(v) for m, v in zip(METRICS, values, strict=True)},
            detail={"threshold": thresholds[best]},
            remark="membranes: mean over pictures, at the best of "
            f"{len(thresholds)} thresholds",
        )

    return predicting(
        "membranes",
        ("segmentation",),
        measure,
        outcomes,
        needs={"mask": "mask"},
        metrics=METRICS,
        baselines={"one_cell": one_cell},
        alone=True,
    )


def split_errors(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Rand error and variation of information, in bits, of cells [H, W] bool.

    Only the pixels of true cells count.
    """
    from scipy import ndimage  # type: ignore[import-untyped]

    labels, count = ndimage.label(found)
    if count:
        nearest = ndimage.distance_transform_edt(
            labels == 0, return_distances=False, return_indices=True
        )
        labels = labels[tuple(nearest)]
    pairs = np.stack([labels[true], ndimage.label(true)[0][true]])
    joint, own, other = (
        np.unique(each, axis=-1, return_counts=True)[1] / pairs.shape[1]
        for each in (pairs, pairs[0], pairs[1])
    )
    together = 2 * (joint**2).sum() / ((own**2).sum() + (other**2).sum())
    entropies = [-(p * np.log2(p)).sum() for p in (joint, own, other)]
    return 1 - together, max(0.0, 2 * entropies[0] - entropies[1] - entropies[2])


def warping_error(found: np.ndarray, true: np.ndarray) -> float:
    """Share of pixels that no warp of the true cells [H, W] bool makes those found.

    Pixels where the two differ are flipped one by one, as long as there is one whose
    flip changes the topology neither of the cells nor of what is between them.
    """
    warped, wanted = (np.pad(x, 1) for x in (true, found))  # Beyond lies no cell.
    simple, flipped = _simple(), True
    while flipped:
        flipped = False
        for row, column in np.argwhere((warped != wanted)[1:-1, 1:-1]) + 1:
            code = sum(
                int(warped[row + y, column + x]) << i for i, (y, x) in enumerate(RING)
            )
            if simple[code]:
                warped[row, column] = wanted[row, column]
                flipped = True
    return float((warped != wanted)[1:-1, 1:-1].mean())


@functools.cache
def _simple() -> np.ndarray:
    """By the code of the eight pixels around one, whether its flip is harmless [256].

    Cells touch at their sides, and membranes at their corners too: it must touch one
    piece of each.
    """
    from scipy import ndimage

    found = np.zeros(256, bool)
    for code in range(256):
        around = np.zeros((3, 3), bool)
        for i, (y, x) in enumerate(RING):
            around[1 + y, 1 + x] = code >> i & 1
        cells, _ = ndimage.label(around)
        sides = {cells[1 + y, 1 + x] for y, x in RING if 0 in (y, x)} - {0}
        between = ~around
        between[1, 1] = False
        _, gaps = ndimage.label(between, np.ones((3, 3)))
        found[code] = len(sides) == 1 and gaps == 1
    return found
