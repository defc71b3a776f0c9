"""The probe's protocol: what is fitted, chosen and tested on which rows."""

import sys

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jax_ssl.evaluate.heads import fit_heads
from jax_ssl.evaluate.linear import hold_out, linear
from jax_ssl.evaluate.protocol import Skipped
from jax_ssl.parallel.mesh import make_mesh
from tests.evaluate.digits import digit_pixels, judged, labelled, score

QUICK = {"epochs": 20, "batch_size": 16}  # With `clouds`, one program for all tests.


@pytest.fixture(scope="module")
def probed():
    """The default sweep on digits."""
    (outcome,) = judged(linear(), *digit_pixels())
    return outcome


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(8)
    labels = np.arange(90) % 3
    features = rng.normal(size=(90, 6)) + 8 * np.eye(6)[labels]
    return labelled(features[:60], labels[:60]), labelled(features[60:], labels[60:])


def test_agrees_with_scikit_learn_on_digits(probed):
    train, test = digit_pixels()
    judge = LogisticRegression(C=1.0, max_iter=2000).fit(train.features, train.labels)
    expected = judge.score(test.features, test.labels)
    assert probed.values["accuracy"] == pytest.approx(expected, abs=0.01)


def test_the_choice_is_the_best_of_the_table(probed):
    table = probed.detail["validation"]
    assert len(table) == 32
    best = max(table, key=lambda row: (row["accuracy"], -row["loss"]))
    for name in ("learning_rate", "weight_decay"):
        assert probed.detail[name] == best[name]
    assert probed.detail["validation_accuracy"] == best["accuracy"]
    assert probed.values["accuracy_top5"] >= probed.values["accuracy"]


def test_separable_features_are_separated(clouds):
    (found,) = judged(linear(**QUICK), *clouds)
    assert found.values == {"accuracy": 1, "accuracy_top5": None}
    assert found.detail["validation_accuracy"] == 1


def test_one_hot_labels_as_features_are_enough():
    labels = np.arange(60) % 3
    one_hot = labelled(np.eye(6)[labels], labels)
    assert score(linear(**QUICK), one_hot, one_hot) == 1


def test_a_mesh_changes_nothing(clouds):
    (alone,) = judged(linear(**QUICK), *clouds)
    with jax.set_mesh(make_mesh(fsdp=2)):
        (found,) = judged(linear(**QUICK), *clouds)
    assert found.values == alone.values
    for name in ("learning_rate", "weight_decay", "validation_accuracy"):
        assert found.detail[name] == alone.detail[name]
    np.testing.assert_allclose(
        found.detail["train_loss"], alone.detail["train_loss"], rtol=1e-4
    )


def test_the_choice_never_sees_test(clouds):
    train, test = clouds
    wrong = labelled(test.features, (test.labels + 1) % 3)
    (found,), (turned,) = (judged(linear(**QUICK), train, x) for x in (test, wrong))
    assert turned.values["accuracy"] <= 0.1 < found.values["accuracy"]
    assert turned.detail == found.detail


def test_the_chosen_head_is_trained_anew_on_all_of_train(clouds, monkeypatch):
    calls = []

    def spy(part, labels, rows, rates, decays, **settings):
        calls.append((rows, rates, decays))
        return fit_heads(part, labels, rows, rates, decays, **settings)

    monkeypatch.setattr(sys.modules["jax_ssl.evaluate.linear"], "fit_heads", spy)
    (found,) = judged(linear(**QUICK), *clouds)
    (fitted, rates, _), (everything, rate, decay) = calls
    np.testing.assert_array_equal(fitted, hold_out(clouds[0].labels, 0.1, 0)[0])
    assert len(fitted) == 54
    assert len(rates) == 32
    np.testing.assert_array_equal(everything, np.arange(60))
    np.testing.assert_allclose(rate, [found.detail["learning_rate"]])
    np.testing.assert_allclose(decay, [found.detail["weight_decay"]])


def test_the_same_seed_gives_the_same_result(clouds):
    first = judged(linear(**QUICK), *clouds)
    assert judged(linear(**QUICK), *clouds) == first
    assert judged(linear(**QUICK, seed=1), *clouds) != first


def test_heads_that_diverge_are_not_chosen(clouds):
    rates, decays = (0.1, *[1e30] * 7), (1e-3, 1e-2, 0.1, 1.0)
    probe = linear(**QUICK, learning_rates=rates, weight_decays=decays)
    (found,) = judged(probe, *clouds)
    assert found.detail["learning_rate"] == 0.1
    lost = [r for r in found.detail["validation"] if r["learning_rate"] == 1e30]
    assert len(lost) == 28
    assert all(row["loss"] is None and row["accuracy"] == 0 for row in lost)
    assert "0.1 is at the edge" in found.detail["note"]
    probe = linear(**QUICK, learning_rates=[1e30] * 8, weight_decays=decays)
    (none,) = judged(probe, *clouds)
    assert "all 32 heads diverged; lower" in none.reason


def test_every_class_is_held_out_in_proportion(rng):
    labels = rng.permutation(np.repeat([-1, 0, 1, 2, 5], [7, 100, 30, 4, 1]))
    fitted, held = hold_out(labels, 0.1, 0)
    assert sorted([*fitted, *held]) == np.flatnonzero(labels >= 0).tolist()
    np.testing.assert_array_equal(
        np.bincount(labels[held], minlength=6), [10, 3, 1, 0, 0, 0]
    )
    again = hold_out(labels, 0.1, 0)[1]
    np.testing.assert_array_equal(again, held)
    assert not np.array_equal(hold_out(labels, 0.1, 1)[1], held)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.arange(4), "no class has two training examples"),
        (np.full(4, 3), "the training examples are all of class 3"),
    ],
)
def test_what_the_data_do_not_allow_is_skipped(labels, reason):
    part = labelled(np.eye(4), labels)
    (found,) = judged(linear(), part, part)
    assert isinstance(found, Skipped)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rates": ()}, "learning_rates = 0"),
        ({"weight_decays": (-1.0,)}, "weight_decays = "),
        ({"epochs": 0}, "epochs = 0"),
        ({"held_out": 1.0}, "held_out = 1.0"),
        ({"class_tokens": 2}, "a NoneType has no class tokens"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        linear(**settings)
