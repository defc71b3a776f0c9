"""SIGKILL at any step, the same command again, and bit-equal parameters."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from jax_ssl.run.run import Run
from tests.flags import words

ROOT = pathlib.Path(__file__).parent.parent
STEPS, EVERY = 12, 5


def command(workdir):
    quick = {
        "encoder.widths": "(4,)",
        "method.hidden_dim": "8",
        "method.output_dim": "4",
        "feed.batch_size": "32",
        "feed.resident": "False",
        "optimizer.learning_rate": "0.01",
        "run.num_epochs": "None",
        "run.num_steps": str(STEPS),
        "run.checkpoint_every_epochs": "None",
        "run.checkpoint_every_steps": str(EVERY),
        "run.log_every_steps": "1",
        "run.report": "False",
        **{
            f"evals.{name}": "None" for name in ("online", "knn", "linear", "few_label")
        },
    }
    return [
        *(sys.executable, "-m", "jax_ssl", "train", f"--workdir={workdir}"),
        f"--config={ROOT / 'configs' / 'simclr_digits.py'}",
        *(f"--config.{key}={value}" for key, value in quick.items()),
    ]


def start(workdir):
    return subprocess.Popen(
        command(workdir),
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": words(devices=1)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def finish(workdir):
    process = start(workdir)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return errors


def kill_after(workdir, step):
    """Kills a run when its line of `step` appears."""
    process = start(workdir)
    for line in process.stderr:
        if re.match(rf"step {step}/", line):
            process.kill()
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def final(workdir):
    with Run.opened(workdir, []).restored() as train:
        return jax.device_get((train.step, train.params, train.state))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run."""
    workdir = tmp_path_factory.mktemp("whole")
    finish(workdir)
    return workdir


@pytest.mark.multiprocess
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((3,), marks=pytest.mark.slow, id="before"),
        pytest.param((8, 11), id="after-and-again"),
    ],
)
def test_killed_runs_end_bit_equal(whole, tmp_path, steps):
    for step in steps:
        kill_after(tmp_path, step)
    errors = finish(tmp_path)
    resumed = re.search(r"resumed at step (\d+)", errors)
    if steps[-1] < EVERY:
        assert resumed is None
    else:
        assert int(resumed[1]) in range(EVERY, STEPS, EVERY)
    expected, found = final(whole), final(tmp_path)
    assert expected[0] == STEPS
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_metrics_of_a_killed_run_have_every_step_once(whole, tmp_path):
    kill_after(tmp_path, 8)
    finish(tmp_path)

    def records(workdir, kind):
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
        found = [line for line in map(json.loads, lines) if line["kind"] == kind]
        if kind == "train":
            return [(record["step"], record["loss"]) for record in found]
        return [{**record, "seconds": None} for record in found]

    steps = list(range(1, STEPS + 1))
    assert [step for step, _ in records(tmp_path, "train")] == steps
    # The doctor looks at the untrained network too, and remembers it.
    looks = records(tmp_path, "doctor")
    assert [look["step"] for look in looks] == sorted({look["step"] for look in looks})
    assert looks[0]["step"] == 0
    for kind in ("train", "doctor"):
        assert records(tmp_path, kind) == records(whole, kind)
