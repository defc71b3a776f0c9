"""A suite on folders of images: what is there, what is not, and what it says."""

import argparse
import json
import shutil

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from jax_ssl.config import Experiment, resolved
from jax_ssl.evaluate.judge import Judge
from jax_ssl.evaluate.suite import Asked, DataSet, Lacking, Task, over
from jax_ssl.evaluate.suites import SUITES, TWELVE, linear_transfer
from jax_ssl.evaluate.transfer import transfer
from jax_ssl.run.evaluate import evaluate
from jax_ssl.run.other_data import other_data
from jax_ssl.run.results import apart, merge
from jax_ssl.run.run import Run
from jax_ssl.run.suite import suited


def folders(root, **parts):
    """Images of two classes, one darker, so many of each class in a part."""
    for split, count in parts.items():
        for number, word in enumerate(("dark", "light")):
            folder = root / split / word
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.full((20, 30 + i, 3), 40 + 150 * number + i, np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    folders(root / "birdsnap", train=6, test=3)
    folders(root / "aircraft", train=4, validation=2, test=2)
    folders(root / "mine", train=5, test=2)
    (root / "dtd" / "train").mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    page = ConfigDict()
    page.encoder = {"name": "convnet", "widths": (4,)}
    page.method = {"name": "simclr", "hidden_dim": 4, "output_dim": 4}
    page.views = {"name": "two_crops", "size": 16}
    page.optimizer = {"name": "sgd", "learning_rate": 0.1}
    page.data = {"name": "synthetic", "num_examples": 16, "size": 16}
    page.feed = {"batch_size": 8}
    page.evals = {
        "view": {"name": "identity", "mean": (0.5,) * 3, "std": (0.2,) * 3},
        "transfer": {"strengths": 3, "weakest": 1e-3, "strongest": 10.0},
    }
    page.run = {"num_steps": 1}
    devices = jax.devices()[:1]
    return Run(
        Experiment(resolved(page), devices=devices), tmp_path_factory.mktemp("run")
    )


@pytest.fixture(scope="module")
def state(run):
    with jax.set_mesh(run.experiment.mesh):
        return run.program.fresh(jax.random.key(0))


def results(run, state, data, **settings):
    given = {"sets": None, "features": "trained", "data_dir": str(data), **settings}
    with jax.set_mesh(run.experiment.mesh):
        return suited(run, state, given.pop("name", "transfer"), **given)


def test_it_judges_what_is_there_and_names_what_is_not(run, state, data):
    saved = []
    found = results(run, state, data, features="pixels", save=saved.append)
    assert [each["evaluations"][0]["title"] for each in saved] == [
        *("Birdsnap, transfer", "Aircraft, transfer")
    ]
    told = {e["protocol"]: e for e in found["evaluations"]}
    assert list(told) == ["transfer: Birdsnap", "transfer: Aircraft"]
    birds = told["transfer: Birdsnap"]
    assert birds["title"] == "Birdsnap, transfer"
    assert [row["features"] for row in birds["rows"]] == ["pixels"]
    assert birds["settings"]["held_out"] == 0.1
    assert birds["settings"]["strengths"] == 3  # As the run's own protocol has it.
    planes = told["transfer: Aircraft"]
    assert planes["settings"]["validation_from"] == 8
    assert planes["metrics"][0]["name"] == "mean_per_class"
    assert planes["rows"][0]["mean_per_class"] == 1.0  # Pixels alone can tell.
    json.dumps(found)
    missing = {e["protocol"]: e["reason"] for e in found["skipped"]}
    assert len(missing) == 10
    assert f"tfds build voc/2007 --data_dir={data}" in missing["transfer: VOC2007"]
    assert "class folders" not in missing["transfer: VOC2007"]
    assert "has no folder test" in missing["transfer: DTD"]


@pytest.mark.slow
def test_controls_stand_beside_the_encoder(run, state, data):
    found = results(run, state, data, features=None, sets="mine")
    rows = found["evaluations"][0]["rows"]
    assert [row["features"] for row in rows] == ["trained", "untrained", "pixels"]


def test_other_suites_are_as_short_and_any_folder_is_a_set(run, state, data):
    found = results(run, state, data, name="few_label", sets="mine")
    titles = [e["title"] for e in found["evaluations"]]
    assert titles == [*("mine, 1 label", "mine, 5 labels")]
    assert "fewer than 10 labels" in found["skipped"][0]["reason"]


def test_two_folders_of_one_name_are_two_sets(tmp_path):
    for word in ("one", "two"):
        folders(tmp_path / word / "mine", train=1, test=1)
    asked = Asked(data_dir=tmp_path, sets=("one/mine", "two/mine/"), side=16)
    found = [task.protocols[0].name for task in SUITES["few_label"].tasks(asked)]
    assert found == ["few_label: one/mine", "few_label: two/mine"]


def test_sets_of_one_name_in_two_places_stay_apart(run, state, tmp_path, monkeypatch):
    def judged(self, protocols, *given, **more):
        each = {"protocol": protocols[0].name, "title": "mine", "settings": {}}
        return {"evaluations": [each], "skipped": []}

    monkeypatch.setattr(Judge, "judge", judged)
    folders(tmp_path / "one" / "mine", train=1, test=1)
    folders(tmp_path / "two" / "mine", train=1, test=2)
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    kept = tmp_path / "run"
    kept.mkdir()
    made = dict.fromkeys(("command", "commit", "date"), "")
    for place in ("one", "two", "moved"):
        given = {"sets": "mine", "name": "few_label", "features": "pixels"}
        merge(kept, results(run, state, tmp_path / place, **given), made)
    found = [
        e["title"]
        for e in json.loads((kept / "results.json").read_text())["evaluations"]
    ]
    # What was moved is the same set, and takes the place of what was said of it.
    assert sorted(found) == sorted(
        [f"mine ({tmp_path / word})" for word in ("two", "moved")]
    )


def test_other_data_are_told_by_the_settings_that_differ():
    data, parts = (
        {"path": "a", "cache_gib": 1.0},
        {"train": None, "test": {"split": "t"}},
    )
    own = {"data": data, "evals": {**parts, "knn": None}}
    assert other_data(own, {**own, "data": {**data, "cache_gib": 2.0}}) is None
    assert other_data(own, {**own, "evals": {**parts, "knn": {"k": 1}}}) is None
    told = other_data(own, {**own, "evals": {**parts, "test": {"split": "v"}}})
    assert told == {
        "digest": ['evals.test.split: "t" → "v"'],
        "where": 'evals.test.split: "t" → "v"',
    }
    each = {"protocol": "knn", "settings": {}, "split": "x", "step": 1, "title": "1-NN"}
    titles = [e["title"] for e in apart([each, {**each, "data": told}])]
    assert titles == ["1-NN", '1-NN (evals.test.split: "t" → "v")']
    assert apart([{**each, "data": told}])[0]["title"] == "1-NN"


def test_buildings_are_judged_by_their_own_folder(run, state, tmp_path):
    root = tmp_path / "roxford5k"
    (root / "jpg").mkdir(parents=True)
    names = [f"all_souls_{number}" for number in range(4)]
    for number, name in enumerate(names):
        pixels = np.full((20, 30, 3), 60 * number, np.uint8)
        Image.fromarray(pixels).save(root / "jpg" / f"{name}.jpg")
    truth = {"bbx": [2, 2, 20, 18], "easy": [1], "hard": [2], "junk": []}
    content = {"imlist": names[:3], "qimlist": names[3:], "gnd": [truth]}
    (root / "gnd_roxford5k.json").write_text(json.dumps(content))
    found = results(run, state, tmp_path, name="revisited", features="pixels")
    titles = [each["title"] for each in found["evaluations"]]
    assert titles == ["ROxford, easy", "ROxford, medium", "ROxford, hard"]
    assert {each["split"] for each in found["evaluations"]} == {"queries"}
    assert "rparis6k" in found["skipped"][0]["reason"]
    assert "revisitop1m" in found["skipped"][1]["reason"]
    shutil.copytree(root / "jpg", tmp_path / "revisitop1m" / "jpg")
    asked = Asked(data_dir=tmp_path, sets=("roxford5k+r1m",), side=16)
    (task,) = SUITES["revisited"].tasks(asked)
    assert (len(task.train), len(task.test)) == (3 + 4, 1)
    assert (task.title, task.protocols[0].name) == (
        "ROxford+R1M",
        "revisited: ROxford+R1M",
    )


def test_a_set_that_cannot_be_decoded_leaves_the_others(run, state, data, tmp_path):
    (tmp_path / "mine").symlink_to(data / "mine")
    folders(tmp_path / "broken", train=2, test=2)
    for file in (tmp_path / "broken" / "test").glob("*/*.png"):
        file.write_bytes(b"nothing")
    given = {"sets": "broken,mine", "name": "few_label", "features": "pixels"}
    found = results(run, state, tmp_path, **given)
    assert {e["protocol"] for e in found["evaluations"]} == {"few_label: mine"}
    reason = found["skipped"][0]["reason"]
    assert found["skipped"][0]["protocol"] == "few_label: broken"
    assert "none of 4 examples can be read" in reason
    assert "broken/test" in reason


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "transfers"}, "did you mean 'transfer'"),
        ({"sets": "nowhere"}, "'nowhere' is no folder"),
        ({"sets": "dtd"}, "nothing could be judged"),
        ({"data_dir": "/nowhere"}, "/nowhere is not a folder"),
        ({"data_dir": None}, "needs --data_dir"),
        ({"sets": "mine", "features": "raw"}, "no 'raw', only trained"),
        ({"baseline": "x"}, "--baseline is for suites that judge a classifier"),
        ({"name": "robustness"}, "simclr is none; take a run of the method classifier"),
    ],
)
def test_bad_input_is_named_with_its_remedy(run, state, data, settings, said):
    with pytest.raises((ValueError, OSError), match=said):
        results(run, state, data, **settings)


def test_a_flag_of_suites_asks_for_one():
    options = argparse.Namespace(
        suite=None, data_dir="x", sets=None, features=None, baseline=None
    )
    with pytest.raises(ValueError, match="--data_dir belongs to a suite"):
        evaluate(options)


def test_the_note_says_where_sizes_are_not_the_published_ones(data):
    own = DataSet(name="mine", title="Mine", sizes=(10, 5))
    tasks = over([own], lambda own, first, settings: [transfer()])
    (task,) = tasks(Asked(data_dir=data, side=16))
    assert isinstance(task, Task)
    assert "10 training and 4 test examples are here" in task.note
    own = DataSet(name="other", title="Other")
    (none,) = over([own], linear_transfer)(Asked(data_dir=data, side=16))
    assert isinstance(none, Lacking)


def test_the_twelve_are_those_of_the_papers():
    assert [each.title for each in TWELVE] == [
        *("Food-101", "CIFAR-10", "CIFAR-100", "Birdsnap", "SUN397", "Cars"),
        *("Aircraft", "VOC2007", "DTD", "Pets", "Caltech-101", "Flowers-102"),
    ]
    by_class = {each.title for each in TWELVE if each.metric == "mean_per_class"}
    assert by_class == {"Aircraft", "Pets", "Caltech-101", "Flowers-102"}
    assert {"transfer", "few_label", "few_shot"} <= SUITES.keys()


@pytest.mark.slow
def test_tfds_knows_them_by_these_names():
    import tensorflow_datasets

    for each in TWELVE:
        if each.dataset:
            assert tensorflow_datasets.builder_cls(each.dataset.partition("/")[0])


@pytest.mark.slow
def test_prepared_sets_are_opened_by_their_published_splits(data_dir):
    asked = Asked(data_dir=data_dir / "tfds", side=32)
    (cifar,) = (each for each in TWELVE if each.name == "cifar10")
    (task,) = over([cifar], linear_transfer)(asked)
    assert (len(task.train), len(task.test), task.note) == (50_000, 10_000, "")
    # Imagenette is none of the twelve: its validation part is a test part here.
    own = DataSet(
        name="x",
        title="X",
        dataset="imagenette224",
        train="train[:90%]",
        validation="train[90%:]",
        test="validation",
    )
    (task,) = over([own], linear_transfer)(asked)
    assert (len(task.train), len(task.test)) == (3500, 1000)
