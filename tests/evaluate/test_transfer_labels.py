"""One logistic regression a class, beside scikit-learn's and VOC's rule by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jax_ssl.evaluate.protocol import Skipped
from jax_ssl.evaluate.transfer_labels import transfer_labels
from tests.evaluate.test_transfer import one_thread  # noqa: F401
from tests.evaluate.test_voc07 import judged, scenes

STRENGTHS = [100.0, 1.0, 0.01]


def eleven(scores, right):
    """The mean over 11 levels of the largest precision from there on."""
    order = np.argsort(-scores)
    found = np.cumsum(right[order])
    precision = found / np.arange(1, len(order) + 1)
    levels = [level * right.sum() <= 10 * found for level in range(11)]
    return np.mean([precision[reached].max() for reached in levels])


@pytest.mark.parametrize("difficult", [False, True])
def test_strength_and_precision_are_those_of_scikit_learn(difficult, rng):
    train, test = scenes(rng, 90), scenes(rng, 60)
    sure = [y * (rng.uniform(size=y.shape) < 0.7) for _, y in (train, test)]
    certain, more = None, {}
    if difficult:
        certain, more = "easy", {"easy": sure}
    else:
        sure = [y for _, y in (train, test)]
    protocol = transfer_labels(
        strengths=3,
        weakest=0.01,
        strongest=100.0,
        validation_from=60,
        certain=certain,
        tolerance=1e-7,
    )
    (found,) = judged(protocol, train, test, **more)

    def counts(part, number):
        (_, there), own = (train, sure[0]) if part == 0 else (test, sure[1])
        return (there[:, number] == 0) | (own[:, number] == 1)

    def precision(strength, fitted, asked, part):
        each = []
        for number in range(train[1].shape[1]):
            rows = fitted & counts(0, number)
            judge = LogisticRegression(C=1 / strength, tol=1e-9, max_iter=9000)
            judge.fit(train[0][rows].astype(float), train[1][rows, number])
            x, y = (train, test)[part]
            here = asked & counts(part, number)
            each.append(eleven(judge.decision_function(x[here]), y[here, number]))
        return np.mean(each)

    early, every = np.arange(90) < 60, np.ones(60, bool)
    scores = [precision(strength, early, ~early, 0) for strength in STRENGTHS]
    told = [row["map_11_point"] for row in found.detail["validation"]]
    np.testing.assert_allclose(told, scores, atol=1e-12)
    best = STRENGTHS[int(np.argmax(scores))]
    assert found.detail["strength"] == pytest.approx(best)
    judge = precision(best, np.ones(90, bool), every, 1)
    assert found.values["map_11_point"] == pytest.approx(judge, abs=1e-12)


def test_classes_without_examples_are_left_out_and_named(rng):
    train, test = scenes(rng, 50), scenes(rng, 30)
    train[1][:, 1] = 0
    (found,) = judged(transfer_labels(strengths=2, held_out=0.4), train, test)
    assert [row["class"] for row in found.detail["classes"]] == [0, 2]
    assert "1 classes have too few" in found.detail["note"]
    test[1][:] = 0
    (skipped,) = judged(transfer_labels(strengths=2), train, test)
    assert isinstance(skipped, Skipped)
