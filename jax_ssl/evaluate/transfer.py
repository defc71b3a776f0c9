"""Linear transfer: logistic regression whose L2 strength is chosen on validation.

Kornblith et al., 2019, "Do Better ImageNet Models Transfer Better?", arXiv:1805.08974;
also of SimCLR (Chen et al., 2020, arXiv:2002.05709) and BYOL (Grill et al., 2020,
arXiv:2006.07733).
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.evaluate.linear import hold_out
from jax_ssl.evaluate.part import Part, on_host
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped, classes_of

MOST_STEPS = 5000  # Of L-BFGS, for each strength.
SHOWN = 10  # Classes in a message, at most.


@dataclass(frozen=True, kw_only=True)
class Strengths:
    """The strengths λ of L2 that are tried, and the examples that choose among them.

    Attributes:
        strengths: how many values of λ, spaced evenly in their logarithms.
        weakest: least λ.
        strongest: largest λ.
        tolerance: of a fit.
        held_out: share of train that is the validation part.
        validation_from: row of train at which a validation part of its own begins.
        seed: of the held-out part.
    """

    strengths: int
    weakest: float
    strongest: float
    tolerance: float
    held_out: float
    validation_from: int | None
    seed: int

    def __post_init__(self) -> None:
        checks.at_least(1, strengths=self.strengths)
        checks.positive(weakest=self.weakest, strongest=self.strongest)
        checks.positive(tolerance=self.tolerance)
        checks.rising(weakest=self.weakest, strongest=self.strongest)
        checks.within("(0, 1)", held_out=self.held_out)
        checks.at_least(1, validation_from=self.validation_from)

    @property
    def grid(self) -> np.ndarray:
        """Every λ, from the strongest."""
        return np.geomspace(self.strongest, self.weakest, self.strengths)

    @property
    def settings(self) -> dict[str, Any]:
        """Those that matter, for the record."""
        drawn = self.validation_from is None
        unused = {"validation_from"} if drawn else {"held_out", "seed"}
        return {k: v for k, v in vars(self).items() if k not in unused}

    @property
    def where(self) -> str:
        """On what the choice is made, in words."""
        if self.validation_from is None:
            return f"{100 * self.held_out:g} % of train held out"
        return f"the rows of train from {self.validation_from} on"

    def detail(
        self, metric: str, scores: Sequence[float], *, lost: int, fits: int
    ) -> dict[str, Any]:
        """The chosen λ, what every λ has on the validation part, and a note.

        Args:
            metric: of the scores.
            scores: of every λ of the grid; the first of the largest was chosen.
            lost: fits that did not reach the tolerance.
            fits: all of them.
        """
        grid, best = self.grid, int(np.argmax(scores))
        notes = []
        if self.strengths > 1 and best in (0, self.strengths - 1):
            notes.append(f"strength {grid[best]:g} is at the edge of the grid.")
        if lost:
            notes.append(
                f"{lost} of {fits} fits did not reach {self.tolerance:g} in "
                f"{MOST_STEPS} steps."
            )
        return {
            "strength": float(grid[best]),
            "validation": [
                {"strength": float(strength), metric: float(score)}
                for strength, score in zip(grid, scores, strict=True)
            ],
            **({"note": " ".join(notes)} if notes else {}),
        }


def transfer(
    *,
    metric: Literal["accuracy", "mean_per_class"] = "accuracy",
    strengths: int = 45,
    weakest: float = 1e-6,
    strongest: float = 1e5,
    held_out: float = 0.1,
    validation_from: int | None = None,
    tolerance: float = 1e-4,
    seed: int = 0,
    label: str = "label",
) -> Protocol:
    """Test accuracy of a logistic regression on the features as they are.

    Minimises (sum of cross-entropies) + λ / 2 · ‖kernel‖², where the bias is free, by
    scikit-learn's L-BFGS in float64; of two classes it fits one logit, whose kernel has
    the penalty. Each strength λ is fitted on one part of train and judged on the
    validation part, from the strongest to the weakest, each fit starting at the one
    before. The strength of the highest metric there (the strongest among equals) is
    fitted once more on all of train, and that regression sees test, once.

    Args:
        metric: the headline, by which the strength is chosen too. "accuracy", or
            "mean_per_class", the mean over the classes of the share of each that is
            right: the papers' choice for Aircraft, Pets, Caltech-101 and Flowers.
        strengths: how many values of λ, spaced evenly in their logarithms.
        weakest: least λ.
        strongest: largest λ.
        held_out: share of every class of train that is the validation part.
        validation_from: row of train at which a validation part of its own begins and
            goes on to the end, in the place of `held_out`; the number of examples of
            "train" with `data.split="train+validation"`.
        tolerance: of the largest element of the gradient, of the objective divided by
            the number of examples.
        seed: of the held-out part.
        label: field that is predicted.

    Returns:
        A protocol whose detail holds "strength", "validation" (a row for each λ:
        "strength" and the metric), and "note" if the chosen λ is at an end of several,
        a fit did not reach the tolerance, or the part on which λ was chosen lacks
        classes: its mean per class is then not that of the test part. Classes that are
        not fitted are never right.

    Raises:
        ValueError: if a setting is out of range.

    Note:
        All features are on the host, 8 bytes a number, and all fits are there: 50,000
        examples of 2,048 numbers take many minutes.
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
        classes, known, asked = classes_of(train, test, label)
        if validation_from is None:
            _, counts = np.unique(known[known >= 0], return_counts=True)
            if counts.max() < 2:
                yield Skipped("no class has two training examples, one to be held out")
                return
            fitted, validation = hold_out(known, held_out, seed)
        else:
            here, late = known >= 0, train.rows >= validation_from
            fitted, validation = (
                np.flatnonzero(here & ~late),
                np.flatnonzero(here & late),
            )
        if not len(fitted) or not len(validation):
            yield Skipped(
                f"transfer.validation_from = {validation_from} leaves {len(fitted)} "
                f"training and {len(validation)} validation examples"
            )
            return
        if len(np.unique(known[fitted])) < 2:
            yield Skipped("the fitted training examples are all of one class")
            return
        x = on_host(train.values).astype(np.float64)
        scores, lost = [], 0
        sides = (rows_of(x, known, fitted), rows_of(x, known, validation))
        for predicted, reached in fits(*sides[0], sides[1][0], grid, tolerance):
            scores.append(measured(predicted, sides[1][1])[metric])
            lost += not reached
        best = int(np.argmax(scores))
        lacks = unchosen(classes, known, fitted, validation, asked)
        del sides
        whole = rows_of(x, known, np.flatnonzero(known >= 0))
        seen = rows_of(on_host(test.values), asked, np.flatnonzero(asked >= 0))
        ((predicted, reached),) = fits(*whole, seen[0], grid[[best]], tolerance)
        detail = sweep.detail(
            metric, scores, lost=lost + (not reached), fits=strengths + 1
        )
        if lacks:
            detail["note"] = " ".join(filter(None, (*lacks, detail.get("note"))))
        yield Outcome(
            title="transfer",
            settings={"metric": metric, **sweep.settings},
            values=measured(predicted, seen[1]),
            detail=detail,
            remark=(
                f"transfer: logistic regression, best of {strengths} L2 strengths by "
                f"{metric.replace('_', ' ')} on {sweep.where}"
            ),
        )

    other = "accuracy" if metric == "mean_per_class" else "mean_per_class"
    metrics = Metric(metric), Metric(other)
    return Protocol(name="transfer", needs=(label,), metrics=metrics, run=run)


def unchosen(
    classes: np.ndarray,
    known: np.ndarray,
    fitted: np.ndarray,
    validation: np.ndarray,
    asked: np.ndarray,
) -> list[str]:
    """Sentences about classes that one of the parts lacks by which λ is chosen.

    Args:
        classes: labels that occur in train or test, rising [C].
        known: [n] numbers of the classes of train, -1 where there is none.
        fitted: rows of train that are fitted.
        validation: rows of train that the choice is made on.
        asked: [m] numbers of the classes of test, -1 where there is none.
    """
    said = []
    for part, rows, why in (
        ("validation part", validation, "λ is not chosen by them"),
        ("fitted part", fitted, "they are never right where λ is chosen"),
    ):
        there = known[known >= 0], asked[asked >= 0]
        lacks = classes[np.setdiff1d(np.concatenate(there), known[rows])]
        if len(lacks):
            words = ", ".join(map(str, lacks[:SHOWN]))
            more = f" and {len(lacks) - SHOWN} more" if len(lacks) > SHOWN else ""
            said.append(
                f"the {part} lacks {len(lacks)} of {len(classes)} classes ({words}"
                f"{more}): {why}."
            )
    return said


def measured(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The accuracy, and its mean over classes.

    Args:
        predicted: [n] integers.
        labels: [n] integers, at least one; the mean is over those that occur.
    """
    right = predicted == labels
    shares = [float(right[labels == label].mean()) for label in np.unique(labels)]
    return {"accuracy": float(right.mean()), "mean_per_class": float(np.mean(shares))}


def rows_of(
    x: np.ndarray, labels: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of some rows."""
    return x[rows], labels[rows]


def fits(
    x: np.ndarray,
    y: np.ndarray,
    asked: np.ndarray,
    strengths: Sequence[float] | np.ndarray,
    tolerance: float,
) -> Iterator[tuple[np.ndarray, bool]]:
    """What the regressions of `fitted` say of examples [m, D]: their classes [m]."""
    for fit, reached in fitted(x, y, strengths, tolerance):
        yield fit.predict(asked), reached


def fitted(
    x: np.ndarray,
    y: np.ndarray,
    strengths: Sequence[float] | np.ndarray,
    tolerance: float,
) -> Iterator[tuple[Any, bool]]:
    """Logistic regressions of several strengths, each from the one before.

    Args:
        x: [n, D] float64.
        y: [n] integers, of at least two classes.
        strengths: λ of each.
        tolerance: of the gradient.

    Yields:
        (scikit-learn's classifier, which the next step changes, and whether the
        tolerance was reached).
    """
    # Imported here: it takes a second, and most commands fit none.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    fit = LogisticRegression(tol=tolerance, max_iter=MOST_STEPS, warm_start=True)
    for strength in strengths:
        fit.set_params(C=1 / strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit.fit(x, y)
        yield fit, bool(fit.n_iter_.max() < MOST_STEPS)
