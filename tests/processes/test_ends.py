"""How a run of two processes ends: stopped, bereaved, failed, and well.

One run goes through all of it, each start taking up what the one before has
left; at the end it must be the run that nothing has disturbed.
"""

import json
import re
import signal
import time

import jax
import numpy as np
import pytest

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.cli import main
from jax_ssl.run.run import Run
from tests.processes.launch import ROOT, Group

COUNT, DEVICES = 2, 2
STEPS, EVERY = 40, 5
PEER_TIMEOUT = 8  # Seconds; beside it the end of a process takes a few.
MARGIN = 25
SETTINGS = {
    "encoder.widths": "(4,)",
    "method.hidden_dim": "8",
    "method.output_dim": "4",
    "views": "{'name': 'two_affine', 'degrees': 10.0, 'noise': 0.1}",
    "data": "{'name': 'synthetic', 'size': 8, 'num_examples': 512}",
    "feed.batch_size": "64",
    "optimizer": "{'name': 'sgd', 'learning_rate': 0.001, 'momentum': 0.9}",
    "run.num_epochs": "None",
    "run.num_steps": str(STEPS),
    "run.checkpoint_every_epochs": "None",
    "run.checkpoint_every_steps": str(EVERY),
    "run.log_every_steps": "1",
    **{f"evals.{name}": "None" for name in ("online", "knn", "linear", "few_label")},
    "doctor": "None",
    "run.report": "False",
}
# What processes do together beside training costs more than the training.
EVERYTHING = {
    "evals.online": "{'every_epochs': 4, 'k': 5}",
    "evals.knn": "{'k': 5}",
    "doctor": "{}",
    "run.report": "True",
}

pytestmark = pytest.mark.multiprocess


def words(workdir, settings=()):
    return [
        "train",
        f"--workdir={workdir}",
        f"--config={ROOT / 'configs' / 'simclr_digits.py'}",
        *(f"--config.{k}={v}" for k, v in {**SETTINGS, **dict(settings)}.items()),
    ]


def group(workdir, settings=(), **environ):
    command = [*words(workdir, settings), f"--peer_timeout={PEER_TIMEOUT}"]
    return Group("tests.processes.driven", COUNT, DEVICES, command, environ)


def steps(workdir):
    """Of the complete checkpoints."""
    names = [path.name for path in (workdir / "checkpoints").glob("*")]
    return sorted(int(name) for name in names if name.isdigit())


def after_a_new_checkpoint(processes, workdir):
    """Returns a few steps into the run, once it has saved one."""
    before = steps(workdir)
    processes.wait_for(f"/{STEPS} ")
    end = time.monotonic() + 300
    while steps(workdir)[-1:] <= before[-1:] and time.monotonic() < end:
        time.sleep(0.02)


def before_the_first_step(processes, workdir):
    """Returns while a resumed run compiles."""
    processes.wait_for(f"resumed at step {steps(workdir)[-1]} ")


def disturb(workdir, settings, signal_number, victim, ready):
    """Signals a process of the run; (codes, words of each, seconds until the end)."""
    with group(workdir, settings) as processes:
        ready(processes, workdir)
        start = time.monotonic()
        processes.processes[victim].send_signal(signal_number)
        codes = processes.codes(PEER_TIMEOUT + MARGIN)
        seconds = time.monotonic() - start
        return codes, [processes.said(i) for i in range(COUNT)], seconds


def death_of_a_process_ends_the_others_in_time(workdir, settings):
    codes, said, seconds = disturb(
        workdir, settings, signal.SIGKILL, 1, after_a_new_checkpoint
    )
    assert codes == [1, -signal.SIGKILL], "\n".join(said)
    assert seconds < PEER_TIMEOUT + MARGIN
    last = said[0].strip().splitlines()[-1]
    assert last.startswith("process 0 of 2 ended, because another process died")
    assert last.endswith("continues from the last checkpoint.")


def sigterm_of_one_process_stops_all_after_the_same_step(workdir, settings):
    before = steps(workdir)[-1]
    codes, said, _ = disturb(
        workdir, settings, signal.SIGTERM, 1, before_the_first_step
    )
    assert codes == [128 + signal.SIGTERM] * COUNT, "\n".join(said)
    ends = {
        int(re.search(r"stopped by SIGTERM after step (\d+) of", text)[1])
        for text in said
    }
    assert ends == {steps(workdir)[-1]}
    assert before < steps(workdir)[-1] < STEPS
    assert "The same command continues" in said[0]


def process_0_alone_speaks_to_the_end(workdir, settings):
    with group(workdir, settings) as processes:
        codes, said = processes.codes(), [processes.said(i) for i in range(COUNT)]
        assert processes.lines_of_ours(1) == []
    assert codes == [0] * COUNT, "\n".join(said)
    assert f"step {STEPS}/{STEPS} " in said[0]
    environment = json.loads((workdir / "results.json").read_text())["environment"]
    assert environment["processes"] == COUNT
    assert environment["devices"].startswith(f"{COUNT * DEVICES} x")
    if settings:
        assert "raw pixels" in said[0]
        assert (workdir / "report" / "index.html").is_file()


def the_run_is_the_undisturbed_one(workdir, whole):
    def lines(folder):
        text = (folder / "metrics.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    for found, expected in zip(lines(workdir), lines(whole), strict=True):
        assert [found["kind"], found["step"]] == [expected["kind"], expected["step"]]
        for name in {"loss", "accuracy"} & expected.keys():
            assert found[name] == pytest.approx(expected[name], rel=1e-4)

    def accuracies(folder):
        results = json.loads((folder / "results.json").read_text())
        return [row["accuracy"] for e in results["evaluations"] for row in e["rows"]]

    np.testing.assert_allclose(accuracies(workdir), accuracies(whole), atol=0.01)

    def numbers(folder):
        encoder = load_encoder(folder / "export" / "encoder.npz")[0]
        with Run.opened(str(folder), []).restored() as train:
            assert train.step == STEPS
            return encoder, jax.device_get((train.params, train.state))

    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5),
        numbers(workdir),
        numbers(whole),
    )


# One test: its starts are too dear to be repeated by several test workers.
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, marks=pytest.mark.slow, id="training"),
        pytest.param(EVERYTHING, marks=pytest.mark.slow, id="everything"),
    ],
)
def test_a_run_that_was_bereaved_and_stopped_ends_as_an_undisturbed_one(
    tmp_path, settings
):
    workdir, whole = tmp_path / "two", tmp_path / "one"
    death_of_a_process_ends_the_others_in_time(workdir, settings)
    sigterm_of_one_process_stops_all_after_the_same_step(workdir, settings)
    process_0_alone_speaks_to_the_end(workdir, settings)
    assert main([*words(whole, settings), "--config.run.report=False"]) == 0
    the_run_is_the_undisturbed_one(workdir, whole)


@pytest.mark.slow
def test_death_of_the_coordinator_ends_the_others_in_time(tmp_path):
    codes, said, seconds = disturb(
        tmp_path, {}, signal.SIGKILL, 0, after_a_new_checkpoint
    )
    assert codes == [-signal.SIGKILL, 1], "\n".join(said)
    assert seconds < PEER_TIMEOUT + MARGIN
    assert re.match(
        r"process 1 of 2 ended, because process 0, the coordinator at \S+, died",
        said[1].strip().splitlines()[-1],
    )


@pytest.mark.slow
def test_failure_of_one_process_is_given_as_the_reason_by_all(tmp_path):
    with group(tmp_path, FAIL_IN="1") as processes:
        assert processes.codes() == [1, 1]
        for index in range(COUNT):
            said = processes.said(index)
            reason = "process 1 of 2 failed: stopped: shapes: 1 of the 9 examples read"
            assert reason in said
            assert "five.jpg: torn" in said


@pytest.mark.slow
def test_processes_with_different_commands_are_refused(tmp_path):
    def command(index):
        return words(tmp_path / "run", {"run.seed": str(index)})

    with Group("jax_ssl", COUNT, 1, command) as processes:
        assert 2 in processes.codes()
        said = processes.said(0) + processes.said(1)
    assert "process 1 has other settings than process 0" in said
    assert "run.seed: 0 → 1" in said
    assert not (tmp_path / "run").exists()
