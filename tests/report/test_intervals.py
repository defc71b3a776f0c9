import math

import numpy as np
import pytest
from scipy import stats

from jax_ssl.report.intervals import over_seeds, t_interval
from jax_ssl.report.table import format_table


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_is_that_of_scipys_t_test(rng, n, level):
    values = rng.normal(0.7, 0.1, n)
    mean, half = t_interval(values, level)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    np.testing.assert_allclose([mean - half, mean + half], [low, high], rtol=1e-12)


def test_one_value_has_no_interval_and_three_a_known_one():
    assert t_interval([0.5]) == (0.5, None)
    mean, half = t_interval([1.0, 2.0, 3.0])  # t(2) at 97.5 % is 4.3027.
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    with pytest.raises(ValueError, match=r"level = 95"):
        t_interval([1.0, 2.0], 95)


def results(accuracy, top5, pixels=0.4, step=10):
    metrics = [{"name": name, "unit": "%"} for name in ("accuracy", "accuracy_top5")]
    rows = [
        {"features": "trained", "accuracy": accuracy, "accuracy_top5": top5},
        {"features": "pixels", "accuracy": pixels, "accuracy_top5": 1.0},
    ]
    found = {
        **{"protocol": "knn", "title": "20-NN", "settings": {"k": 20}, "step": step},
        **{"metrics": metrics, "rows": rows, "split": "test", "remark": "cosine"},
    }
    return {"evaluations": [found], "skipped": [{"protocol": "x", "reason": "why"}]}


def test_several_seeds_are_a_table_of_means_and_intervals():
    found = over_seeds([results(0.7, 0.9), results(0.8, 0.92)], [0, 5])
    (evaluation,) = found["evaluations"]
    trained, pixels = evaluation["rows"]
    assert trained["accuracy"] == pytest.approx(0.75)
    # t(1) at 97.5 % is 12.706; s = 0.1 / sqrt(2).
    assert trained["halves"]["accuracy"] == pytest.approx(12.706205 * 0.05, rel=1e-6)
    assert pixels["halves"]["accuracy"] == 0
    assert trained["detail"]["of_each_seed"]["accuracy"] == [0.7, 0.8]
    assert found["skipped"] == [{"protocol": "x", "reason": "why"}]
    text = format_table(found)
    assert "75.00 % ± 63.53" in text
    assert "91.00 % ± 12.71" in text
    assert "mean of 2 seeds ± half of its 95 % t interval" in text


def test_what_not_all_seeds_have_is_left_out():
    assert (
        over_seeds([results(0.7, 0.9), results(0.8, 0.9, step=20)], [0, 1])[
            "evaluations"
        ]
        == []
    )
    missing = over_seeds([results(0.7, None), results(0.8, 0.9)], [0, 1])
    trained = missing["evaluations"][0]["rows"][0]
    assert trained["accuracy_top5"] is None
    assert trained["accuracy"] == pytest.approx(0.75)
