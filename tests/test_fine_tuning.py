"""From a masked autoencoder to a classifier, as a user types it."""

import json
import pathlib
import sys

import jax
import numpy as np
import pytest

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.cli import main
from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.train.loop import fit
from tests.test_config import feed_of

PAGE = str(pathlib.Path(__file__).parent.parent / "configs" / "simclr_digits.py")
VIT = (
    "{'name': 'vit', 'dim': 8, 'depth': 1, 'num_heads': 2, 'patch': 4, 'image_size': 8"
)
COMMON = {
    "encoder": VIT + "}",
    "feed.batch_size": "64",
    "optimizer": "{'name': 'adamw', 'learning_rate': 0.003}",
    "run.num_epochs": "None",
    "run.num_steps": "2",
    "run.checkpoint_every_epochs": "None",
    "run.report": "False",
    "evals.online": "None",
    "evals.few_label": "None",
    "evals.linear": "None",
    "evals.knn": "None",
}
MAE = {
    "method": "{'name': 'mae', 'mask_ratio': 0.5, 'decoder_width': 8, "
    "'decoder_depth': 1, 'decoder_heads': 2}",
    "views": "{'name': 'mae', 'size': 8, 'mean': None, 'std': None}",
}
CLASSIFIER = {
    "method": "{'name': 'classifier', 'num_classes': 10, 'mixup': 0.0, 'cutmix': 0.0}",
    "views": "{'name': 'supervised', 'size': 8, 'mean': None, 'std': None}",
}
PROBE = {
    **CLASSIFIER,
    "method": "{'name': 'classifier', 'num_classes': 10, 'mixup': 0.0, 'cutmix': 0.0, "
    "'freeze_encoder': True, 'batch_norm': True, 'class_tokens': 1, "
    "'mean_patch': True}",
}


def changes(*parts):
    whole = {key: value for part in (COMMON, *parts) for key, value in part.items()}
    return [f"{key}={value}" for key, value in whole.items()]


def train(workdir, *parts):
    overrides = [f"--config.{change}" for change in changes(*parts)]
    return main(["train", f"--workdir={workdir}", f"--config={PAGE}", *overrides])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("mae")
    assert train(workdir, MAE) == 0
    return workdir / "export" / "encoder.npz"


def started(path, *parts):
    """The first state of a run that starts from `path`."""
    parts = (*parts, {"run.init_from": repr(path) if type(path) is dict else str(path)})
    page = override(load_page(PAGE), changes(*parts))
    experiment = Experiment(resolved(page), devices=jax.devices()[:1])
    made = experiment.program(feed_of(experiment))
    with jax.set_mesh(experiment.mesh):
        return experiment, made.start(jax.random.key(0))


def test_probe_of_a_trained_encoder_from_file_to_accuracy(exported, tmp_path):
    encoder = tmp_path / "encoder.npz"
    encoder.write_bytes(exported.read_bytes())
    start = {"run.init_from": str(encoder)}
    assert train(tmp_path, PROBE, start) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    (evaluation,) = results["evaluations"]
    assert evaluation["protocol"] == "classification"
    assert evaluation["split"] == "test"
    assert evaluation["step"] == 2
    (row,) = evaluation["rows"]
    assert row["features"] == "trained"
    assert 0 <= row["accuracy"] <= row["accuracy_top5"] <= 1
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["run"]["init_from"] == str(encoder)
    # Frozen: the encoder that the probe exports is the one that it was given.
    before = load_encoder(encoder)[0]
    after = load_encoder(tmp_path / "export" / "encoder.npz")[0]
    jax.tree.map(np.testing.assert_array_equal, after, before)
    # Resuming reads the checkpoint and not the encoder.
    encoder.unlink()
    assert train(tmp_path, PROBE, start) == 0


def test_fine_tuning_starts_from_the_encoder_and_its_own_head(exported):
    experiment, state = started(exported, CLASSIFIER)
    wanted = load_encoder(exported)[0]
    found = experiment.method.exports["encoder"](state.params, state.state)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    assert np.abs(state.params["head"]["dense"]["kernel"]).max() > 0
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))


def test_encoders_of_other_shapes_are_refused(exported):
    wider = {"encoder": VIT.replace("'dim': 8", "'dim': 16") + "}"}
    said = r"(?s)init_from, encoder = .*\[8\] there, \[16\] here"
    with pytest.raises(ValueError, match=said):
        started(exported, CLASSIFIER, wider)


def test_missing_encoder_is_named(tmp_path):
    said = r"run.init_from, encoder = .*nothing.npz"
    with pytest.raises(FileNotFoundError, match=said):
        started(tmp_path / "nothing.npz", CLASSIFIER)


def test_settings_that_change_the_network_are_said(exported, caplog):
    other = {"encoder": VIT + ", 'pool': 'mean', 'drop_path': 0.1}"}
    with caplog.at_level("INFO"):
        started(exported, CLASSIFIER, other)
    (line,) = [r.getMessage() for r in caplog.records if "starts from" in r.msg]
    assert f"the encoder of {exported}" in line
    assert "step 2 of mae" in line
    assert "pool = 'mean' (there 'class')" in line
    assert "drop_path" not in line


def test_self_supervised_methods_start_from_an_encoder_too(exported):
    """BYOL's teacher starts from the same encoder as its student."""
    byol = {
        "method": "{'name': 'byol', 'hidden_dim': 8, 'output_dim': 4}",
        "views": "{'name': 'two_crops', 'size': 8, 'strength': 0.0, "
        "'gray_probability': 0.0, 'blur_probability': 0.0}",
    }
    wanted = load_encoder(exported)[0]["params"]
    _, state = started(exported, byol)
    for found in (state.params, state.state.teacher.params):
        jax.tree.map(np.testing.assert_array_equal, found["encoder"], wanted)
    with pytest.raises(ValueError, match=r"this method has no teacher to fill"):
        started({"teacher": str(exported)}, byol)


def test_results_name_the_commit_that_the_run_began_with(tmp_path, monkeypatch):
    commit = ["old"]
    environment = sys.modules["jax_ssl.run.environment"]
    monkeypatch.setattr(environment, "_commit", lambda: commit[0])

    def fit_and_change(*arguments, **settings):
        outcome = fit(*arguments, **settings)
        commit[0] = "new"
        return outcome

    module = sys.modules["jax_ssl.run.train"]  # The package has a function so.
    monkeypatch.setattr(module, "fit", fit_and_change)
    assert train(tmp_path, MAE) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["environment"]["commit"] == "old"
