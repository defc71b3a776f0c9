"""Runs side by side: spreads over seeds, curves, and the settings that differ."""

import json
import pathlib

import numpy as np
import pytest

from jax_ssl.checkpoint.run_folder import json_value
from jax_ssl.cli import main
from jax_ssl.config import load_page, resolved
from jax_ssl.report.blocks import Curve
from jax_ssl.run.compare import grouped, mean_curve, told_of


def folder(root, name, seed, temperature, accuracy, losses):
    path = root / name
    path.mkdir()
    config = {
        "method": {"name": "simclr", "temperature": temperature},
        "run": {"seed": seed, "report": seed == 0},
        "data": {"path": str(path)},
    }
    (path / "config.json").write_text(json.dumps(config))
    metrics = [{"name": "accuracy", "unit": "%", "better": "higher"}]
    rows = [{"features": "trained", "accuracy": accuracy}]
    rows.append({"features": "pixels", "accuracy": 0.1})
    each = {"protocol": "knn", "title": "20-NN", "metrics": metrics, "rows": rows}
    (path / "results.json").write_text(json.dumps({"evaluations": [each]}))
    records = [
        {"kind": "train", "step": step, "loss": loss, "learning_rate": 0.1}
        for step, loss in losses
    ]
    online = {"kind": "eval", "protocol": "knn", "metric": "accuracy", "unit": "%"}
    records += [{**online, "step": 10, "accuracy": accuracy}]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (path / "metrics.jsonl").write_text(lines)
    return str(path)


@pytest.fixture
def runs(tmp_path):
    return [
        folder(tmp_path, "a", 0, 0.5, 0.80, [(10, 4.0), (20, 2.0)]),
        folder(tmp_path, "b", 1, 0.5, 0.84, [(10, 6.0), (20, 4.0)]),
        folder(tmp_path, "c", 0, 0.1, 0.81, [(10, 3.0)]),
    ]


def test_seeds_are_one_column_and_the_rest_is_told(runs, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(["compare", *runs, f"--output={output}"]) == 0
    said = capsys.readouterr().out
    # The mean of 0.80 and 0.84, and their standard deviation, 0.04 / sqrt(2).
    lines = [line.split() for line in said.splitlines()]
    assert ["20-NN", "accuracy", "82.00", "%", "±", "2.83", "81.00", "%"] in lines
    assert ["method.temperature", "0.5", "0.1"] in lines
    assert "run.report" not in said
    assert "data.path" not in said
    page = (output / "index.html").read_text()
    assert "b (seed 1)" in page
    for name in ("loss.png", "knn_accuracy.png"):
        assert (output / name).is_file()


def test_a_run_of_an_earlier_version_is_another_seed_of_the_same(tmp_path):
    runs = [folder(tmp_path, name, 0, 0.5, 0.8, [(10, 4.0)]) for name in "ab"]
    now = json_value(resolved(load_page("simclr_digits")))
    later = {**now, "run": {**now["run"], "seed": 1}}
    earlier = {**now, "evals": {k: v for k, v in now["evals"].items() if k != "depth"}}
    for run, config in zip(runs, (earlier, later), strict=True):
        (pathlib.Path(run) / "config.json").write_text(json.dumps(config))
    assert len(grouped(told_of([pathlib.Path(run) for run in runs]))) == 1


def test_the_mean_of_curves_is_at_places_that_all_have():
    one = Curve(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    two = Curve(np.array([2.0, 3.0, 4.0]), np.array([4.0, 5.0, 6.0]))
    mean = mean_curve([one, two])
    assert mean.x.tolist() == [2.0, 3.0]
    assert mean.y.tolist() == [3.0, 4.0]


def test_what_cannot_be_compared_is_said(runs, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for words, said in (
        ([runs[0]], "needs two runs or more"),
        ([runs[0], runs[0]], "needs two runs or more"),
        ([runs[0], str(tmp_path / "empty")], "empty holds no run (no config.json)"),
        ([*runs, f"--output={runs[0]}/config.json"], "is a file; name a folder"),
    ):
        assert main(["compare", *words]) == 2
        assert said in capsys.readouterr().err
