"""Parts of the data beside each other, and beside what a run began with."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from jax_ssl.cli import main
from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.data.identity import identity
from jax_ssl.run.other_data import carried
from jax_ssl.run.run import Run

PAGE = """
from ml_collections import ConfigDict

def get_config(kind):
    page = ConfigDict()
    page.encoder = dict(name="convnet", widths=(4,))
    page.method = dict(name="simclr", hidden_dim=8, output_dim=4)
    page.views = dict(name="two_crops", size=8, blur_probability=0.0)
    if kind == "classifier":
        page.method = dict(name="classifier", num_classes=3, mixup=0.0, cutmix=0.0)
        page.views = dict(name="supervised", size=8)
    page.optimizer = dict(name="sgd", learning_rate=0.01)
    page.data = dict(name="folder", path="DATA/train", canvas=8, labels="folders")
    page.feed = dict(batch_size=8)
    page.evals = dict(
        view=dict(name="center_crop", size=8), test=dict(path="DATA/test"),
        knn=dict(k=3),
    )
    page.run = dict(num_steps=2, report=False)
    page.doctor = None
    return page
"""
COLOURS = {"ant": (220, 30, 30), "bee": (30, 220, 30), "cow": (30, 30, 220)}


def saved(folder, *words, count=4):
    for word in words:
        (folder / word).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = np.full((8, 8, 3), COLOURS.get(word.lower(), (i, i, i)), np.uint8)
            pixels[0, 0] = i
            Image.fromarray(pixels).save(folder / word / f"{i}.png")


@pytest.fixture
def page(tmp_path):
    (tmp_path / "page.py").write_text(PAGE.replace("DATA", str(tmp_path)))
    saved(tmp_path / "train", *COLOURS)
    return tmp_path / "page.py"


def opened(page, *changes, kind="simclr", **more):
    config = resolved(override(load_page(f"{page}:{kind}"), changes))
    return Run(Experiment(config, **more), page.parent / "run")


def labels(data):
    return data.feed.source[np.arange(data.count)]["label"].tolist()


def train(page, *changes, kind="simclr", workdir="run"):
    words = [f"--config.{change}" for change in changes]
    flags = [f"--config={page}:{kind}", f"--workdir={page.parent / workdir}"]
    return main(["train", *flags, *words])


def test_labels_of_one_class_are_told_before_training(page):
    shutil.rmtree(page.parent / "train")
    saved(page.parent / "train", "ant", count=8)
    saved(page.parent / "test", "ant")
    said = opened(page).shortages()
    words = "will be skipped: the training examples are all of class 'ant' ('label')"
    assert f"config.evals.knn {words}" in "\n".join(said)
    assert all(words in sentence for sentence in said)


def test_a_source_of_its_own_inherits_no_canvas(page, monkeypatch):
    given = {}
    experiment = opened(page).experiment

    def bind(maker, wires, kept):
        given.update(kept)
        raise OSError("bound")

    monkeypatch.setattr("jax_ssl.config.experiment.bind", bind)
    with pytest.raises(OSError, match="bound"):
        experiment.open({"name": "tar_shards", "split": "val"})
    assert given == {"split": "val", "cache_gib": 1.0}
    with pytest.raises(OSError, match="bound"):
        experiment.open({"path": "elsewhere"})  # The same source keeps what it has.
    assert (given["canvas"], given["path"]) == (8, "elsewhere")
    said = carried(experiment.config["data"], {"path": "elsewhere"})
    assert "path is its own, and its canvas is that of config.data, 8" in said
    for own in ({"split": "test"}, {"path": "x", "canvas": 9}, {"name": "npz"}):
        assert not carried(experiment.config["data"], own)


@pytest.mark.parametrize("kind", ["simclr", "classifier"])
def test_a_test_part_is_numbered_as_the_training_part(page, caplog, kind):
    saved(page.parent / "test", "ant", "cow", count=2)
    run = opened(page, kind=kind)
    assert labels(run.test) == [0, 0, 2, 2]
    assert "config.evals.test: test lacks 1 of the 3 classes" in caplog.text
    assert "'bee'" in caplog.text


def test_classes_that_the_training_part_lacks_are_refused_or_asked_for(page):
    saved(page.parent / "test", "ant", "cow", "Bee", count=1)
    message = r"config\.evals\.test: test has the class 'Bee', .*is it 'bee'\?"
    with pytest.raises(ValueError, match=message):
        _ = opened(page).test
    # In the order of the files: Bee, ant, cow.
    for word, right in (("drop", [-1, 0, 2]), ("keep", [3, 0, 2])):
        run = opened(page, f"evals.unknown_classes={word}")
        assert labels(run.test) == right


def test_another_training_part_of_the_evaluation_rules_the_test_part(page):
    saved(page.parent / "labelled", "cow", "owl")
    saved(page.parent / "test", "owl", count=1)
    other = f"evals.train={{'path': {str(page.parent / 'labelled')!r}}}"
    run = opened(page, other)
    assert labels(run.train) == [0] * 4 + [1] * 4
    assert labels(run.test) == [1]
    # A classifier's head knows ant, bee and cow.
    with pytest.raises(ValueError, match=r"config\.evals\.train: .* the class 'owl'"):
        _ = opened(page, other, kind="classifier").train


def test_classes_keep_the_numbers_that_they_began_with(page):
    saved(page.parent / "test", "cow", count=1)
    shutil.rmtree(page.parent / "train" / "bee")
    classes = {"label": list(COLOURS)}
    run = opened(page, kind="classifier", classes=classes)
    assert sorted(set(labels(run.train))) == [0, 2]
    assert labels(run.test) == [2]
    saved(page.parent / "train", "aphid")
    with pytest.raises(ValueError, match=r"reach 3 \('aphid'\).* num_classes = 4"):
        opened(page, kind="classifier", classes=classes)


@pytest.mark.parametrize("data", ["synthetic", "npz", "folder"])
def test_labels_beyond_the_classifier_are_refused_before_anything(page, capsys, data):
    root = page.parent
    y = np.arange(24) % 3 + 1
    np.savez(root / "a.npz", x=np.zeros((24, 8, 8, 3), np.uint8), y=y)
    saved(root / "train", "dog")
    changes = {
        "synthetic": "data={'name': 'synthetic', 'num_examples': 16, 'size': 8}",
        "npz": f"data={{'name': 'npz', 'path': {str(root / 'a.npz')!r}}}",
        "folder": "run.seed=1",
    }
    none = "evals.test=None"
    assert train(page, changes[data], none, kind="classifier") == 2
    assert "reach 3 " in (said := capsys.readouterr().err)
    assert "num_classes = 3 is too few: set num_classes = 4" in said
    assert not (root / "run").exists()


def test_labels_of_test_beyond_the_classifier_are_refused(page):
    x = np.zeros((16, 8, 8, 3), np.uint8)
    path = str(page.parent / "a.npz")
    for_test = {"x_test": x, "y_test": np.arange(16) % 5}
    np.savez(path, x_train=x, y_train=np.arange(16) % 3, **for_test)
    source = f"data={{'name': 'npz', 'path': {path!r}, 'split': 'train'}}"
    with pytest.raises(ValueError, match="has the 2 classes '3', '4', not among"):
        _ = opened(page, source, "evals.test={'split': 'test'}", kind="classifier").test


def test_a_resumed_run_notices_that_its_data_changed(page, capsys):
    run, folder = page.parent / "run", page.parent / "train"
    began = identity(opened(page).experiment.everything)
    (run / "checkpoints" / "1").mkdir(parents=True)
    (run / "data.json").write_text(json.dumps(began))
    assert began["num_examples"] == 12
    saved(folder, "dog")
    assert train(page, "evals.test=None") == 2
    said = capsys.readouterr().err
    assert "the data set has 16 examples, the run began with 12" in said
    assert "--config.run.accept_changed_data=True" in said
    assert json.loads((run / "data.json").read_text()) == began
