"""A run whose method predicts: judged during training and after, drawn, and applied."""

import json

import numpy as np
import pytest

from jax_ssl import methods
from jax_ssl.cli import main
from jax_ssl.train.metrics import read_metrics
from tests.geometry import geometry

PAGE = """
def get_config():
    from ml_collections import ConfigDict

    page = ConfigDict()
    page.method = dict(name="geometry")
    page.encoder = dict(name="convnet", widths=(4, 8))
    page.views = dict(name="film", size=(16, 24), flip=0.0, strength=0.0)
    page.data = dict(
        name="synthetic_scenes", num_examples=24, size=(24, 40), snippets=6, cache_gib=0
    )
    page.optimizer = dict(name="sgd", learning_rate=0.01)
    page.feed = dict(batch_size=8)
    page.evals = dict(
        view=dict(name="whole_film", size=(16, 24)),
        test=dict(split="test", num_examples=12),
        online=dict(protocol="depth", every_epochs=1, max_queries=4),
        depth=dict(),
        optical_flow=dict(),
        ego_motion=dict(),
        segmentation=dict(),
        stereo=dict(),
        scene_flow=dict(),
    )
    page.run = dict(num_steps=3, log_every_steps=3)
    return page
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a finished run."""
    folder = tmp_path_factory.mktemp("predicted")
    (folder / "page.py").write_text(PAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(methods.METHODS, "geometry", geometry)
        config = f"--config={folder / 'page.py'}"
        assert main(["train", config, f"--workdir={folder / 'run'}"]) == 0
        yield folder / "run"


def results(workdir):
    return json.loads((workdir / "results.json").read_text())


def test_predictions_are_judged_beside_their_baselines(run):
    found = {
        each["protocol"]: {row["features"]: row for row in each["rows"]}
        for each in results(run)["evaluations"]
    }
    controls = {
        "depth": ["constant", "plane"],
        "optical_flow": ["zero_flow", "forward_motion"],
        "ego_motion": ["straight_ahead"],
        "segmentation": ["commonest"],
    }
    assert {name: [*rows] for name, rows in found.items()} == {
        name: ["trained", "untrained", *beside] for name, beside in controls.items()
    }
    assert found["ego_motion"]["trained"]["trajectory_ate"] >= 0
    reasons = {each["protocol"]: each["reason"] for each in results(run)["skipped"]}
    assert reasons["scene_flow"].endswith("has no disparity and no disparity_next")
    assert reasons["stereo"].endswith("has no disparity")


def test_a_protocol_of_predictions_watches_the_training(run):
    (record,) = [r for r in read_metrics(run / "metrics.jsonl") if r["kind"] == "eval"]
    assert record["protocol"] == "depth"
    assert (record["metric"], record["better"]) == ("abs_rel", "lower")
    assert record["controls"] == ["untrained", "constant", "plane"]
    assert all(np.isfinite(record[kind]) for kind in ("abs_rel", *record["controls"]))
    assert "bank" not in record
    assert record["queries"] == 2  # A tenth of the training examples.


def test_predictions_and_trajectories_are_drawn(run):
    page = (run / "report" / "index.html").read_text()
    assert "Predictions" in page
    assert all(
        word in page for word in ("predicted 1", "true 1", "error 1", "warped 1")
    )
    assert "depth during training, abs rel" in page
