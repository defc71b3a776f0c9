"""What is drawn, and the SVMs beside scikit-learn's primal solver."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from jax_ssl.evaluate.protocol import Skipped
from jax_ssl.evaluate.voc07 import all_point
from jax_ssl.evaluate.voc07_low_shot import draw, voc07_low_shot
from tests.evaluate.test_voc07 import judged, scenes, unit


def test_k_positives_and_nineteen_times_as_many_others_are_drawn(rng):
    marked = rng.choice([-1, 0, 1], 2000, p=[0.1, 0.8, 0.1])
    rows = draw(marked, 4, 19, [0, 1])
    assert len(set(rows)) == len(rows) == 80
    assert (marked[rows[:4]] == 1).all()
    assert (marked[rows[4:]] == 0).all()
    assert not np.array_equal(rows, draw(marked, 4, 19, [0, 2]))
    np.testing.assert_array_equal(rows, draw(marked, 4, 19, [0, 1]))
    # Every positive has the same chance.
    firsts = [draw(np.array([0, 1, 1, 0, 1]), 1, 1, [n])[0] for n in range(600)]
    assert np.bincount(firsts, minlength=5) == pytest.approx([0, 200, 200, 0, 200], 0.2)


def test_means_over_samples_and_the_cost_of_the_highest(rng):
    train, test = scenes(rng, 120), scenes(rng, 60)
    settings = {"samples": 3, "costs": (0.1, 10.0), "tolerance": 1e-7}
    (found,) = judged(voc07_low_shot(positives=6, **settings), train, test)
    areas = np.zeros((3, 2))
    for sample in range(3):
        for place, cost in enumerate((0.1, 10.0)):
            each = []
            for number in range(3):
                marked = train[1][:, number].astype(int)
                rows = draw(marked, 6, 2, [0, sample, 6, number])
                judge = LinearSVC(
                    C=cost, dual=False, tol=1e-9, class_weight={1: 2, 0: 1}
                ).fit(unit(train[0])[rows], marked[rows])
                scores = judge.decision_function(unit(test[0]))
                each.append(all_point(scores, test[1][:, number].astype(int)))
            areas[sample, place] = np.mean(each)
    best = areas.mean(0).argmax()
    assert found.values["map_all_point"] == pytest.approx(areas[:, best].mean())
    assert found.spread == pytest.approx(areas[:, best].std(ddof=1))
    told = [row["map_all_point"] for row in found.detail["costs"]]
    np.testing.assert_allclose(told, areas.mean(0), atol=1e-12)
    assert found.title == "SVM, 6 positives"
    (alone,) = judged(
        voc07_low_shot(positives=6, **{**settings, "costs": 10.0}), train, test
    )
    assert alone.values["map_all_point"] == pytest.approx(areas[:, 1].mean())
    assert "on test" in found.remark
    assert "on test" not in alone.remark


def test_what_is_difficult_is_neither_drawn_nor_judged(rng):
    train, test = scenes(rng, 80), scenes(rng, 40)
    # A difficult object in every image of the first class but for its first four.
    sure = [y.copy() for _, y in (train, test)]
    sure[0][np.flatnonzero(train[1][:, 0])[4:], 0] = 0
    protocol = voc07_low_shot(positives=(4, 5), samples=1, certain="easy")
    found, skipped = judged(protocol, train, test, easy=sure)
    assert found.spread is None
    assert isinstance(skipped, Skipped)
    assert (
        "class 0 has 4 positive training examples, fewer than the 5" in skipped.reason
    )


@pytest.mark.parametrize(
    "settings", [{"positives": ()}, {"positives": 0}, {"samples": 0}, {"costs": 0.0}]
)
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        voc07_low_shot(**settings)
