"""Few labels and many images, from the settings to a student of their teacher."""

import json

import jax
import numpy as np
import pytest

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.cli import main
from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.run.run import Run
from jax_ssl.train.feeds import Feed, ResidentFeed
from tests.test_fine_tuning import PAGE, changes, train

CONVNET = "{'name': 'convnet', 'widths': (4, 8)}"
SUPERVISED = "{'name': 'supervised', 'size': 8, 'mean': None, 'std': None"
SUPCON_VIEWS = "{'name': 'supcon', 'size': 8, 'gray_probability': 0.0, "
SUPCON_VIEWS += "'strength': 0.0, 'mean': None, 'std': None}"
FEW = {"feed.labels_per_class": "3", "feed.labels_seed": "7", "feed.labelled": "24"}
MEAN_TEACHER = {
    **FEW,
    "encoder": CONVNET,
    "method": "{'name': 'mean_teacher', 'num_classes': 10, 'momentum': 0.5}",
    "views": SUPERVISED + ", 'num_views': 2}",
}
STUDENT = {
    **FEW,
    "encoder": "{'name': 'convnet', 'widths': (4,)}",
    "method": "{'name': 'distillation', 'num_classes': 10, 'teacher': " + CONVNET + "}",
    "views": SUPERVISED + "}",
}
CLASSIFIER = {
    **STUDENT,
    "method": "{'name': 'classifier', 'num_classes': 10, 'mixup': 0.0, 'cutmix': 0.0}",
}


def experiment_of(*parts, devices=None):
    page = override(load_page(PAGE), changes(*parts))
    return Experiment(resolved(page), devices=devices or jax.devices())


def batches_of(experiment, kind, first=0, steps=3):
    """Batches of some steps, {name: [B, ...]}."""
    feed = kind(
        experiment.source,
        mesh=experiment.mesh,
        seed=0,
        batch_size=64,
        share=experiment.share,
    )
    whole = range(first, first + steps)
    with jax.set_mesh(experiment.mesh), feed.pieces(whole) as pieces:
        payload = feed.steps(next(pieces))
        return [
            feed.batch(feed.data, jax.tree.map(lambda leaf, s=s: leaf[s], payload))
            for s in range(steps)
        ]


@pytest.mark.slow
def test_each_device_gets_labelled_and_other_rows_from_either_feed():
    experiment = experiment_of(MEAN_TEACHER)
    everyone = experiment.everything[np.arange(len(experiment.everything))]
    assert np.bincount(everyone["label"][everyone["label"] >= 0]).tolist() == [3] * 10
    assert experiment.share == (24, 30)
    epoch = (len(everyone["label"]) - 30) // (64 - 24)
    assert experiment.steps_per_epoch == epoch
    host, resident = (batches_of(experiment, kind) for kind in (Feed, ResidentFeed))
    for batch, same in zip(host, resident, strict=True):
        jax.tree.map(np.testing.assert_array_equal, dict(batch), dict(same))
        shards = batch["label"].addressable_shards
        assert [(np.asarray(s.data) >= 0).sum() for s in shards] == [3] * 8
    # A run that begins again at the last of these steps reads the same.
    (again,) = batches_of(experiment, ResidentFeed, first=2, steps=1)
    jax.tree.map(np.testing.assert_array_equal, dict(again), dict(host[2]))


def test_only_methods_of_both_kinds_take_rows_without_a_label():
    assert experiment_of(STUDENT).method.health.unlabelled
    # It would be a class of its own to SupCon.
    supcon = {"method": "{'name': 'supcon'}", "views": SUPCON_VIEWS}
    for refused in (CLASSIFIER, {**STUDENT, **supcon}):
        with pytest.raises(ValueError, match="holds the label -1, which is no class"):
            experiment_of(refused)
    features = STUDENT["method"].replace("{'name'", "{'target': 'features', 'name'", 1)
    assert experiment_of({**STUDENT, "method": features}).method.health.unlabelled


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"feed.labelled": "64"}, r"config.feed: labelled = 64 must be in \[1, 64\)"),
        ({"feed.labelled": "40"}, "config.feed.labelled = 40 .* 30 labelled and"),
        (
            {"feed.labels_per_class": "None"},
            "config.feed.labelled: all .* have a label",
        ),
    ],
)
def test_shares_that_cannot_be_are_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        experiment_of(MEAN_TEACHER, changed)


@pytest.mark.slow
def test_a_student_of_a_mean_teacher(tmp_path):
    workdir, student = tmp_path / "teacher", tmp_path / "student"
    assert train(workdir, MEAN_TEACHER) == 0
    assert main(["export", f"--workdir={workdir}", "--what=classifier"]) == 0
    file = workdir / "export" / "classifier.npz"
    start = {"run.init_from": repr({"teacher": str(file)})}
    assert train(student, STUDENT, start) == 0
    for folder in (workdir, student):
        results = json.loads((folder / "results.json").read_text())
        (evaluation,) = results["evaluations"]
        assert evaluation["protocol"] == "classification"
        assert 0 <= evaluation["rows"][0]["accuracy"] <= 1
    found = load_encoder(file)[0]
    run = Run.opened(str(student), [])
    with run.restored() as state:
        kernel = state.state.teacher.params["head"]["dense"]["kernel"]
        wanted = found["params"]["head"]["dense"]["kernel"]
        np.testing.assert_array_equal(kernel, wanted)
    # A file without a head is refused by name.
    bare = {"run.init_from": repr({"teacher": str(workdir / "export" / "encoder.npz")})}
    assert train(tmp_path / "other", STUDENT, bare) == 2
