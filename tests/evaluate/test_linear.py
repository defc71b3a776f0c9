"""The probe's protocol: what is fitted, chosen and tested on which rows."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jax_ssl.evaluate import linear as module
from jax_ssl.evaluate.heads import fit_heads
from jax_ssl.evaluate.labels import hold_out
from jax_ssl.evaluate.linear import linear
from tests.evaluate.digits import digit_pixels, feature_set

QUICK = {"epochs": 20, "batch_size": 16}  # With `clouds`, one program for all tests.


@pytest.fixture(scope="module")
def probed():
    """The default sweep on digits."""
    return linear(*digit_pixels())


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(8)
    labels = np.arange(90) % 3
    features = rng.normal(size=(90, 6)) + 8 * np.eye(6)[labels]
    return feature_set(features[:60], labels[:60]), feature_set(
        features[60:], labels[60:]
    )


def test_agrees_with_scikit_learn_on_digits(probed):
    train, test = digit_pixels()
    judge = LogisticRegression(C=1.0, max_iter=2000).fit(train.features, train.labels)
    expected = judge.score(test.features, test.labels)
    assert probed["accuracy"] == pytest.approx(expected, abs=0.01)


def test_the_choice_is_the_best_of_the_table(probed):
    table = probed["validation"]
    assert len(table) == 32
    best = max(table, key=lambda row: (row["accuracy"], -row["loss"]))
    for name in ("learning_rate", "weight_decay"):
        assert probed[name] == best[name]
    assert probed["validation_accuracy"] == best["accuracy"]
    assert probed["accuracy_top5"] >= probed["accuracy"]


def test_separable_features_are_separated(clouds):
    found = linear(*clouds, **QUICK)
    assert found["accuracy"] == found["validation_accuracy"] == 1
    assert found["accuracy_top5"] is None


def test_one_hot_labels_as_features_are_enough():
    labels = np.arange(60) % 3
    one_hot = feature_set(np.eye(6)[labels], labels)
    assert linear(one_hot, one_hot, **QUICK)["accuracy"] == 1


def test_the_choice_never_sees_test(clouds):
    train, test = clouds
    wrong = feature_set(test.features, (test.labels + 1) % 3)
    found, turned = linear(train, test, **QUICK), linear(train, wrong, **QUICK)
    assert turned.pop("accuracy") <= 0.1 < found.pop("accuracy")
    assert turned == found


def test_the_chosen_head_is_trained_anew_on_all_of_train(clouds, monkeypatch):
    calls = []

    def spy(features, labels, rows, rates, decays, **settings):
        calls.append((rows, rates, decays))
        return fit_heads(features, labels, rows, rates, decays, **settings)

    monkeypatch.setattr(module, "fit_heads", spy)
    found = linear(*clouds, **QUICK)
    (fitted, rates, _), (everything, rate, decay) = calls
    np.testing.assert_array_equal(fitted, hold_out(clouds[0].labels, 0.1, 0)[0])
    assert len(fitted) == 54
    assert len(rates) == 32
    np.testing.assert_array_equal(everything, np.arange(60))
    np.testing.assert_allclose(rate, [found["learning_rate"]])
    np.testing.assert_allclose(decay, [found["weight_decay"]])


def test_the_same_seed_gives_the_same_result(clouds):
    first = linear(*clouds, **QUICK)
    assert linear(*clouds, **QUICK) == first
    assert linear(*clouds, **QUICK, seed=1) != first


def test_heads_that_diverge_are_not_chosen(clouds):
    rates, decays = (0.1, *[1e30] * 7), (1e-3, 1e-2, 0.1, 1.0)
    found = linear(*clouds, **QUICK, learning_rates=rates, weight_decays=decays)
    assert found["learning_rate"] == 0.1
    lost = [row for row in found["validation"] if row["learning_rate"] == 1e30]
    assert len(lost) == 28
    assert all(row["loss"] is None and row["accuracy"] == 0 for row in lost)
    assert "0.1 is at the edge" in found["note"]
    with pytest.raises(ValueError, match=r"all 32 heads diverged; lower .*1e\+30"):
        linear(*clouds, **QUICK, learning_rates=[1e30] * 8, weight_decays=decays)


def test_every_class_is_held_out_in_proportion(rng):
    labels = rng.permutation(np.repeat([0, 1, 2, 5], [100, 30, 4, 1]))
    fitted, held = hold_out(labels, 0.1, 0)
    assert sorted([*fitted, *held]) == list(range(135))
    np.testing.assert_array_equal(
        np.bincount(labels[held], minlength=6), [10, 3, 1, 0, 0, 0]
    )
    again = hold_out(labels, 0.1, 0)[1]
    np.testing.assert_array_equal(again, held)
    assert not np.array_equal(hold_out(labels, 0.1, 1)[1], held)


def test_classes_of_one_example_cannot_be_held_out():
    with pytest.raises(ValueError, match="each of the 4 classes has one example"):
        hold_out(np.arange(4), 0.1, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rates": ()}, "linear.learning_rates"),
        ({"weight_decays": (-1.0,)}, "linear.weight_decays"),
        ({"epochs": 0}, "linear.epochs = 0"),
        ({"scaling": "whiten"}, "linear.scaling = 'whiten'"),
        ({"held_out": 1.0}, "held_out = 1.0"),
    ],
)
def test_impossible_settings_are_refused(clouds, settings, message):
    with pytest.raises(ValueError, match=message):
        linear(*clouds, **settings)
