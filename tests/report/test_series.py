import numpy as np
import pytest

from jax_ssl.report.blocks import Curve
from jax_ssl.report.draw import colored_classes, densest
from jax_ssl.report.quantities import duration, number, plural, quantity
from jax_ssl.report.sections import spending
from jax_ssl.report.series import MOST, curve, extremes, legend, numbers, smooth, trend


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
    assert len(smooth(y[:0], reach)) == 0


def test_a_long_curve_is_drawn_by_its_extremes_and_the_means_of_its_runs(rng):
    count = 5 * MOST
    y = rng.normal(size=count)
    y[[3, 4]] = 40.0, np.nan
    y[10:15] = np.nan
    found = extremes(Curve(np.arange(count), y))
    pieces = y.reshape(MOST, 5)
    least, largest = np.nanmin(found.y), np.nanmax(found.y)
    assert (least, largest) == (np.nanmin(y), 40.0)
    assert len(found.x) == 2 * MOST - 1  # Of the run that is all gap one point.
    assert np.all(np.diff(found.x) > 0)
    np.testing.assert_array_equal(
        found.y[:2], sorted(found.y[:2], key=pieces[0].tolist().index)
    )
    mean = trend(Curve(np.arange(count), y))
    with np.errstate(all="ignore"):
        means = np.nanmean(pieces[[0, 1, 3]], axis=1)
    np.testing.assert_array_equal(mean.x, np.arange(MOST) * 5 + 4)
    np.testing.assert_allclose(
        mean.y[0], np.nanmean([*means, *np.nanmean(pieces[4:34], axis=1)]), rtol=1e-12
    )
    assert legend(59) == ""
    assert legend(60).startswith("Pale: each record. Strong: the mean over 3 ")
    assert legend(count).startswith("Pale: the extremes of each 5 records.")


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
    assert numbers(records, "loss") == [2.0, 1.0, 0.5]


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
    assert quantity(0.12345, "%") == "12.35 %"
    assert quantity(4.86321, "m") == "4.863 m"
    assert quantity(0.115, "") == "0.115"
    assert quantity(None, "%") == "–"
    assert duration(4.23) == "4.2 s"
    assert duration(59.7) == "1 min 0 s"
    assert duration(101) == "1 min 41 s"
    assert duration(3600) == "1 h 0 min"
    assert duration(90_061) == "25 h 1 min"
    assert plural(1, "class") == "1 class"
    assert plural(2, "class") == "2 classes"
    assert plural(1000, "row") == "1,000 rows"
    assert plural(2, "diagnosis") == "2 diagnoses"


RECORDS = [
    {
        "kind": "train",
        "step": 10,
        "seconds": 8.0,
        "ms_per_step": 500.0,
        "data_wait": 0.2,
    },
    {"kind": "eval", "step": 10, "seconds": 11.0},
    {
        "kind": "train",
        "step": 30,
        "seconds": 18.0,
        "ms_per_step": 250.0,
        "data_wait": 0.0,
    },
    {"kind": "eval", "step": 30, "seconds": 20.0},
]


def test_the_parts_of_the_time_add_up_to_the_run():
    parts = spending(RECORDS)
    # 10 steps of 0.5 s, a fifth of them waiting, and 20 of 0.25 s.
    assert parts["waiting for data"] == pytest.approx(1.0)
    assert parts["training steps"] == pytest.approx(9.0)
    assert sum(parts.values()) == pytest.approx(20.0)


@pytest.mark.parametrize("records", [[], [{"kind": "eval", "step": 1, "seconds": 2.0}]])
def test_nothing_timed_has_no_parts(records):
    assert spending(records) == {}
