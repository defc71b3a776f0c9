"""Classification of VOC07: a linear SVM for each class, judged by average precision.

Goyal et al., 2019, "Scaling and Benchmarking Self-Supervised Visual Representation
Learning", arXiv:1905.01235, on pooled features; average precision as Everingham et al.
define it for PASCAL VOC, 2010, doi:10.1007/s11263-009-0275-4: over all points, and over
11 points as in the challenge of 2007.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from jax_ssl.core import checks
from jax_ssl.evaluate.part import Part, on_host
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped

MOST_STEPS = 2000  # Of the dual solver, for each SVM.
TINY = 1e-5  # Added to the length that a feature is divided by.


def voc07(
    *,
    costs: tuple[float, ...] | float = (0.01, 0.1),
    folds: int = 3,
    positive_weight: float = 2.0,
    tolerance: float = 1e-4,
    seed: int = 0,
    labels: str = "labels",
    certain: str | None = None,
) -> Protocol:
    """Mean average precision of one-vs-rest linear SVMs, by both rules of PASCAL VOC.

    For each class, scikit-learn's LinearSVC (liblinear) minimises ½‖kernel‖² + C · (sum
    of squared hinge losses), those of positives `positive_weight` times, on features of
    unit length; the bias is the weight of a feature that is 1, and has the penalty. C
    is the cost of highest average precision, by scikit-learn's rule, in a
    cross-validation on train, the least among equals; the SVM is then fitted on all of
    train.

    Args:
        costs: values of C; 0.01 ... 1000 in the paper.
        folds: of the cross-validation, at least 2.
        positive_weight: of the losses of positives.
        tolerance: at which the solver stops.
        seed: of the solver's order of examples.
        labels: field that is predicted, 1 for each class that applies.
        certain: field like it, without the classes of an example that are there but
            difficult to see: those in `labels` and not in it are neither positive nor
            negative, and the example does not count for them. None has no such.

    Returns:
        A protocol of "map_all_point", the mean over classes of the area under the
        interpolated curve of precision and recall, and "map_11_point", that of the mean
        interpolated precision at 11 levels of recall. Its detail holds for each class
        "class", "cost", "all_point" and "11_point". Classes with fewer positives or
        negatives in train than folds, or without a positive or a negative in test, are
        left out, and the result says how many.

    Raises:
        ValueError: if a setting is out of range, or no cost is given.

    Note:
        All features are on the host, 8 bytes a number, and all fits are there.
        Published numbers are often of the best of several layers.
    """
    several = tuple(costs) if isinstance(costs, tuple | list) else (float(costs),)
    checks.not_empty(costs=several)
    checks.positive(costs=several, positive_weight=positive_weight, tolerance=tolerance)
    checks.at_least(2, folds=folds)
    needs = (labels,) if certain is None else (labels, certain)
    settings = {
        "costs": several,
        "folds": folds,
        "positive_weight": positive_weight,
        "tolerance": tolerance,
        "seed": seed,
        "labels": labels,
        "certain": certain,
    }

    def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
        (x, known), (asked, truth) = (
            (unit(on_host(part.values)[part.counts]), marks(part, labels, certain))
            for part in (train, test)
        )
        rows, lost = [], 0
        for number in range(known.shape[1]):
            here, there = known[:, number] >= 0, truth[:, number] >= 0
            own, right = known[here, number], truth[there, number]
            rarer = min(own.sum(), (1 - own).sum())
            if rarer < folds or not right.any() or right.all():
                continue
            scores, cost, unfinished = scored(
                x[here], own, asked[there], several, folds, positive_weight, tolerance,
                seed,
            )  # fmt: skip
            lost += unfinished
            rows.append(
                {
                    "class": number,
                    "cost": cost,
                    "all_point": all_point(scores, right),
                    "11_point": eleven_point(scores, right),
                }
            )
        if not rows:
            yield Skipped(
                f"no class has {folds} positive and negative training examples, and a "
                "positive and a negative test example"
            )
            return
        notes = []
        if left_out := known.shape[1] - len(rows):
            notes.append(f"{left_out} classes have too few examples and are left out.")
        if lost:
            notes.append(
                f"the SVMs of {lost} classes did not reach {tolerance:g} in "
                f"{MOST_STEPS} steps."
            )
        yield Outcome(
            title="linear SVM",
            settings=settings,
            values={
                "map_all_point": float(np.mean([row["all_point"] for row in rows])),
                "map_11_point": float(np.mean([row["11_point"] for row in rows])),
            },
            detail={"classes": rows, **({"note": " ".join(notes)} if notes else {})},
            remark=(
                "linear SVM: one against the rest, cost by a cross-validation of "
                f"{folds} folds on train"
            ),
        )

    metrics = Metric("map_all_point"), Metric("map_11_point")
    return Protocol(name="voc07", needs=needs, kind="labels", metrics=metrics, run=run)


def marks(part: Part, labels: str, certain: str | None) -> np.ndarray:
    """Which classes apply to the examples that count, [n, K] int8; -1 if difficult.

    Args:
        part: with both fields.
        labels: field of all classes that are there.
        certain: field of those that are not difficult; None if all are.
    """
    there = part.fields[labels][part.counts] > 0
    if certain is None:
        return there.astype(np.int8)
    sure = part.fields[certain][part.counts] > 0
    return np.where(sure, 1, np.where(there, -1, 0)).astype(np.int8)


def scored(
    x: np.ndarray,
    y: np.ndarray,
    asked: np.ndarray,
    costs: tuple[float, ...],
    folds: int,
    positive_weight: float,
    tolerance: float,
    seed: int,
) -> tuple[np.ndarray, float, bool]:
    """What the SVM of the best cost says of the test examples.

    Args:
        x: [n, D] float64.
        y: [n] 1 for positives, 0 for negatives, at least `folds` of both.
        asked: [m, D] float64.
        costs: values of C.
        folds: of the cross-validation.
        positive_weight: of their losses.
        tolerance: of the solver.
        seed: of the solver.

    Returns:
        (scores [m], the cost, whether its last fit did not reach the tolerance).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import cross_val_score

    settings = positive_weight, tolerance, seed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        cost = costs[0]
        if len(costs) > 1:
            rising = sorted(costs)
            rule = "average_precision"
            found = [
                cross_val_score(
                    machine(each, *settings), x, y, cv=folds, scoring=rule
                ).mean()
                for each in rising
            ]
            cost = rising[int(np.argmax(found))]
        fit = machine(cost, *settings).fit(x, y)
    return fit.decision_function(asked), cost, bool(fit.n_iter_ >= MOST_STEPS)


def machine(cost: float, positive_weight: float, tolerance: float, seed: int) -> Any:
    """The linear SVM of a cost, not yet fitted; see `voc07`."""
    # Imported here: it takes a second, and most commands fit none.
    from sklearn.svm import LinearSVC

    return LinearSVC(
        C=cost,
        dual=True,
        class_weight={1: positive_weight, 0: 1},
        tol=tolerance,
        max_iter=MOST_STEPS,
        random_state=seed,
    )


def all_point(scores: np.ndarray, right: np.ndarray) -> float:
    """The area under the interpolated curve of precision and recall.

    The precision at a recall is the largest at that recall or a higher one.

    Args:
        scores: [n], larger for what comes first; equal ones come together.
        right: [n] 1 for positives, of which there is at least one, else 0.
    """
    found, precision = _curve(scores, right)
    return float(np.sum(np.diff(found, prepend=0) * precision) / found[-1])


def eleven_point(scores: np.ndarray, right: np.ndarray) -> float:
    """The mean of the interpolated precision at recalls of 0, 0.1 ... 1.

    Args:
        scores: [n], larger for what comes first; equal ones come together.
        right: [n] 1 for positives, of which there is at least one, else 0.

    Note:
        Recalls are compared with the levels in whole numbers, found · 10 with level ·
        positives, so that 3 of 10 reach the level 0.3, which rounding may deny.
    """
    found, precision = _curve(scores, right)
    places = np.searchsorted(10 * found, np.arange(11) * found[-1])
    return float(precision[places].mean())


def _curve(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives found at each different score, and the interpolated precision there.

    Returns:
        ([t] int64, rising to the number of positives, [t] float64).
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found = np.cumsum(right[order], dtype=np.int64)[last]
    precision = found / (last + 1)
    return found, np.maximum.accumulate(precision[::-1])[::-1]


def unit(x: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths, float64."""
    x = x.astype(np.float64)
    return x / (np.linalg.norm(x, axis=1, keepdims=True) + TINY)
