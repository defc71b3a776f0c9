"""Methods, encoders, views and sources of another package, by name in a config."""

import json

import pytest
from ml_collections import ConfigDict

from jax_ssl.cli import main
from jax_ssl.config import Experiment, override, resolved

OWN = "tests.own_package:"
CONFIG = {
    "encoder": {"name": f"{OWN}Tiny", "width": 4},
    "method": {"name": f"{OWN}nnclr", "temperature": 0.5},
    "views": {"name": f"{OWN}noise"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "data": {"name": f"{OWN}blobs"},
    "feed": {"batch_size": 16},
    "evals": {"view": {"name": "identity"}, "test": {"split": "test"}, "knn": {"k": 2}},
    "run": {"num_steps": 4, "log_every_steps": 1, "checkpoint_every_steps": 1},
}


def build(*changes):
    return Experiment(resolved(override(ConfigDict(CONFIG), changes)))


def test_they_are_built_with_their_settings():
    experiment = build("method.hidden_dim=4", "views.amount=0.2")
    assert experiment.config["method"]["hidden_dim"] == 4
    assert experiment.config["method"]["temperature"] == 0.5
    assert experiment.method.encoder.width == 4
    assert len(experiment.source) == 64
    # The config that a run's folder keeps makes the same again.
    again = Experiment(json.loads(json.dumps(experiment.config)))
    assert again.config == experiment.config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("method.name=nowhere.x:y", "there is no module 'nowhere', neither in"),
        (f"method.name={OWN}nnclrr", "has no 'nnclrr'; did you mean 'nnclr'"),
        (f"method.name={OWN}number", "is of type int; it must be a function or class"),
        (f"method.name={OWN}seven", "of type int, without encoder; it must make a jax"),
        (f"method.name={OWN}noise", "of type function, without encoder"),
        (f"encoder.name={OWN}Bare", r"returns an array \[2, 3\] for 2 images; it must"),
        (f"encoder.name={OWN}Flat", r"whose pooled is \[2\] for 2 images; it must be"),
        (f"encoder.name={OWN}Trainless", "does not take the keyword 'train'"),
        (f"data.name={OWN}noise", "without fields; it must make a jax_ssl.data.source"),
        ("encoder.width=wide", "Tiny.. setting 'width' = 'wide' must be int"),
        ("method.temperatur=1", "did you mean 'temperature'"),
        ("views.name=:noise", "there is no module ''"),
    ],
)
def test_what_does_not_fit_is_said(change, said):
    with pytest.raises(ValueError, match=said):
        build(change)


def test_their_settings_are_described(capsys):
    assert main(["settings", f"method.{OWN}nnclr"]) == 0
    said = capsys.readouterr().out
    assert "SimCLR by another name." in said
    assert "temperature: float = 0.2" in said


@pytest.mark.slow
def test_such_a_run_evaluates_reports_and_resumes(tmp_path):
    page = tmp_path / "page.py"
    page.write_text(
        "from ml_collections import ConfigDict\n"
        f"def get_config():\n    return ConfigDict({CONFIG!r})\n"
    )

    def train(name, *words):
        return main(
            ["train", f"--config={page}", f"--workdir={tmp_path / name}", *words]
        )

    assert train("whole") == 0
    run = f"--workdir={tmp_path / 'whole'}"
    assert main(["evaluate", run, "--config.evals.knn={'k': 3}"]) == 0
    assert main(["report", run]) == 0
    with pytest.raises(KeyboardInterrupt):
        train("cut", f"--config.run.trackers=('{OWN}Stopping',)")
    assert train("cut") == 0

    def last(name):
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        return [r["loss"] for r in map(json.loads, lines) if r["kind"] == "train"]

    assert last("cut") == last("whole")
