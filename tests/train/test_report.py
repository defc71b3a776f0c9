import io
import logging
import math
import re
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jax_ssl.train.metrics import read_metrics
from jax_ssl.train.progress import Progress, RunFacts, describe, duration
from jax_ssl.train.record import Reporter, open_reporter, peak_memory
from jax_ssl.train.trackers import TensorBoard, Tracked


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


class Kept:
    """A writer that keeps its records."""

    def __init__(self):
        self.records, self.closed = [], False

    def write(self, record):
        self.records.append(dict(record))

    def close(self):
        self.closed = True


class Terminal(io.StringIO):
    def isatty(self):
        return True


def chip(kind="TPU v5 lite", process=0, **stats):
    return SimpleNamespace(
        device_kind=kind, process_index=process, memory_stats=lambda: stats or None
    )


def facts(**changes):
    settings = {
        "num_steps": 100,
        "steps_per_epoch": 10,
        "batch_size": 64,
        "devices": [chip()] * 2,
    }
    return RunFacts(**{**settings, **changes})


def started(**changes):
    clock, kept = Clock(), Kept()
    reporter = Reporter(facts(**changes), [kept], clock=clock)
    return reporter, clock, kept.records


def test_a_train_record_has_every_entry_of_the_schema():
    reporter, clock, records = started(extra=lambda step: {"learning_rate": step / 100})
    reporter.flops = 197e12  # Half a second at full speed, on two chips.
    with reporter.paused():
        pass
    clock.wait(8)
    reporter.train(5, {"loss": 1.5, "entropy": 0.5}, waited=2.0)
    assert records == [
        {
            "kind": "train",
            "step": 5,
            "epoch": 0.5,
            "seconds": 8.0,
            "examples_per_second": 5 * 64 / 8,
            "ms_per_step": 1600.0,
            "data_wait": 0.25,
            "peak_memory_bytes": None,
            "mfu": pytest.approx(0.5 / 1.6),
            "loss": 1.5,
            "entropy": 0.5,
            "learning_rate": 0.05,
        }
    ]


def test_pauses_count_in_seconds_but_not_in_speed():
    reporter, clock, records = started()
    clock.wait(20)  # What comes before the run.
    with reporter.paused():
        clock.wait(30)  # Compilation.
    clock.wait(4)
    with reporter.paused():
        clock.wait(30)
    clock.wait(6)
    reporter.train(10, {}, 0.0)
    with reporter.paused():
        clock.wait(7)
        reporter.note(10, {"protocol": "knn", "accuracy": 0.5})
    clock.wait(5)
    reporter.train(15, {}, 0.0)
    assert [r.get("ms_per_step") for r in records] == [1000.0, None, 1000.0]
    assert [r["seconds"] for r in records] == [90.0, 97.0, 102.0]
    assert records[1] == {
        "kind": "eval",
        "step": 10,
        "epoch": 1.0,
        "seconds": 97.0,
        "protocol": "knn",
        "accuracy": 0.5,
    }


def test_what_cannot_be_measured_is_none():
    reporter, clock, records = started(devices=[chip("cpu")])
    reporter.flops = 1e12
    with reporter.paused():
        pass
    reporter.train(5, {}, 0.0)  # No time has passed.
    clock.wait(1)
    reporter.train(6, {}, 0.0)
    assert records[0]["examples_per_second"] is None
    assert records[0]["ms_per_step"] is None
    assert records[0]["data_wait"] is None
    assert records[1]["examples_per_second"] == 64
    assert [r["mfu"] for r in records] == [None, None]


def test_peak_memory_is_the_most_of_any_local_device():
    full = chip(peak_bytes_in_use=9)
    assert peak_memory([chip(peak_bytes_in_use=5), full]) == 9
    assert peak_memory([full, chip(process=1, peak_bytes_in_use=99)]) == 9
    assert peak_memory([chip(bytes_in_use=5)]) is None
    assert peak_memory(jax.devices("cpu")) is None


def test_a_resumed_run_goes_on_in_steps_and_seconds(tmp_path):
    def start(restored):
        clock = Clock()
        run = facts(restored_step=restored)
        reporter = open_reporter(tmp_path, run, clock=clock)
        with reporter.paused():
            pass
        return reporter, clock

    reporter, clock = start(0)
    for step in (10, 20, 30):
        clock.wait(10)
        reporter.train(step, {"loss": 1.0}, 0.0)
    reporter.close()
    reporter, clock = start(20)
    clock.wait(5)
    reporter.train(30, {"loss": 2.0}, 0.0)
    reporter.close()
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [r["step"] for r in records] == [10, 20, 30]
    assert [r["seconds"] for r in records] == [10.0, 20.0, 25.0]
    assert records[-1]["loss"] == 2.0
    assert records[-1]["ms_per_step"] == 500.0


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    reporter = open_reporter(tmp_path, facts(), trackers=[TensorBoard])
    reporter.train(10, {}, 0.0)
    reporter.close()
    assert list(tmp_path.iterdir()) == []


def test_closing_closes_every_writer():
    one, two = Kept(), Kept()
    Reporter(facts(), [one, two]).close()
    assert one.closed
    assert two.closed


def test_tensorboard_draws_finite_numbers(tmp_path):
    pytest.importorskip("tensorboardX")
    board = TensorBoard(Tracked(tmp_path, facts(restored_step=5), {}))
    drawn = []
    board.board.add_scalar = lambda *point: drawn.append(point)
    board.write({"kind": "train", "step": 10, "loss": 1.5, "mfu": None, "x": math.inf})
    board.write({"kind": "eval", "step": 10, "protocol": "knn", "accuracy": 0.5})
    board.close()
    assert drawn == [("train/loss", 1.5, 10), ("eval/knn/accuracy", 0.5, 10)]
    files = (tmp_path / "tensorboard").iterdir()
    assert any("tfevents" in path.name for path in files)


def test_tensorboard_that_is_missing_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError, match=r"pip install tensorboardX"):
        open_reporter(tmp_path, facts(), trackers=[TensorBoard])
    assert list(tmp_path.iterdir()) == []


EVALUATION = {
    "kind": "eval",
    "step": 25,
    "protocol": "knn",
    "metric": "accuracy",
    "unit": "%",
    "accuracy": 0.5,
}
RECORD = {
    "kind": "train",
    "step": 25,
    "epoch": 2.5,
    "loss": 1.23456,
    "learning_rate": 0.0125,
    "examples_per_second": 12345.6,
    "ms_per_step": 41.5,
    "peak_memory_bytes": 3 * 2**29,
    "data_wait": 0.25,
    "mfu": 0.456,
}


def test_a_record_in_a_few_words():
    assert describe(RECORD) == (
        "epoch 2.50 · loss 1.235 · lr 0.0125 · 12,346 examples/s · 41.5 ms/step · "
        "25% waiting for data · 45.6% of peak · 1.50 GiB"
    )
    unknown = ("examples_per_second", "ms_per_step", "data_wait", "mfu")
    bare = {**RECORD, **dict.fromkeys((*unknown, "peak_memory_bytes"))}
    assert describe(bare) == "epoch 2.50 · loss 1.235 · lr 0.0125"
    assert describe(EVALUATION) == "knn 50.0%"
    beside = {**EVALUATION, "untrained": 0.25, "pixels": 0.3333}
    assert describe(beside) == "knn 50.0% (untrained 25.0%, pixels 33.3%)"


@pytest.mark.parametrize(("unit", "said"), [("m", "12.35 m"), ("", "12.35")])
def test_an_evaluation_is_shown_by_its_own_metric_and_unit(unit, said):
    record = {**EVALUATION, "protocol": "depth", "metric": "error", "unit": unit}
    record |= {"accuracy": 0.5, "error": 12.3456}
    assert describe(record) == f"depth {said}"
    assert describe({**record, "untrained": 99.0}) == (
        f"depth {said} (untrained {said.replace('12.35', '99')})"
    )
    assert describe({**record, "error": None}) == "depth –"


def test_small_rates_have_two_digits_and_long_steps_are_in_seconds():
    for rate, ms, said in [
        (0.34211, 187_200, "0.34 examples/s · 187 s/step"),
        (3.456, 18_520, "3.5 examples/s · 19 s/step"),
        (9.96, 1872.3, "10 examples/s · 1872 ms/step"),
        (12.3, 0.5123, "12 examples/s · 0.5123 ms/step"),
    ]:
        record = {"kind": "train", "examples_per_second": rate, "ms_per_step": ms}
        assert describe(record) == said


def test_without_a_terminal_there_is_one_line_an_interval_with_the_time_left(caplog):
    stream = io.StringIO()
    caplog.set_level(logging.INFO, logger="jax_ssl.train.progress")
    progress = Progress(facts(restored_step=5), stream=stream)
    slow = {**RECORD, "ms_per_step": 2000.0}  # Seventy-five steps are left.
    progress.write(slow)
    progress.write(EVALUATION)
    progress.close()
    first, need, second = caplog.messages
    assert first == f"step 25/100 · {describe(slow)} · 02:30 left"
    # Ninety-five steps of this start, of two seconds.
    assert need == "this run needs about 3.2 minutes here, evaluations apart"
    assert second == "step 25/100 · knn 50.0%"
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 second"),
        (89, "89 seconds"),
        (600, "10 minutes"),
        (5400, "1.5 hours"),
        (86400 * 12.6, "13 days"),
    ],
)
def test_durations_are_spoken_in_the_unit_that_fits(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize("columns", [40, 80, 110])
def test_on_a_terminal_there_is_a_bar_that_fits(caplog, columns):
    caplog.set_level(logging.INFO, logger="jax_ssl.train.progress")
    stream = Terminal()
    progress = Progress(facts(restored_step=5), stream=stream, columns=columns)
    assert stream.getvalue() == ""  # Nothing to see before the first step.
    progress.write(RECORD)
    progress.write(EVALUATION)
    progress.close()
    text = stream.getvalue()
    assert "step 25/100 · knn 50.0%" in text
    bars = [line for line in re.split("[\r\n]", text) if "25/100 |" in line]
    assert bars
    for bar in bars:
        assert len(bar) < columns
        assert len(re.search(r"\|(.*)\|", bar)[1]) >= 10
        assert " loss 1.235" in bar
        assert ("00:03 left" in bar) == (columns >= 80)


def test_a_glance_shows_where_a_slow_run_is_and_keeps_nothing():
    clock, kept, shown = Clock(), Kept(), []
    reporter = Reporter(facts(), [kept], clock=clock, show=shown.append)
    with reporter.paused():
        clock.wait(4)
    for step in range(1, 60):  # A step takes two seconds.
        clock.wait(2)
        reporter.glance(step, {"loss": np.full(1, 4.0 / step)})
    # The first after ten seconds without a line, the others a minute apart.
    assert [record["step"] for record in shown] == [3, 33]
    assert [record["ms_per_step"] for record in shown] == [2000.0, 2000.0]
    assert shown[0]["loss"] == pytest.approx(4 / 3)
    assert kept.records == []
    clock.wait(2)
    reporter.train(60, {"loss": 1.0}, 0.0)
    assert kept.records[0]["ms_per_step"] == 2000.0
    clock.wait(59)
    reporter.glance(61, {"loss": np.ones(1)})
    assert len(shown) == 2
