"""Average precision by hand and beside scikit-learn, and SVMs beside its own search."""

import sys

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import LinearSVC

from jax_ssl.evaluate.part import part_of
from jax_ssl.evaluate.protocol import Skipped
from jax_ssl.evaluate.voc07 import all_point, eleven_point, voc07


def ranked(*right):
    """Scores that fall, and what is right in that order."""
    return -np.arange(len(right)), np.array(right)


@pytest.mark.parametrize(
    ("right", "area", "eleven"),
    [
        # Precision 1 up to the recall 1.
        ((1, 1, 0, 0), 1, 1),
        # 1/4 at every recall: the only positive comes last.
        ((0, 0, 0, 1), 1 / 4, 1 / 4),
        # 1 up to 1/2 (levels 0 to 0.5), then 2/3 (five levels).
        ((1, 0, 1), (1 + 2 / 3) / 2, (6 + 5 * 2 / 3) / 11),
        # Precisions 1/2, 2/3: interpolation lifts the first to the second.
        ((0, 1, 1), 2 / 3, 2 / 3),
        # 1 up to 1/3 (4 levels), 3/5 up to 1 (2/4 is lifted to it).
        ((1, 0, 0, 1, 1), (1 + 3 / 5 + 3 / 5) / 3, (4 + 7 * 3 / 5) / 11),
    ],
)
def test_the_two_rules_by_hand(right, area, eleven):
    assert all_point(*ranked(*right)) == pytest.approx(area, abs=1e-15)
    assert eleven_point(*ranked(*right)) == pytest.approx(eleven, abs=1e-15)


def test_three_of_ten_reach_the_level_of_three_tenths():
    """In floats 3 · 0.1 > 3 / 10, and the level 0.3 would have a lower precision."""
    right = np.array([1, 1, 1] + [0] * 7 + [1] * 7)
    assert eleven_point(*ranked(*right)) == pytest.approx((4 + 7 * 10 / 17) / 11)


def test_equal_scores_come_together_in_any_order():
    right, scores = np.array([1, 0, 0, 1]), np.array([1.0, 1.0, 0.0, 0.0])
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [3, 1, 0, 2]):
        assert all_point(scores[order], right[order]) == 0.5
        assert eleven_point(scores[order], right[order]) == 0.5


def test_the_area_is_scikit_learns_where_precision_never_rises(rng):
    """Where it rises the area is larger, for only the papers' rule interpolates."""
    for first, later in [(9, (0, 3, 8)), (4, (0, 0, 9, 40))]:
        right = np.concatenate([np.ones(first), *[[0] * (n + 1) + [1] for n in later]])
        scores = ranked(*right)[0]
        judge = average_precision_score(right, scores)
        assert all_point(scores, right) == pytest.approx(judge, abs=1e-12)
    scores, right = rng.normal(size=200), rng.integers(0, 2, 200)
    assert all_point(scores, right) > average_precision_score(right, scores)


def test_random_scores_have_the_share_of_positives(rng):
    right = (np.arange(20_000) % 5 == 0).astype(int)
    scores = rng.normal(size=20_000)
    assert all_point(scores, right) == pytest.approx(0.2, abs=0.02)


def scenes(rng, count, classes=3, width=6):
    """Features with a direction for each class that applies, and labels [n, K]."""
    labels = (rng.uniform(size=(count, classes)) < 0.4).astype(np.uint8)
    x = labels @ np.eye(classes, width) + 0.8 * rng.normal(size=(count, width))
    return x.astype(np.float32), labels


def judged(protocol, train, test, **more):
    parts = (
        part_of(x, labels=y, **{name: both[i] for name, both in more.items()})
        for i, (x, y) in enumerate((train, test))
    )
    return list(protocol.run(*parts))


def unit(x):
    x = x.astype(np.float64)
    return x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-5)


@pytest.mark.parametrize("difficult", [False, True])
def test_machines_and_costs_are_those_of_scikit_learn(difficult, rng):
    train, test = scenes(rng, 90), scenes(rng, 60)
    certain, more = None, {}
    sure = [y * (rng.uniform(size=y.shape) < 0.7) for _, y in (train, test)]
    if difficult:
        certain, more = "easy", {"easy": sure}
    else:
        sure = [y for _, y in (train, test)]
    protocol = voc07(costs=(10.0, 0.1, 1.0), certain=certain, tolerance=1e-7)
    (found,) = judged(protocol, train, test, **more)
    areas = []
    for number, row in enumerate(found.detail["classes"]):
        # An example counts where it has the class surely, or has it not at all.
        fitted, asked = (
            (y[:, number] == 0) | (z[:, number] == 1)
            for (_, y), z in zip((train, test), sure, strict=True)
        )
        judge = GridSearchCV(
            # The primal problem, where ours solves the dual one.
            LinearSVC(dual=False, tol=1e-9, class_weight={1: 2, 0: 1}),
            {"C": [0.1, 1.0, 10.0]},
            scoring="average_precision",
            cv=StratifiedKFold(3),
        ).fit(unit(train[0])[fitted], train[1][fitted, number])
        assert row["cost"] == judge.best_params_["C"]
        scores = judge.decision_function(unit(test[0])[asked])
        right = test[1][asked, number].astype(int)
        areas.append(all_point(scores, right))
        assert row["all_point"] == pytest.approx(areas[-1], abs=1e-12)
        assert row["11_point"] == pytest.approx(eleven_point(scores, right), abs=1e-12)
        # Interpolation only adds to scikit-learn's area.
        assert row["all_point"] >= average_precision_score(right, scores)
    assert found.values["map_all_point"] == pytest.approx(np.mean(areas), abs=1e-12)
    assert found.values["map_all_point"] > 0.6


def test_perfect_features_have_a_precision_of_one(rng):
    labels = rng.integers(0, 2, (40, 4)).astype(np.uint8)
    train = (labels * 2.0 - 1).astype(np.float32), labels
    (found,) = judged(voc07(costs=10.0), train, train)
    assert found.values == {"map_all_point": 1.0, "map_11_point": 1.0}
    assert "note" not in found.detail


def test_classes_without_examples_are_left_out_and_named(rng):
    train, test = scenes(rng, 50), scenes(rng, 30)
    train[1][2:, 1] = 0
    test[1][:, 2] = 0
    (found,) = judged(voc07(costs=1.0), train, test)
    assert [row["class"] for row in found.detail["classes"]] == [0]
    assert found.detail["note"].startswith("2 classes have too few examples")
    train[1][:, 0] = 1
    (nothing,) = judged(voc07(costs=1.0), train, test)
    assert isinstance(nothing, Skipped)
    assert nothing.reason.startswith("no class has 3 positive and negative training")


def test_a_fit_that_is_not_finished_says_so(monkeypatch, rng):
    monkeypatch.setattr(sys.modules["jax_ssl.evaluate.voc07"], "MOST_STEPS", 1)
    (found,) = judged(voc07(costs=1000.0), scenes(rng, 60), scenes(rng, 60))
    assert found.detail["note"] == (
        "the SVMs of 3 classes did not reach 0.0001 in 1 steps."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"costs": ()}, r"costs = \(\) must hold at least one"),
        ({"costs": 0.0}, r"costs = \(0.0,\) must be positive"),
        ({"folds": 1}, "folds = 1 must be at least 2"),
        ({"positive_weight": 0.0}, "positive_weight = 0.0 must be positive"),
        ({"tolerance": -1.0}, "tolerance = -1.0 must be positive"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        voc07(**settings)
