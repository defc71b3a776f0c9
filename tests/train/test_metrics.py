import json
import math

import numpy as np
import pytest

from jax_ssl.train.metrics import MetricsFile, read_metrics


def steps(path):
    return [record["step"] for record in read_metrics(path)]


def fill(path, *records):
    file = MetricsFile(path)
    for record in records:
        file.write(record)
    file.close()


def test_every_line_is_there_as_soon_as_it_is_written(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    file = MetricsFile(path)
    for step in range(3):
        file.write({"step": step, "loss": np.float32(0.5)})
        assert len(path.read_text().splitlines()) == step + 1
    file.close()
    assert read_metrics(path) == [{"step": step, "loss": 0.5} for step in range(3)]


def test_the_file_is_strict_json_and_reads_back_nan(tmp_path):
    path = tmp_path / "metrics.jsonl"
    fill(path, {"step": 0, "a": math.nan, "b": -math.inf, "c": math.inf, "d": None})

    def refuse(word):
        raise AssertionError(word)

    raw = json.loads(path.read_text(), parse_constant=refuse)
    assert raw == {"step": 0, "a": "NaN", "b": "-Infinity", "c": "Infinity", "d": None}
    expected = {"step": 0, "a": math.nan, "b": -math.inf, "c": math.inf, "d": None}
    np.testing.assert_equal(read_metrics(path), [expected])


def test_resuming_drops_what_the_run_will_write_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    fill(path, *({"step": step} for step in (10, 20, 20, 30, 40)))
    file = MetricsFile(path, restored_step=20)
    assert [record["step"] for record in file.kept] == [10, 20, 20]
    for step in (30, 40, 50):
        file.write({"step": step})
    file.close()
    assert steps(path) == [10, 20, 20, 30, 40, 50]


def test_a_refresh_before_the_restored_step_is_written_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    kinds = ("refresh", "train", "refresh", "train")
    fill(path, *({"kind": k, "step": 10 * (i // 2)} for i, k in enumerate(kinds)))
    kept = MetricsFile(path, restored_step=10).kept
    assert [record["kind"] for record in kept] == ["refresh", "train", "train"]


def test_a_run_without_a_checkpoint_starts_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    fill(path, {"step": 10}, {"step": 20})
    fill(path, {"step": 10})
    assert steps(path) == [10]


@pytest.mark.parametrize(
    "torn", [b'{"step": 30, "lo', b'{"step": 30, "x": "\xc3', b"\0"]
)
def test_a_torn_last_line_is_left_out_and_then_removed(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    fill(path, {"step": 10}, {"step": 20})
    path.write_bytes(path.read_bytes() + torn)
    assert steps(path) == [10, 20]
    file = MetricsFile(path, restored_step=99)
    file.write({"step": 30})
    file.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 10},
        {"step": 20},
        {"step": 30},
    ]


def test_a_record_without_a_form_in_json_writes_nothing(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    with pytest.raises(TypeError, match="no form in JSON"):
        file.write({"step": 1, "loss": object()})
    file.close()
    assert path.read_bytes() == b""


def test_no_file_is_no_records(tmp_path):
    assert read_metrics(tmp_path / "absent.jsonl") == []
