"""Linear transfer to images of several classes each, such as those of VOC2007.

Kornblith et al., 2019, "Do Better ImageNet Models Transfer Better?", arXiv:1805.08974:
a logistic regression for each class, judged by the mean average precision.
"""

from collections.abc import Iterator

import numpy as np

from jax_ssl.evaluate.part import Part, on_host
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped
from jax_ssl.evaluate.transfer import Strengths, fitted
from jax_ssl.evaluate.voc07 import all_point, eleven_point, marks


def transfer_labels(
    *,
    strengths: int = 45,
    weakest: float = 1e-6,
    strongest: float = 1e5,
    held_out: float = 0.1,
    validation_from: int | None = None,
    tolerance: float = 1e-4,
    seed: int = 0,
    labels: str = "labels",
    certain: str | None = None,
) -> Protocol:
    """Mean average precision of one logistic regression for each class.

    Each is that of the protocol `transfer` for two classes. All have the same strength
    λ, the one of the highest 11-point mean on the validation part, the strongest among
    equals; with it they are fitted once more on all of train.

    Args:
        strengths: how many values of λ, spaced evenly in their logarithms.
        weakest: least λ.
        strongest: largest λ.
        held_out: share of train that is the validation part, drawn from all.
        validation_from: row of train at which a validation part of its own begins and
            goes on to the end, in the place of `held_out`.
        tolerance: of the largest element of the gradient, of the objective divided by
            the number of examples.
        seed: of the held-out part.
        labels: field that is predicted, 1 for each class that applies.
        certain: field like it, without the classes of an example that are there but
            difficult to see, for which the example does not count; None has no such.

    Returns:
        A protocol of "map_11_point" and "map_all_point", see `voc07`. Classes without
        positives and negatives to fit, to choose by and to be judged by are left out,
        and the result says how many.

    Raises:
        ValueError: if a setting is out of range.
    """
    sweep = Strengths(
        strengths=strengths,
        weakest=weakest,
        strongest=strongest,
        tolerance=tolerance,
        held_out=held_out,
        validation_from=validation_from,
        seed=seed,
    )
    grid = sweep.grid

    def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
        (x, known), (asked, truth) = (
            (
                on_host(part.values)[part.counts].astype(np.float64),
                marks(part, labels, certain),
            )
            for part in (train, test)
        )
        later = train.rows[train.counts] >= (validation_from or 0)
        if validation_from is None:
            order = np.random.default_rng(seed).permutation(len(x))
            later = order < max(1, round(held_out * len(x)))
        judged, left_out, lost = [], 0, 0
        for number in range(known.shape[1]):
            own = known[:, number]
            if not (
                _both(own[~later]) and _both(own[later]) and _both(truth[:, number])
            ):
                left_out += 1
                continue
            here, there = (own >= 0) & ~later, (own >= 0) & later
            scores = []
            for fit, reached in fitted(x[here], own[here], grid, tolerance):
                rank = fit.decision_function(x[there])
                scores.append(eleven_point(rank, own[there]))
                lost += not reached
            judged.append((number, scores))
        if not judged:
            yield Skipped(
                "no class has positives and negatives in train, in validation and in "
                "test"
            )
            return
        validation = np.mean([scores for _, scores in judged], axis=0)
        best = int(np.argmax(validation))
        rows = []
        for number, _ in judged:
            here, there = known[:, number] >= 0, truth[:, number] >= 0
            sides = x[here], known[here, number]
            ((fit, reached),) = fitted(*sides, grid[[best]], tolerance)
            lost += not reached
            rank, right = fit.decision_function(asked[there]), truth[there, number]
            rows.append(
                {
                    "class": number,
                    "11_point": eleven_point(rank, right),
                    "all_point": all_point(rank, right),
                }
            )
        detail = sweep.detail(
            "map_11_point", validation, lost=lost, fits=len(judged) * (strengths + 1)
        )
        if left_out:
            said = f"{left_out} classes have too few examples and are left out."
            detail["note"] = " ".join(filter(None, (said, detail.get("note"))))
        yield Outcome(
            title="transfer",
            settings={**sweep.settings, "labels": labels, "certain": certain},
            values={
                "map_11_point": float(np.mean([row["11_point"] for row in rows])),
                "map_all_point": float(np.mean([row["all_point"] for row in rows])),
            },
            detail={**detail, "classes": rows},
            remark=(
                "transfer: a logistic regression for each class, best of "
                f"{strengths} L2 strengths by map 11 point on {sweep.where}"
            ),
        )

    metrics = Metric("map_11_point"), Metric("map_all_point")
    needs = (labels,) if certain is None else (labels, certain)
    return Protocol(
        name="transfer_labels", needs=needs, kind="labels", metrics=metrics, run=run
    )


def _both(marked: np.ndarray) -> bool:
    """Whether there are positives and negatives."""
    return bool((marked > 0).any() and (marked == 0).any())
