"""A finished run that goes on for longer, as a user types it."""

import json

import jax
import numpy as np
import pytest

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.cli import main
from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.run.extend import announce, extension
from tests.test_fine_tuning import MAE, PAGE, changes

SGD = {"optimizer": "{'name': 'sgd', 'learning_rate': 0.05, 'momentum': 0.9}"}


def train(workdir, steps, *more, **changed):
    parts = (MAE, SGD, {"run.num_steps": str(steps)}, changed)
    overrides = [f"--config.{change}" for change in changes(*parts)]
    return main(
        ["train", f"--workdir={workdir}", f"--config={PAGE}", *overrides, *more]
    )


def encoder(workdir):
    return load_encoder(workdir / "export" / "encoder.npz")[0]


@pytest.mark.slow
def test_a_run_extended_is_the_longer_run_where_the_rate_is_constant(tmp_path, caplog):
    longer, straight = tmp_path / "longer", tmp_path / "straight"
    assert train(longer, 2) == 0
    with caplog.at_level("INFO"):
        assert train(longer, 4, "--extend") == 0
    assert "extended from 2 to 4 steps" in caplog.text
    assert "goes on at 0.05, as in a run of this length" in caplog.text
    assert train(straight, 4) == 0
    jax.tree.map(np.testing.assert_array_equal, encoder(longer), encoder(straight))
    said = json.loads((longer / "extended.json").read_text())
    assert [(line["from_steps"], line["to_steps"]) for line in said] == [(2, 4)]
    assert json.loads((longer / "config.json").read_text())["run"]["num_steps"] == 4
    # The same command again finds nothing to do.
    assert train(longer, 4, "--extend") == 0
    assert len(json.loads((longer / "extended.json").read_text())) == 1


FALLING = {
    "optimizer": "{'name': 'sgd', 'learning_rate': "
    "{'name': 'linear', 'init_value': 0.1, 'end_value': 0.0}}"
}


def experiment(steps, *parts):
    page = override(
        load_page(PAGE), changes(MAE, {"run.num_steps": str(steps)}, *parts)
    )
    return Experiment(resolved(page), devices=jax.devices()[:1])


def folder(workdir, config, last):
    """The folder of a run of this config whose last checkpoint is of step `last`."""
    write_json_atomic(workdir / "config.json", config)
    if last:
        (workdir / "checkpoints" / str(last)).mkdir(parents=True)
    return workdir


def test_what_happens_to_a_schedule_is_said_and_written_down(tmp_path, caplog):
    longer = experiment(4, FALLING)
    workdir = folder(tmp_path, experiment(2, FALLING).config, 2)
    found = extension(longer, workdir)
    # A line from 0.1 at step 0 to 0 at the last one or behind it.
    assert (found["from_steps"], found["to_steps"]) == (2, 4)
    assert found["rate_of_that_step_now"] > found["rate_of_last_step"]
    assert found["rate_of_next_step"] == float(longer.learning_rate(2))
    with caplog.at_level("INFO"):
        announce(found, workdir)
    assert "schedules that span the run span all 4 steps now" in caplog.text
    assert json.loads((workdir / "extended.json").read_text()) == [found]
    write_json_atomic(workdir / "config.json", longer.config)
    assert extension(longer, workdir) is None


@pytest.mark.parametrize(
    ("steps", "last", "said"),
    [
        (4, None, "has made 0 of its 2 steps. Finish it first"),
        (4, 1, "has made 1 of its 2 steps. Finish it first"),
        (1, 2, "1 steps are no more than the 2"),
    ],
)
def test_what_cannot_be_extended_is_refused(tmp_path, steps, last, said):
    workdir = folder(tmp_path, experiment(2, SGD).config, last)
    with pytest.raises(ValueError, match=said):
        extension(experiment(steps, SGD), workdir)


def test_a_folder_without_a_run_is_not_extended(tmp_path):
    with pytest.raises(ValueError, match="holds no run; leave --extend out"):
        extension(experiment(2, SGD), tmp_path)
