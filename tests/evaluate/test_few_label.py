"""Draws that are the same for all features, and classifiers by hand."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jax_ssl.evaluate.few_label import draw_rows, few_label, fit_logistic
from jax_ssl.evaluate.protocol import Outcome, Skipped
from jax_ssl.parallel.mesh import make_mesh
from tests.evaluate.digits import digit_pixels, judged, labelled, score
from tests.references import linear
from tests.references import neighbors as reference


@pytest.mark.parametrize("n", [1, 5, 10])
def test_draws_hold_n_different_examples_of_every_class(n):
    labels = digit_pixels()[0].labels
    rows = draw_rows(labels, n, draws=7, seed=0)
    assert rows.shape == (7, 10 * n)
    for draw in rows:
        np.testing.assert_array_equal(np.bincount(labels[draw]), n)
        assert len(set(draw)) == 10 * n
    assert len({tuple(draw) for draw in rows}) == 7


def test_draws_of_fewer_labels_are_parts_of_draws_of_more():
    labels = digit_pixels()[0].labels
    few = draw_rows(labels, 2, draws=3, seed=4).reshape(3, 10, 2)
    more = draw_rows(labels, 5, draws=3, seed=4).reshape(3, 10, 5)
    np.testing.assert_array_equal(few, more[:, :, :2])
    assert not np.array_equal(
        few, draw_rows(labels, 2, draws=3, seed=5).reshape(few.shape)
    )


@pytest.mark.parametrize("classifier", ["nearest_neighbor", "nearest_class_mean"])
def test_accuracies_are_those_by_hand(classifier):
    train, test = digit_pixels()
    protocol = few_label(labels_per_class=3, draws=4, classifier=classifier)
    (found,) = judged(protocol, train, test)
    by_hand = []
    for rows in draw_rows(train.labels, 3, draws=4, seed=0):
        args = train.features, train.labels, test.features, rows
        if classifier == "nearest_neighbor":
            predicted = reference.few_label_nearest(*args)
        else:
            predicted = reference.few_label_class_mean(*args, 10)
        by_hand.append((predicted == test.labels).mean())
    np.testing.assert_allclose(found.detail["accuracies"], by_hand, atol=1.5 / 597)
    assert found.values["accuracy"] == pytest.approx(
        np.mean(found.detail["accuracies"])
    )
    assert found.spread == pytest.approx(np.std(found.detail["accuracies"], ddof=1))


def test_one_label_a_class_makes_neighbor_and_mean_the_same():
    (first,), (second,) = (
        judged(
            few_label(labels_per_class=1, draws=5, classifier=classifier),
            *digit_pixels(),
        )
        for classifier in ("nearest_neighbor", "nearest_class_mean")
    )
    assert first.detail == second.detail


def test_logistic_agrees_with_scikit_learn():
    train, test = digit_pixels()
    protocol = few_label(labels_per_class=5, draws=3, classifier="logistic")
    (found,) = judged(protocol, train, test)
    assert "note" not in found.detail
    x, t = reference.unit(train.features), reference.unit(test.features)
    rows = draw_rows(train.labels, 5, draws=3, seed=0)
    for draw, accuracy in zip(rows, found.detail["accuracies"], strict=True):
        judge = LogisticRegression(C=1 / (1e-3 * len(draw)), max_iter=5000, tol=1e-6)
        judge.fit(x[draw], train.labels[draw])
        assert judge.score(t, test.labels) == pytest.approx(accuracy, abs=2.5 / 597)


@pytest.mark.parametrize("decay", [1e-2, 1e-4, 1e-5])
def test_logistic_reaches_the_optimum(decay):
    """The objective of scikit-learn's solution in float64 is not below ours."""
    train, _ = digit_pixels()
    rows = draw_rows(train.labels, 5, draws=1, seed=0)[0]
    x, y = reference.unit(train.features)[rows], train.labels[rows]
    judge = LogisticRegression(C=1 / (decay * len(y)), max_iter=50_000, tol=1e-10)
    judge.fit(x, y)
    *ours, converged = fit_logistic(
        jnp.asarray(x, jnp.float32), jnp.asarray(y), weight_decay=decay, num_classes=10
    )
    assert converged

    def objective(kernel, bias):
        kernel, bias = np.asarray(kernel, np.float64), np.asarray(bias, np.float64)
        value, *_ = linear.cross_entropy(x, y, kernel, bias)
        return value + decay / 2 * np.square(kernel).sum()

    best = objective(judge.coef_.T, judge.intercept_)
    assert objective(*ours) <= best * (1 + 1e-3)


def test_a_fit_that_is_not_finished_says_so(monkeypatch):
    monkeypatch.setattr(sys.modules["jax_ssl.evaluate.few_label"], "MOST_STEPS", 3)
    protocol = few_label(labels_per_class=3, draws=2, classifier="logistic", seed=7)
    (found,) = judged(protocol, *digit_pixels())
    assert "2 of 2 fits did not reach a gradient" in found.detail["note"]


@pytest.mark.parametrize("classifier", ["nearest_class_mean", "logistic"])
def test_a_class_that_train_lacks_is_never_right(classifier, rng):
    # Labels 0 and 2 in train; test asks for 1.
    train = labelled(rng.normal(size=(20, 4)), np.arange(20) % 2 * 2)
    test = labelled(rng.normal(size=(9, 4)), np.ones(9))
    protocol = few_label(labels_per_class=2, draws=2, classifier=classifier)
    assert score(protocol, train, test) == 0


@pytest.mark.parametrize("classifier", ["nearest_neighbor", "logistic"])
def test_a_mesh_changes_nothing(classifier):
    protocol = few_label(labels_per_class=2, draws=3, classifier=classifier)
    alone = judged(protocol, *digit_pixels())
    with jax.set_mesh(make_mesh(fsdp=2)):
        assert judged(protocol, *digit_pixels()) == alone


def test_one_draw_has_no_spread():
    (found,) = judged(few_label(labels_per_class=2, draws=1), *digit_pixels())
    assert found.spread is None


def test_a_number_that_a_class_has_not_is_skipped_and_the_rest_is_run():
    protocol = few_label(labels_per_class=(1, 1000), draws=2)
    one, many = judged(protocol, *digit_pixels())
    assert isinstance(one, Outcome)
    assert one.title == "1 label"
    assert many == Skipped(
        "class 2 has 117 training examples, fewer than 1000 labels a class"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels_per_class": 0}, "labels_per_class = .0,. must be at least 1"),
        ({"labels_per_class": ()}, r"labels_per_class = \(\) must hold at least one"),
        ({"draws": 0}, "draws = 0 must be"),
        ({"weight_decay": 0.0}, "weight_decay = 0.0 must be"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        few_label(**settings)
