"""Trackers offline: what W&B and MLflow have kept is read with their own readers."""

import json
import sys

import pytest

from jax_ssl.train import trackers
from jax_ssl.train.progress import RunFacts
from jax_ssl.train.record import open_reporter
from jax_ssl.train.trackers import MLflow, WandB, numbers

CONFIG = {"method": {"name": "simclr", "temperature": 0.5}, "feed": {"batch_size": 8}}


def facts(step=0):
    return RunFacts(
        num_steps=4, steps_per_epoch=2, batch_size=8, devices=[], restored_step=step
    )


def test_curves_are_named_by_kind_and_protocol():
    record = {"kind": "eval", "protocol": "knn", "step": 3, "accuracy": 0.5}
    record |= {"bad": float("nan"), "word": "x", "none": None}
    assert numbers(record) == {"eval/knn/accuracy": 0.5}


def test_a_tracker_of_ones_own_gets_records_config_and_folder(tmp_path):
    seen = []

    class Mine:
        def __init__(self, run):
            seen.append((run.folder, run.config, run.known("mine")))
            run.remember("mine", "7")

        def write(self, record):
            seen.append(record["loss"])

        def close(self):
            seen.append("closed")

    for _ in range(2):
        reporter = open_reporter(tmp_path, facts(), trackers=[Mine], config=CONFIG)
        reporter.note(1, {"kind": "train", "loss": 2.0})
        reporter.close()
    assert seen[:3] == [(tmp_path, CONFIG, None), 2.0, "closed"]
    assert seen[3][-1] == "7"  # A resumed run is known.


@pytest.mark.parametrize("tracker", [WandB, MLflow])
def test_one_that_is_missing_names_its_extra(tmp_path, monkeypatch, tracker):
    name = tracker.__name__.lower()
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=rf"pip install 'jax_ssl\[{name}\]'"):
        open_reporter(tmp_path, facts(), trackers=[tracker])


@pytest.mark.slow
def test_mlflow_keeps_a_run_and_goes_on_with_it(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file://{tmp_path / 'store'}")
    folder = tmp_path / "run"
    for step in (2, 4):
        reporter = open_reporter(folder, facts(), trackers=[MLflow], config=CONFIG)
        reporter.note(step, {"kind": "train", "loss": step / 2})
        reporter.close()
    client = mlflow.MlflowClient()
    known = json.loads((folder / trackers.KNOWN).read_text())["mlflow"]
    found = client.get_run(known)
    assert found.data.params["method.temperature"] == "0.5"
    assert found.info.status == "FINISHED"
    points = client.get_metric_history(known, "train/loss")
    assert [(point.step, point.value) for point in points] == [(2, 1.0), (4, 2.0)]


@pytest.mark.slow
def test_wandb_keeps_a_run_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    reporter = open_reporter(tmp_path, facts(), trackers=[WandB], config=CONFIG)
    reporter.note(2, {"kind": "train", "loss": 1.5})
    board = reporter.writers[1].run
    assert board.config["method"]["temperature"] == 0.5
    assert board.summary["train/loss"] == 1.5
    reporter.close()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    reporter = open_reporter(tmp_path, facts(2), trackers=[WandB], config=CONFIG)
    assert reporter.writers[1].run.id == board.id
    reporter.close()
