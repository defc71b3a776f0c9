"""The doctor as a run has it: on by default, continued on resume, able to stop."""

import json

import pytest

from jax_ssl.cli import main
from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.config.sections import Checkup
from jax_ssl.train import doctor
from jax_ssl.train.loop import Plan
from tests.test_commands import DIGITS, arguments


def config(*assignments):
    return resolved(override(load_page(DIGITS), assignments))


def looks(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    return [record for record in records if record["kind"] == "doctor"]


@pytest.mark.parametrize(
    ("steps", "log_every", "every"),
    [(100_000, 50, 500), (1500, 50, 150), (700, 50, 50), (4, 2, 2), (30, 50, 50)],
)
def test_looks_are_at_log_lines_and_about_ten_in_a_short_run(steps, log_every, every):
    plan = Plan(num_steps=steps, log_every=log_every)
    assert Checkup().interval(plan) == every
    assert Checkup(every_steps=7).interval(plan) == 7


def test_it_is_on_unless_it_is_none():
    on = {"every_steps": None, "stop": False, "images": 256}
    assert config()["doctor"] == on
    assert config("doctor.stop=True")["doctor"] == {**on, "stop": True}
    off = config("doctor=None")
    assert off["doctor"] is None
    assert Experiment(off).checkup is None


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("doctor.evry_steps=3", "did you mean 'every_steps'"),
        ("doctor=yes", "must be a section of settings"),
    ],
)
def test_bad_settings_are_refused(assignment, message):
    with pytest.raises(ValueError, match=message):
        config(assignment)


def test_an_interval_must_be_positive():
    with pytest.raises(ValueError, match="every_steps = 0 must be at least 1"):
        Checkup(every_steps=0)


def test_a_continued_run_has_each_look_once(tmp_path):
    changes = {"evals.knn": "None", "evals.linear": "None", "evals.few_label": "None"}
    changes |= {"evals.online": "None", "run.report": "False"}
    changes |= {"doctor.images": "40", "run.checkpoint_every_steps": "2"}
    assert main(arguments("train", tmp_path, changes)) == 0
    first = looks(tmp_path)
    assert [record["step"] for record in first] == [0, 2, 4]
    assert first[0]["representation_dim"] == 4
    assert first[-1]["chance"] == pytest.approx(4.844, abs=1e-3)  # ln 127
    assert {"embedding_std", "embedding_rank", "loss"} <= set(first[-1])
    # From the checkpoint at 2; the look at 4 is made again, the same.
    (tmp_path / "checkpoints" / "4").rename(tmp_path / "gone")
    assert main(arguments("train", tmp_path, changes)) == 0
    again = looks(tmp_path)
    assert [record["step"] for record in again] == [0, 2, 4]
    for name in ("embedding_std", "representation_rank", "embedding_alignment"):
        assert again[-1][name] == first[-1][name]


def test_a_run_that_shall_stop_ends_with_status_1(tmp_path, monkeypatch, capsys):
    found = doctor.Diagnosis("point", "everything is one point", "why", "Do")

    def at_the_end(history, facts):
        assert facts.batch_size == 64
        return [found] if history[-1]["step"] == 4 else []

    monkeypatch.setattr(doctor, "diagnose", at_the_end)
    changes = {"doctor.stop": "True", "run.checkpoint_every_steps": "2"}
    changes |= {"evals.online": "None"}
    assert main(arguments("train", tmp_path, changes)) == 1
    assert "stopped: step 4: everything is one point" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["2"]
    assert looks(tmp_path)[-1]["diagnoses"][0]["name"] == "point"
    assert not (tmp_path / "results.json").exists()
