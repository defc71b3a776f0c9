"""Low-shot classification of VOC07: SVMs that see k positives of each class.

Goyal et al., 2019, "Scaling and Benchmarking Self-Supervised Visual Representation
Learning", arXiv:1905.01235, section 6.2; samples as
facebookresearch/fair_self_supervision_benchmark draws them.
"""

import warnings
from collections.abc import Iterator

import numpy as np

from jax_ssl.core import checks
from jax_ssl.evaluate.part import Part, on_host
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped
from jax_ssl.evaluate.voc07 import (
    MOST_STEPS,
    all_point,
    eleven_point,
    machine,
    marks,
    unit,
)


def voc07_low_shot(
    *,
    positives: tuple[int, ...] | int = (1, 2, 4, 8, 16, 32, 64, 96),
    samples: int = 5,
    costs: tuple[float, ...] | float = (0.01, 0.1),
    positive_weight: float = 2.0,
    tolerance: float = 1e-4,
    seed: int = 0,
    labels: str = "labels",
    certain: str | None = None,
) -> Protocol:
    """Mean average precision of one-vs-rest linear SVMs on few images, over samples.

    A sample draws k positives of each class and (classes - 1) · k images that do not
    show it, for each class by itself, and fits the SVM of `voc07` to these alone. Which
    images are drawn depends on the labels and `seed`, not on the features. All classes
    have the same cost, the one with the highest mean on test, as in the released code:
    of several costs the number is a little too good, and its detail holds those of all.

    Args:
        positives: k, or several, each with an outcome of its own.
        samples: drawn for each k, at least 1.
        costs: values of C; one alone makes no choice on test.
        positive_weight: of the losses of positives.
        tolerance: at which the solver stops.
        seed: of the samples and of the solver.
        labels: field that is predicted, 1 for each class that applies.
        certain: field like it, without the classes that are there but difficult to see;
            see `voc07`.

    Returns:
        A protocol of "map_all_point" and "map_11_point", the means over samples; the
        spread is the standard deviation of the first over samples with the divisor
        samples - 1, None for one sample. A k that some class has too few examples for
        is skipped.

    Raises:
        ValueError: if a setting is out of range, or no k or cost is given.
    """
    several = (positives,) if isinstance(positives, int) else tuple(positives)
    tried = tuple(costs) if isinstance(costs, tuple | list) else (float(costs),)
    checks.not_empty(positives=several, costs=tried)
    checks.at_least(1, positives=several, samples=samples)
    checks.at_least(0, seed=seed)
    checks.positive(costs=tried, positive_weight=positive_weight, tolerance=tolerance)
    needs = (labels,) if certain is None else (labels, certain)

    def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
        (x, known), (asked, truth) = (
            (unit(on_host(part.values)[part.counts]), marks(part, labels, certain))
            for part in (train, test)
        )
        counted = [own[own >= 0] for own in truth.T]
        judged = [c for c, own in enumerate(counted) if own.any() and not own.all()]
        if len(judged) < 2:
            yield Skipped(
                "fewer than two classes have a positive and a negative test example"
            )
            return
        for k in several:
            if reason := _too_few(known[:, judged], k):
                yield Skipped(reason)
                continue
            found, lost = np.zeros((2, samples, len(tried))), 0
            for sample in range(samples):
                drawn = [
                    draw(known[:, c], k, len(judged) - 1, [seed, sample, k, c])
                    for c in judged
                ]
                for place, cost in enumerate(tried):
                    areas = []
                    for c, rows in zip(judged, drawn, strict=True):
                        with warnings.catch_warnings():
                            warnings.simplefilter("ignore")  # Counted below.
                            fit = machine(cost, positive_weight, tolerance, seed)
                            fit.fit(x[rows], known[rows, c])
                        lost += fit.n_iter_ >= MOST_STEPS
                        here = truth[:, c] >= 0
                        rank = fit.decision_function(asked[here])
                        right = truth[here, c]
                        areas.append(
                            (all_point(rank, right), eleven_point(rank, right))
                        )
                    found[:, sample, place] = np.mean(areas, axis=0)
            means = found[0].mean(axis=0)
            best = int(np.argmax(means))
            detail = {
                "costs": [
                    {"cost": cost, "map_all_point": float(mean)}
                    for cost, mean in zip(tried, means, strict=True)
                ],
                "samples": found[0, :, best].tolist(),
            }
            if left_out := known.shape[1] - len(judged):
                detail["note"] = (
                    f"{left_out} classes have no positive or no negative test example."
                )
            if lost:
                said = f"{lost} SVMs did not reach {tolerance:g} in {MOST_STEPS} steps."
                detail["note"] = " ".join(filter(None, (detail.get("note"), said)))
            spread = float(found[0, :, best].std(ddof=1)) if samples > 1 else None
            chosen = f"the best of {len(tried)} costs on test" * (len(tried) > 1)
            yield Outcome(
                title=f"SVM, {k} positive{'' if k == 1 else 's'}",
                settings={
                    "positives": k,
                    "samples": samples,
                    "costs": tried,
                    "positive_weight": positive_weight,
                    "tolerance": tolerance,
                    "seed": seed,
                    "labels": labels,
                    "certain": certain,
                },
                values={
                    "map_all_point": float(found[0, :, best].mean()),
                    "map_11_point": float(found[1, :, best].mean()),
                },
                spread=spread,
                detail=detail,
                remark=(
                    "SVM of few positives: mean ± standard deviation over "
                    f"{samples} samples, cost {chosen or tried[0]}"
                ),
            )

    metrics = Metric("map_all_point"), Metric("map_11_point")
    return Protocol(
        name="voc07_low_shot", needs=needs, kind="labels", metrics=metrics, run=run
    )


def draw(marked: np.ndarray, k: int, others: int, seed: list[int]) -> np.ndarray:
    """Rows of k positives and k · others negatives of one class.

    Args:
        marked: [n] 1 for positives, 0 for negatives, -1 for what counts as neither.
        k: at most the positives; k · others at most the negatives.
        others: number of the other classes.
        seed: of the draw.

    Returns:
        [k + k · others] int64, the positives first.
    """
    generator = np.random.default_rng(seed)
    sides = (np.flatnonzero(marked == 1), k), (np.flatnonzero(marked == 0), k * others)
    return np.concatenate(
        [generator.choice(rows, count, replace=False) for rows, count in sides]
    )


def _too_few(known: np.ndarray, k: int) -> str:
    """Why no k positives of each class can be drawn; "" if they can."""
    others = known.shape[1] - 1
    for word, value, wanted in (("positive", 1, k), ("negative", 0, k * others)):
        counts = (known == value).sum(axis=0)
        if counts.min() < wanted:
            return (
                f"class {int(counts.argmin())} has {counts.min()} {word} training "
                f"examples, fewer than the {wanted} of {k} positives a class"
            )
    return ""
