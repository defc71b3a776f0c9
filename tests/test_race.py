"""The race's script on a few images: killed, resumed, and stopped at its target."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """96 images of three colours, as an .npz file."""
    rng = np.random.default_rng(0)
    labels = np.arange(96) % 3
    images = rng.integers(0, 60, (96, 32, 32, 3), dtype=np.uint8)
    images[np.arange(96), :, :, labels] += 190
    path = tmp_path_factory.mktemp("data") / "images.npz"
    parts = {"train": slice(0, 72), "test": slice(72, 96)}
    arrays = {
        f"{name}_{part}": values[rows]
        for part, rows in parts.items()
        for name, values in (("x", images), ("y", labels))
    }
    np.savez(path, **arrays)
    return path


def start(data, workdir, *arguments):
    quick = {
        "encoder.name": "convnet",
        "encoder.widths": "(4,)",
        "method.hidden_dim": "8",
        "method.output_dim": "4",
        "feed.batch_size": "24",
        "run.steps_per_call": "3",
        "run.log_every_steps": "3",
    }
    return subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "experiments" / "race_cifar10" / "run.py")),
            *(f"--data={data}", f"--workdir={workdir}", *arguments),
            *(f"--config.{key}={value}" for key, value in quick.items()),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_a_killed_race_goes_on_and_counts_its_time(data, tmp_path):
    race = start(data, tmp_path, "--epochs=16", "--target=2")
    while race.poll() is None and not list(tmp_path.glob("checkpoints/[0-9]*")):
        time.sleep(0.1)
    os.killpg(race.pid, signal.SIGKILL)
    race.communicate()
    counted = json.loads((tmp_path / "clock.json").read_text())["seconds"]
    assert not (tmp_path / "race.json").exists()

    race = start(data, tmp_path, "--epochs=16", "--target=2")
    output, _ = race.communicate(timeout=300)
    assert race.returncode == 0, output
    said = json.loads((tmp_path / "race.json").read_text())
    assert said["seconds"] > counted > 0
    assert not said["reached"]
    assert not said["stopped_at_target"]
    assert [look["epoch"] for look in said["held_out"]] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert 0.5 < said["test_knn"] <= 1


@pytest.mark.slow
def test_the_race_ends_at_its_target(data, tmp_path):
    race = start(data, tmp_path, "--epochs=2000", "--target=0.1")
    output, _ = race.communicate(timeout=300)
    assert race.returncode == 0, output
    said = json.loads((tmp_path / "race.json").read_text())
    assert said["reached"]
    assert said["stopped_at_target"]
    assert said["held_out"][-1]["epoch"] < 2000
