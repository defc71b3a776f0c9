"""A data set is told from another by its examples and their order, not by its place."""

import shutil

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data.arrays import arrays
from jax_ssl.data.folder import folder
from jax_ssl.data.identity import identity
from jax_ssl.data.tfds import tfds
from tests.data.prepared import write_dataset


def digest(source):
    return identity(source)["digest"]


@pytest.fixture
def photos(tmp_path):
    for i in range(4):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.bmp"  # All of one size.
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (i, 0, 0)).save(path)
    return tmp_path / "photos"


def opened(root, **more):
    return folder(path=str(root), canvas=4, **more)


def test_it_says_number_and_classes(photos):
    found = identity(opened(photos, labels="folders"))
    assert found["num_examples"] == 4
    assert found["classes"] == {"label": ["a", "b"]}
    assert identity(opened(photos))["classes"] == {}


def test_a_folder_may_move_and_be_read_otherwise(photos, tmp_path):
    before = digest(opened(photos))
    shutil.copytree(photos, tmp_path / "elsewhere")
    shutil.rmtree(photos)
    assert digest(opened(tmp_path / "elsewhere", cache_gib=0.0)) == before


def swapped(root):
    (root / "a/0.bmp").rename(root / "x")
    (root / "a/2.bmp").rename(root / "a/0.bmp")
    (root / "x").rename(root / "a/2.bmp")


@pytest.mark.parametrize(
    "change",
    [
        lambda root: shutil.copy(root / "a/0.bmp", root / "a/9.bmp"),
        lambda root: (root / "a/0.bmp").unlink(),
        lambda root: (root / "a/0.bmp").rename(root / "a/1.bmp"),
        lambda root: (root / "a").rename(root / "c"),
        lambda root: Image.new("RGB", (4, 4), (9, 9, 9)).save(root / "b/3.bmp"),
        swapped,
    ],
    ids=["added", "removed", "renamed", "class renamed", "another picture", "swapped"],
)
def test_a_changed_folder_is_told(photos, change):
    before = digest(opened(photos))
    change(photos)
    assert digest(opened(photos)) != before


def test_arrays_are_told_by_every_row():
    images = np.arange(1000 * 4, dtype=np.uint8).reshape(1000, 2, 2, 1)
    label = np.arange(1000) % 3
    before = digest(arrays({"image": images, "label": label}))
    assert digest(arrays({"label": label, "image": images.copy()}, name="x")) == before
    for rows in (np.r_[0:500, 501, 500, 502:1000], np.r_[0:999], np.r_[0:1000, 0]):
        assert digest(arrays({"image": images[rows], "label": label[rows]})) != before
    other = np.where(np.arange(1000) == 777, 1 - label, label) % 3
    assert digest(arrays({"image": images, "label": other})) != before


@pytest.mark.parametrize("format", ["tfrecord", "array_record"])
def test_prepared_sets_are_told_by_their_records(tmp_path, format):
    features = pytest.importorskip("tensorflow_datasets").features
    described = features.FeaturesDict(
        {"image": features.Image(shape=(4, 4, 1), encoding_format="png")}
    )
    examples = [{"image": np.full((4, 4, 1), i, np.uint8)} for i in range(5)]

    def found(place, order, split="train"):
        shard = [examples[i] for i in order]
        write_dataset(tmp_path / place, described, {"train": [shard]}, format=format)
        return digest(tfds(dataset="toy", data_dir=str(tmp_path / place), split=split))

    for place in ("a", "b", "c", "d", "e"):
        (tmp_path / place).mkdir()
    before = found("a", range(5))
    assert found("b", range(5)) == before
    assert found("c", [0, 1, 3, 2, 4]) != before
    assert found("d", range(4)) != before
    assert found("e", range(5), "train[1:]") != before
