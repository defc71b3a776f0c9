"""The strength beside that of scikit-learn's own search, and the optimum by hand."""

import sys

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from threadpoolctl import threadpool_limits

from jax_ssl.evaluate.linear import hold_out
from jax_ssl.evaluate.protocol import Skipped
from jax_ssl.evaluate.transfer import fits, measured, transfer
from tests.evaluate.digits import judged, labelled


@pytest.fixture(autouse=True)
def one_thread():
    """These problems are too small for several threads, which wait for each other."""
    with threadpool_limits(limits=1):
        yield


def blobs(rng, count, classes=4, width=5):
    """Classes that overlap and of which the first has the most examples."""
    labels = np.minimum(rng.geometric(0.4, count) - 1, classes - 1)
    centers = np.eye(classes, width)
    return labelled(centers[labels] + 0.7 * rng.normal(size=(count, width)), labels)


@pytest.mark.parametrize(
    ("metric", "scoring"),
    [("accuracy", "accuracy"), ("mean_per_class", "balanced_accuracy")],
)
@pytest.mark.parametrize("validation_from", [None, 90])
def test_the_choice_and_the_refit_are_those_of_scikit_learn(
    metric, scoring, validation_from, rng
):
    train, test = blobs(rng, 120), blobs(rng, 300)
    protocol = transfer(
        metric=metric,
        strengths=6,
        weakest=1e-2,
        strongest=1e3,
        held_out=0.3,
        validation_from=validation_from,
        tolerance=1e-7,
    )
    (found,) = judged(protocol, train, test)
    fold = np.full(120, -1)
    validation = np.arange(90, 120)
    if validation_from is None:
        _, validation = hold_out(train.labels, 0.3, 0)
    fold[validation] = 0
    inverse = np.logspace(-3, 2, 6)
    judge = GridSearchCV(
        LogisticRegression(max_iter=9000, tol=1e-7),
        {"C": inverse.tolist()},
        scoring=scoring,
        cv=PredefinedSplit(fold),
    ).fit(train.features.astype(np.float64), train.labels)
    assert found.detail["strength"] == pytest.approx(1 / judge.best_params_["C"])
    scores = [row[metric] for row in found.detail["validation"]]
    np.testing.assert_allclose(scores, judge.cv_results_["mean_test_score"], atol=1e-12)
    predicted = judge.predict(test.features.astype(np.float64))
    accuracy = np.mean(predicted == test.labels)
    assert found.values["accuracy"] == pytest.approx(accuracy, abs=1e-12)
    per_class = balanced_accuracy_score(test.labels, predicted)
    assert found.values["mean_per_class"] == pytest.approx(per_class, abs=1e-12)
    assert transfer(metric=metric).metrics[0].name == metric


def test_the_grid_is_the_papers(rng):
    grid = np.linspace(5, -6, 45)
    (found,) = judged(transfer(tolerance=1e-2), blobs(rng, 40), blobs(rng, 20))
    strengths = [row["strength"] for row in found.detail["validation"]]
    np.testing.assert_allclose(np.log10(strengths), grid, atol=1e-9)


def test_the_sum_of_losses_is_at_its_minimum_after_a_warm_start(rng, monkeypatch):
    """The gradient of Σ CE + λ/2 ‖W‖² is 0, and that of the bias has no penalty."""
    kept = []

    class Kept(LogisticRegression):
        def fit(self, x, y):
            super().fit(x, y)
            kept.append((self.coef_.T.copy(), self.intercept_.copy()))
            return self

    monkeypatch.setattr("sklearn.linear_model.LogisticRegression", Kept)
    x, y = blobs(rng, 80)
    x, strengths = x.astype(np.float64), [10.0, 1.0, 0.1]
    assert all(reached for _, reached in fits(x, y, x, strengths, 1e-8))
    for strength, (kernel, bias) in zip(strengths, kept, strict=True):
        residual = softmax(x @ kernel + bias, axis=1) - np.eye(4)[y]
        assert np.abs(x.T @ residual + strength * kernel).max() < 1e-5
        assert np.abs(residual.sum(0)).max() < 1e-5


def test_scaled_features_and_strengths_say_the_same(rng):
    x, y = blobs(rng, 80)
    x = x.astype(np.float64)
    plain = [p for p, _ in fits(x, y, x, [1.0, 0.1], 1e-9)]
    scaled = [p for p, _ in fits(3 * x, y, 3 * x, [9.0, 0.9], 1e-9)]
    np.testing.assert_array_equal(plain, scaled)


def test_the_strongest_among_equals_is_chosen_and_the_edge_is_named():
    train = labelled(np.eye(3).repeat(6, 0), np.arange(3).repeat(6))
    (found,) = judged(transfer(strengths=3, weakest=1e-4, strongest=1e-2), train, train)
    assert found.values == {"accuracy": 1.0, "mean_per_class": 1.0}
    assert found.detail["strength"] == pytest.approx(1e-2)
    assert found.detail["note"] == "strength 0.01 is at the edge of the grid."


def test_an_overwhelming_strength_says_the_commonest_class(rng):
    train, test = blobs(rng, 100), blobs(rng, 50)
    protocol = transfer(strengths=1, weakest=1e9, strongest=1e9)
    (found,) = judged(protocol, train, test)
    commonest = np.bincount(train.labels).argmax()
    assert found.values["accuracy"] == np.mean(test.labels == commonest)
    assert found.values["mean_per_class"] == 0.25


def test_the_mean_per_class_weighs_classes_alike():
    labels = np.array([0] * 8 + [1] * 2)
    assert measured(np.zeros(10), labels) == {"accuracy": 0.8, "mean_per_class": 0.5}


def test_a_class_that_train_lacks_is_never_right(rng):
    train, test = blobs(rng, 60), blobs(rng, 30)
    unknown = labelled(test.features, np.full(30, 7))
    (found,) = judged(transfer(strengths=2), train, unknown)
    assert found.values == {"accuracy": 0.0, "mean_per_class": 0.0}


def test_classes_that_the_choice_does_not_see_are_said():
    x = np.eye(4)[[0, 1, 2, 0, 1, 3]]
    train = labelled(x, np.array([5, 6, 7, 5, 6, 8]))
    test = labelled(np.eye(4)[[0, 2]], np.array([5, 9]))
    protocol = transfer(strengths=1, validation_from=3, metric="mean_per_class")
    (found,) = judged(protocol, train, test)
    # Of 5 ... 9, rows 3 to 5 of train hold 5, 6 and 8, and the others 5, 6 and 7.
    assert "validation part lacks 2 of 5 classes (7, 9): λ is" in found.detail["note"]
    assert "fitted part lacks 2 of 5 classes (8, 9): they" in found.detail["note"]
    (found,) = judged(transfer(strengths=1, held_out=0.5), train, train)
    # A class of one example is fitted only.
    assert "validation part lacks 2 of 4 classes (7, 8)" in found.detail["note"]
    assert "fitted part" not in found.detail["note"]


def test_a_fit_that_is_not_finished_says_so(monkeypatch, rng):
    monkeypatch.setattr(sys.modules["jax_ssl.evaluate.transfer"], "MOST_STEPS", 2)
    protocol = transfer(strengths=3, weakest=1e-3, strongest=1e-1)
    (found,) = judged(protocol, blobs(rng, 60), blobs(rng, 30))
    assert "4 of 4 fits did not reach 0.0001 in 2 steps" in found.detail["note"]


def test_data_that_do_not_allow_a_choice_are_skipped(rng):
    train = blobs(rng, 30)
    (found,) = judged(transfer(validation_from=30), train, train)
    assert found == Skipped(
        "transfer.validation_from = 30 leaves 30 training and 0 validation examples"
    )
    single = labelled(np.eye(4), np.arange(4))
    (found,) = judged(transfer(), single, single)
    assert found.reason.startswith("no class has two training examples")
    alike = labelled(np.eye(4), np.zeros(4))
    (found,) = judged(transfer(), alike, alike)
    assert found == Skipped("the fitted training examples are all of one class")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strengths": 0}, "strengths = 0 must be at least 1"),
        ({"weakest": 0.0}, "weakest = 0.0 must be positive"),
        ({"weakest": 2.0, "strongest": 1.0}, "weakest = 2.0 must be at most strongest"),
        ({"held_out": 1.0}, "held_out = 1.0 must be"),
        ({"validation_from": 0}, "validation_from = 0 must be at least 1"),
        ({"tolerance": 0.0}, "tolerance = 0.0 must be"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        transfer(**settings)
