import numpy as np
import pytest

from jax_ssl.report.charts import apart, colored_classes, densest
from jax_ssl.report.quantities import duration, number, percent, points, size
from jax_ssl.report.series import accuracies, curve, extra_keys, smooth
from tests.report.inputs import metrics


@pytest.mark.parametrize("reach", [0, 1, 4, 50])
def test_smooth_is_the_mean_of_finite_neighbours(rng, reach):
    y = rng.normal(size=23)
    y[[0, 7, 8, 9]] = np.nan
    expected = []
    for i in range(23):
        window = y[max(0, i - reach) : i + reach + 1]
        window = window[np.isfinite(window)]
        expected.append(window.mean() if len(window) else np.nan)
    np.testing.assert_allclose(smooth(y, reach), expected, atol=1e-12)


def test_a_curve_keeps_gaps_and_leaves_out_other_records():
    records = [
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": float("inf")},
        {"step": 3, "loss": None},
        {"step": 4},
        {"loss": 1.0},
        {"step": 6, "loss": np.float32(0.5)},
        {"step": 7, "loss": True},
    ]
    x, y = curve(records, "loss")
    np.testing.assert_array_equal(x, [1, 2, 6])
    np.testing.assert_array_equal(y, [2.0, np.nan, 0.5])


def test_accuracies_are_over_epochs_where_all_have_one():
    records = metrics()
    over, found = accuracies(records)
    assert over == "epoch"
    np.testing.assert_array_equal(found["knn"].x, [4, 8, 12])
    np.testing.assert_array_equal(found["knn"].y, [0.5, 0.95, 0.9])
    records.append({"kind": "eval", "step": 9, "protocol": "linear", "accuracy": 0.1})
    over, found = accuracies(records)
    assert over == "step"
    np.testing.assert_array_equal(found["linear"].x, [9])


def test_the_methods_own_metrics_are_found():
    train = [record for record in metrics() if record["kind"] == "train"]
    assert extra_keys(train) == ["teacher_entropy"]


def test_labels_move_apart_and_keep_their_order(rng):
    heights = [0.5, 0.0, 0.52, 0.51, 2.0]
    moved = apart(heights, 0.1)
    assert np.argsort(moved).tolist() == np.argsort(heights).tolist()
    assert np.diff(np.sort(moved)).min() >= 0.1 - 1e-9
    assert (moved[1], moved[4]) == (0.0, 2.0)  # Those with room do not move.
    assert np.mean([moved[0], moved[2], moved[3]]) == pytest.approx(0.51)


def test_a_name_stands_in_the_densest_group_and_not_between_groups(rng):
    main = rng.normal(size=(40, 2)) + np.array([50, 0])
    clump = rng.normal(size=(12, 2)) * 0.01 - [50, 0]
    assert densest(np.concatenate([main, clump])) == pytest.approx((50, 0), abs=1)
    # Two groups of one size: the median is at neither.
    pair = np.concatenate([main, main * 0.5 - [90, 0]])
    assert densest(pair) == pytest.approx((-65, 0), abs=1)
    assert densest(np.array([[1.0, 2.0]])) == (1.0, 2.0)


def test_ten_most_frequent_classes_are_coloured():
    labels = np.repeat(np.arange(12), np.arange(12) + 1)
    labels = np.concatenate([labels, np.full(99, -1)])
    assert colored_classes(labels) == list(range(2, 12))


def test_quantities_read_as_people_write_them():
    assert number(1234567) == "1,234,567"
    assert number(1234.5) == "1,234"
    assert number(0.000123456) == "0.000123"
    assert number(None) == number(float("nan")) == number("3") == "–"
    assert percent(0.12345) == "12.35 %"
    assert points(-0.05) == "−5.00"
    assert duration(4.23) == "4.2 s"
    assert duration(59.7) == "1 min"
    assert duration(3600) == "1 h"
    assert duration(90_061) == "1 d 1 h"
    assert size(512) == "512 B"
    assert size(11.5 * 2**30) == "11.5 GiB"
