"""Waves, and pairs of frames with depth and flow, from training to an exported file."""

import json
import shutil

import numpy as np
import pytest

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.cli import main
from jax_ssl.evaluate import mfcc
from jax_ssl.train.metrics import read_metrics

PAGE = """
def get_config(kind):
    from ml_collections import ConfigDict

    page = ConfigDict()
    if kind == "waves":
        page.encoder = dict(
            name="wave", widths=(8, 8), kernels=(8, 4), strides=(4, 2), norm_groups=2
        )
        page.views = dict(name="two_windows", samples=256)
        page.data = dict(name="synthetic_waves", num_examples=48)
        view = dict(name="wave_window", samples=256)
    else:
        page.encoder = dict(name="convnet", widths=(4, 8))
        page.views = dict(name="two_frames", size=16)
        page.data = dict(name="synthetic_frames", num_examples=48)
        view = dict(name="first_frame")
    page.method = dict(name="simclr", hidden_dim=8, output_dim=4)
    page.optimizer = dict(name="sgd", learning_rate=0.01)
    page.feed = dict(batch_size=16)
    page.evals = dict(
        view=view,
        test=dict(split="test"),
        online=dict(every_epochs=1, k=5),
        knn=dict(k=5),
        linear=dict(epochs=2),
    )
    page.run = dict(
        num_steps=6, log_every_steps=3, checkpoint_every_steps=3, keep_checkpoints=2
    )
    page.doctor = dict(every_steps=3, images=16)
    return page
"""


@pytest.fixture(
    scope="module",
    params=["waves", pytest.param("frames", marks=pytest.mark.slow)],
)
def run(request, tmp_path_factory):
    """(kind, the command's flags, folder of a finished run)."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "page.py").write_text(PAGE)
    config = f"--config={folder / 'page.py'}:{request.param}"
    assert main(["train", config, f"--workdir={folder / 'run'}"]) == 0
    return request.param, config, folder / "run"


def evaluations(workdir):
    return json.loads((workdir / "results.json").read_text())["evaluations"]


def test_it_is_judged_beside_its_controls(run):
    kind, _, workdir = run
    last = {"waves": "samples", "frames": "pixels"}[kind]
    more = ["mfcc"] if kind == "waves" and mfcc.installed() else []
    for evaluation in evaluations(workdir):
        rows = {row["features"]: row["accuracy"] for row in evaluation["rows"]}
        assert list(rows) == ["trained", "untrained", last, *more]
        assert all(0 <= accuracy <= 1 for accuracy in rows.values())
    assert [e["title"] for e in evaluations(workdir)] == ["1-NN", "5-NN", "linear"]
    records = read_metrics(workdir / "metrics.jsonl")
    online = [record for record in records if record["kind"] == "eval"]
    assert [record["step"] for record in online] == [3, 6]
    assert all({"trained", "untrained", last} & set(record) for record in online)
    looks = [record for record in records if record["kind"] == "doctor"]
    assert [record["step"] for record in looks] == [0, 3, 6]
    assert all(np.isfinite(look["representation_std"]) for look in looks)


def test_it_is_shown_in_the_report(run):
    kind, _, workdir = run
    page = (workdir / "report" / "index.html").read_text()
    assert "Nearest neighbours of test examples" in page
    # Of a wave there is one field to draw, which the views show already.
    drawn = all(f'alt="{name} 1"' in page for name in ("frames", "depth", "flow"))
    assert drawn == ("Fields of the data set" in page) == (kind == "frames")


def test_its_encoder_can_be_fed_by_the_card(run):
    kind, _, workdir = run
    variables, card = load_encoder(workdir / "export" / "encoder.npz")
    assert "params" in variables
    shape = {"waves": [256], "frames": [32, 32, 3]}[kind]
    assert card["input"]["shape"] == shape
    assert ("rate" in card["input"]) == (kind == "waves")


@pytest.mark.slow
def test_a_resumed_run_ends_as_the_undisturbed_one(run, tmp_path):
    _, config, workdir = run
    again = tmp_path / "again"
    shutil.copytree(workdir, again)
    shutil.rmtree(again / "checkpoints" / "6")
    (again / "results.json").unlink()
    assert main(["train", config, f"--workdir={again}"]) == 0
    files = [load_encoder(at / "export" / "encoder.npz")[0] for at in (workdir, again)]
    np.testing.assert_equal(*files)
    for one, other in zip(evaluations(workdir), evaluations(again), strict=True):
        assert {**one, "made": 0} == {**other, "made": 0}


def test_it_is_judged_again_by_another_setting(run):
    _, _, workdir = run
    before = evaluations(workdir)
    changed = "--config.evals.knn.k=3"
    assert main(["evaluate", f"--workdir={workdir}", changed]) == 0
    after = evaluations(workdir)
    assert [e["title"] for e in after] == ["1-NN", "5-NN", "linear", "3-NN"]
    assert [e["rows"] for e in after[:3]] == [e["rows"] for e in before]


def test_it_can_be_planned(run, capsys):
    _, config, _ = run
    assert main(["plan", config, "--topology=cpu:2", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["fits"]
    assert planned["flops_per_step"] > 0
