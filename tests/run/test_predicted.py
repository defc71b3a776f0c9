"""A run whose method predicts: judged during training and after, drawn, and applied."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl import methods
from jax_ssl.cli import main
from jax_ssl.data.geometry_files import (
    read_kitti_flow,
    read_kitti_map,
    read_png,
    write_png,
)
from jax_ssl.run.album import Album
from jax_ssl.run.infer import intrinsics_of
from jax_ssl.run.predicted import SHOWN, predicted
from jax_ssl.run.run import Run
from jax_ssl.train.metrics import read_metrics
from tests.geometry import geometry
from tests.references.predictions import flow_errors, resized

PAGE = """
def get_config():
    from ml_collections import ConfigDict

    page = ConfigDict()
    page.method = dict(name="geometry")
    page.encoder = dict(name="convnet", widths=(4, 8))
    page.views = dict(name="film", size=(16, 24), flip=0.0, strength=0.0)
    page.data = dict(
        name="synthetic_scenes",
        num_examples=16,
        size=(24, 40),
        snippets=4,
        supersampling=1,
        texture="noise",
    )
    page.optimizer = dict(name="sgd", learning_rate=0.01)
    page.feed = dict(batch_size=8)
    page.evals = dict(
        view=dict(name="whole_film", size=(16, 24)),
        test=dict(split="test", num_examples=8),
        online=dict(protocol="depth", every_epochs=1, max_queries=4),
        depth=dict(),
        ego_motion=dict(),
        stereo=dict(),
    )
    page.doctor = None
    page.run = dict(num_steps=2, log_every_steps=2, report=False)
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
        "ego_motion": ["straight_ahead"],
    }
    assert {name: [*rows] for name, rows in found.items()} == {
        name: ["trained", "untrained", *beside] for name, beside in controls.items()
    }
    assert found["ego_motion"]["trained"]["trajectory_ate"] >= 0
    (skipped,) = results(run)["skipped"]
    reason = "the test part, synthetic_scenes test, has no disparity"
    assert skipped == {"protocol": "stereo", "reason": reason}


def test_a_protocol_of_predictions_watches_the_training(run):
    (record,) = [r for r in read_metrics(run / "metrics.jsonl") if r["kind"] == "eval"]
    assert record["protocol"] == "depth"
    assert (record["metric"], record["better"]) == ("abs_rel", "lower")
    assert record["controls"] == ["untrained", "constant", "plane"]
    assert all(np.isfinite(record[kind]) for kind in ("abs_rel", *record["controls"]))
    assert "bank" not in record
    assert record["queries"] == 2  # About a tenth of the training examples.


def test_predictions_are_drawn_beside_labels_and_errors(run):
    opened = Run.opened(str(run), ())
    with opened.restored() as train:
        grids = dict(predicted(opened, train, np.asarray))
    columns = {
        title.removeprefix("Predictions: "): {c.head: c.values for c in each.columns}
        for title, each in grids.items()
    }
    assert {name: [*each] for name, each in columns.items()} == {
        "depth": ["target", "predicted", "true", "error"],
        "disparity": ["target", "predicted"],
        "flow": ["target", "predicted", "true", "error", "warped"],
        "segmentation": ["target", "predicted", "true"],
    }
    rows = np.unique(np.linspace(0, 7, SHOWN).astype(int))
    batch = opened.experiment.open(opened.experiment.evals.test, ["flow"])[rows]
    np.testing.assert_array_equal(columns["depth"]["true"], batch["depth"])
    # The flow's error is the distance from the label, at the label's pixels.
    found, true = columns["flow"]["predicted"], batch["flow"]
    error = np.stack([flow_errors(*pair)[0] for pair in zip(found, true, strict=True)])
    known = true[..., 2] > 0
    drawn = columns["flow"]["error"]
    np.testing.assert_allclose(drawn[known], error[known], rtol=1e-4, atol=1e-4)
    assert np.isnan(drawn[~known]).all()


@pytest.mark.slow
def test_the_report_shows_predictions_and_ways(run):
    assert main(["report", f"--workdir={run}"]) == 0
    page = (run / "report" / "index.html").read_text()
    words = ("predicted 1", "true 1", "error 1", "warped 1", "way from above")
    assert all(word in page for word in words)
    assert "depth during training, abs rel" in page


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    """(pictures, what `jax-ssl infer` has written of them)."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    shown = rng.integers(0, 256, (3, 32, 60, 3)).astype(np.uint8)
    for i, each in enumerate(shown):
        write_png(str(folder / f"{i}.png"), each)
    where = [f"--images={folder}", f"--output={folder / 'out'}"]
    tasks = "--task=depth,flow,segmentation,poses"
    assert main(["infer", f"--workdir={run}", *where, tasks]) == 0
    return shown, folder / "out"


@pytest.fixture(scope="module")
def said(run, written):
    """What the method says of the three films by no code of the command."""
    opened = Run.opened(str(run), ())
    # The film of the first picture repeats it, and that of the last the last.
    films = written[0][[[0, 0, 1], [0, 1, 2], [1, 2, 2]]]
    example = {
        "frames": jnp.asarray(films),
        "intrinsics": jnp.eye(3)[None].repeat(3, 0),
    }
    view, predicts = opened.experiment.view, opened.experiment.method.predicts
    seen = jax.vmap(view, (None, 0))(jax.random.key(0), example)
    with opened.restored() as train:
        made = jax.jit(lambda *given: {n: fn(*given) for n, fn in predicts.items()})
        found = jax.device_get(made(train.params, train.state, seen))
    return {name: np.float64(values) for name, values in found.items()}


def test_maps_are_written_at_the_size_of_the_pictures(said, written):
    _, out = written
    for i in range(3):
        depth = 1 / resized(1 / said["depth"][i], 32, 60)
        found = read_kitti_map(str(out / "depth" / f"{i}.png"))
        np.testing.assert_allclose(found, depth, atol=1 / 500)
    u, v = (resized(said["flow"][1, ..., i], 32, 60) for i in (0, 1))
    found = read_kitti_flow(str(out / "flow" / "1.png"))
    np.testing.assert_allclose(found[..., 0], u * 60 / 24, atol=1 / 100)
    np.testing.assert_allclose(found[..., 1], v * 32 / 16, atol=1 / 100)
    assert found[..., 2].all()
    # The last picture has no next one to flow to.
    assert sorted(path.name for path in (out / "flow").iterdir()) == ["0.png", "1.png"]
    scores = [resized(said["segmentation"][1, ..., i], 32, 60) for i in (0, 1)]
    found = read_png(str(out / "segmentation" / "1.png"))
    assert (found == (scores[1] > scores[0])).mean() > 0.99
    for name in ("depth", "flow", "segmentation"):
        assert read_png(str(out / f"{name}_color" / "1.png")).shape == (32, 60, 3)
    assert not (out / "disparity").exists()


def test_the_way_of_the_camera_is_chained(said, written):
    lines = np.loadtxt(written[1] / "poses.txt").reshape(3, 3, 4)
    np.testing.assert_allclose(lines[:, :, :3], np.eye(3)[None].repeat(3, 0))
    steps = np.diff(said["poses"][:2, :, 2, 3], axis=1)[:, 1]  # Target to next.
    np.testing.assert_allclose(lines[:, 2, 3], [0, *np.cumsum(steps)], rtol=1e-5)


def test_the_camera_of_the_data_is_brought_to_the_pictures(run, written, tmp_path):
    """Of 24 x 40 pixels, focal length 40, to 32 x 60."""
    folder = written[1].parent
    opened = Run.opened(str(run), ())
    rows = np.array([0])
    for camera, wanted in (
        (None, [[60, 0, 29.5], [0, 40 * 32 / 24, 15.5], [0, 0, 1]]),
        (intrinsics_of("50,51,20,10"), [[50, 0, 20], [0, 51, 10], [0, 0, 1]]),
    ):
        examples = Album(opened, str(folder), camera).examples(rows)
        np.testing.assert_allclose(examples["intrinsics"][0], wanted, atol=1e-5)
        np.testing.assert_array_equal(examples["size"], [[32, 60]])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--task=pixels"], "--task=pixels: the method geometry predicts depth, "),
        (["--intrinsics=1,2,3"], "--intrinsics=1,2,3 must be four numbers"),
        (["--images=nowhere"], "--images=nowhere: there is no such folder"),
    ],
)
def test_what_infer_cannot_do_is_said(run, tmp_path, capsys, flags, words):
    given = ["infer", f"--workdir={run}", f"--images={tmp_path}", *flags]
    assert main(given) == 2
    assert words in capsys.readouterr().err


def test_pictures_of_two_sizes_are_no_film(run, tmp_path):
    for i, side in enumerate((16, 24)):
        write_png(str(tmp_path / f"{i}.png"), np.zeros((side, 24, 3), np.uint8))
    album = Album(Run.opened(str(run), ()), str(tmp_path))
    with pytest.raises(ValueError, match=r"no film.*\(16, 24\), \(24, 24\)"):
        album.examples(np.array([0]))
