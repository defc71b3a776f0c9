"""Draws that are the same for all features, and classifiers by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jax_ssl.evaluate.few_label import draw_rows, few_label, fit_logistic
from jax_ssl.parallel.mesh import make_mesh
from tests.evaluate.digits import digit_pixels, feature_set
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
    found = few_label(train, test, labels_per_class=3, draws=4, classifier=classifier)
    by_hand = []
    for rows in draw_rows(train.labels, 3, draws=4, seed=0):
        args = train.features, train.labels, test.features, rows
        if classifier == "nearest_neighbor":
            predicted = reference.few_label_nearest(*args)
        else:
            predicted = reference.few_label_class_mean(*args, 10)
        by_hand.append((predicted == test.labels).mean())
    np.testing.assert_allclose(found["accuracies"], by_hand, atol=1.5 / 597)
    assert found["accuracy"] == pytest.approx(np.mean(found["accuracies"]))
    assert found["std"] == pytest.approx(np.std(found["accuracies"], ddof=1))


def test_one_label_a_class_makes_neighbor_and_mean_the_same():
    train, test = digit_pixels()
    first, second = (
        few_label(train, test, labels_per_class=1, draws=5, classifier=classifier)
        for classifier in ("nearest_neighbor", "nearest_class_mean")
    )
    assert first == second


def test_logistic_agrees_with_scikit_learn():
    train, test = digit_pixels()
    found = few_label(train, test, labels_per_class=5, draws=3, classifier="logistic")
    x, t = reference.unit(train.features), reference.unit(test.features)
    rows = draw_rows(train.labels, 5, draws=3, seed=0)
    for draw, accuracy in zip(rows, found["accuracies"], strict=True):
        judge = LogisticRegression(C=1 / (1e-3 * len(draw)), max_iter=5000, tol=1e-6)
        judge.fit(x[draw], train.labels[draw])
        assert judge.score(t, test.labels) == pytest.approx(accuracy, abs=2.5 / 597)


def test_logistic_reaches_scikit_learns_weights():
    train, _ = digit_pixels()
    rows = draw_rows(train.labels, 5, draws=1, seed=0)[0]
    x, y = reference.unit(train.features)[rows], train.labels[rows]
    judge = LogisticRegression(C=1 / (1e-2 * len(y)), max_iter=5000, tol=1e-9).fit(x, y)
    kernel, _ = fit_logistic(jnp.asarray(x, jnp.float32), jnp.asarray(y), 1e-2, 10)
    np.testing.assert_allclose(kernel.T, judge.coef_, atol=1e-3)


@pytest.mark.parametrize("classifier", ["nearest_class_mean", "logistic"])
def test_a_class_that_train_lacks_is_never_right(classifier, rng):
    # Labels 0 and 2 in train; test asks for 1.
    train = feature_set(rng.normal(size=(20, 4)), np.arange(20) % 2 * 2)
    test = feature_set(rng.normal(size=(9, 4)), np.ones(9))
    settings = {"labels_per_class": 2, "draws": 2, "classifier": classifier}
    assert few_label(train, test, **settings)["accuracy"] == 0


def test_a_mesh_changes_nothing():
    train, test = digit_pixels()
    alone = few_label(train, test, labels_per_class=2, draws=3)
    with jax.set_mesh(make_mesh(fsdp=2)):
        assert few_label(train, test, labels_per_class=2, draws=3) == alone


def test_one_draw_has_no_spread():
    assert few_label(*digit_pixels(), labels_per_class=2, draws=1)["std"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels_per_class": 0}, "few_label.labels_per_class = 0"),
        ({"draws": 0}, "few_label.draws = 0"),
        ({"classifier": "svm"}, "few_label.classifier = 'svm'"),
        ({"weight_decay": 0.0}, "few_label.weight_decay = 0.0"),
        ({"labels_per_class": 1000}, r"class 2 has 117 train examples, fewer than"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        few_label(*digit_pixels(), **{"labels_per_class": 1, **settings})
