"""Data in a bucket, of which a folder here stands for one, are those of that folder."""

import pathlib
import shutil

import numpy as np
import pytest

from jax_ssl.data import places, tfrecord
from jax_ssl.data.folder import folder
from jax_ssl.data.identity import identity
from jax_ssl.data.source import CorruptExamples
from jax_ssl.data.tar_shards import tar_shards
from jax_ssl.data.tfds import tfds
from jax_ssl.data.tfrecord import record_spans
from tests.data.prepared import write_dataset
from tests.data.test_folder import save
from tests.data.test_tar_shards import write

gpath = pytest.importorskip("etils.epath.gpath")
dirfs = pytest.importorskip("fsspec.implementations.dirfs")
local = pytest.importorskip("fsspec.implementations.local")


class Bucket(dirfs.DirFileSystem):
    """A bucket whose objects are the files of a folder here."""

    protocol = ("gs", "gcs")
    cachable = False


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """The folder that gs://bucket stands for."""
    made = Bucket(path=str(tmp_path), fs=local.LocalFileSystem())
    backend = type(gpath.backend_lib.fsspec_backend)
    monkeypatch.setattr(backend, "_get_filesystem", lambda self, name: made)
    monkeypatch.setattr(gpath, "_is_tf_installed", lambda: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


def same(a, b):
    assert identity(a) == identity(b)
    assert a.fields == b.fields
    rows = np.array([2, 0, 1, 2])
    here, there = a[rows], b[rows]
    for name in a.fields:
        np.testing.assert_array_equal(here[name], there[name])


def test_a_folder_in_a_bucket_is_that_folder(bucket):
    for i, name in enumerate(("dog/1.png", "cat/x/2.PNG", "cat/3.jpg", "dog/.4.png")):
        save(bucket / "my" / "train" / name, (i, 0, 0), (9, 4))
    save(bucket / "my" / "train" / ".git" / "5.png", (9, 9, 9))
    (bucket / "my" / "notes.txt").write_text("no image")
    settings = {"split": "train", "labels": "folders", "canvas": 6}
    here = folder(path=str(bucket / "my"), **settings)
    assert len(here) == 3
    for path in ("gs://bucket/my", "gs://bucket/my/", f"file://{bucket}/my"):
        there = folder(path=path, **settings)
        assert there.name == here.name == "my train"
        same(there, here)
    (bucket / "only.txt").write_text("3\n1.png\n")
    listed = folder(path="gs://bucket/my", only="gs://bucket/only.txt", **settings)
    assert listed.source.files == ("cat/3.jpg", "dog/1.png")


def test_broken_objects_are_named(bucket):
    save(bucket / "a.png", (1, 0, 0))
    (bucket / "b.png").write_bytes(b"")
    (bucket / "c.png").write_text("no image")
    with pytest.raises(CorruptExamples) as error:
        folder(path="gs://bucket", canvas=4, cache_gib=0.0)[np.arange(3)]
    reasons = error.value.reasons
    assert reasons[1] == "gs://bucket/b.png: ValueError: the file is empty"
    assert reasons[2].startswith("gs://bucket/c.png: ")


def test_shards_in_a_bucket_are_those_shards(bucket, monkeypatch):
    for i in range(3):
        save(bucket / f"{i}.png", (i, 2, 3))
        data = (bucket / f"{i}.png").read_bytes()
        said = (f"{i}.cls", b"%d" % i)
        write(bucket / "tars" / f"train-{i}.tar", [(f"{i}.png", data), said])
    here = tar_shards(path=str(bucket / "tars"), labels="cls", canvas=8)
    for path in ("tars", "tars/train-{0..2}.tar", "ta*/train-*.tar"):
        there = tar_shards(path=f"gs://bucket/{path}", labels="cls", canvas=8)
        assert there.source.shards[0] == "gs://bucket/tars/train-0.tar"
        same(there, here)
    with pytest.raises(FileNotFoundError, match="no file matches 'gs://bucket/x"):
        tar_shards(path="gs://bucket/x*.tar")
    with pytest.raises(FileNotFoundError, match="1 of the 2 shards are not there"):
        tar_shards(path="gs://bucket/tars/train-{2,3}.tar")


def test_a_prepared_set_in_a_bucket_is_that_set(bucket, rng, monkeypatch):
    features = pytest.importorskip("tensorflow_datasets").features
    described = features.FeaturesDict(
        {"image": features.Image(shape=(4, 4, 1), encoding_format="png")}
    )
    images = rng.integers(0, 256, (5, 4, 4, 1), np.uint8)
    shards = [[{"image": image} for image in part] for part in (images[:2], images[2:])]
    write_dataset(bucket / "sets", described, {"train": shards})
    settings = {"dataset": "toy", "split": "train"}
    here = tfds(data_dir=str(bucket / "sets"), **settings)
    same(tfds(data_dir=f"file://{bucket}/sets", **settings), here)
    same(tfds(data_dir="gs://bucket/sets", **settings), here)
    # What the scan found is kept, and not found anew.
    monkeypatch.setattr(tfrecord, "reading", None)
    (name, _) = sorted((bucket / "sets" / "toy" / "1.0.0").glob("*tfrecord*"))
    address = f"gs://bucket/sets/toy/1.0.0/{name.name}"
    np.testing.assert_array_equal(record_spans(address), record_spans(str(name)))


def test_array_records_in_a_bucket_are_refused(bucket):
    features = pytest.importorskip("tensorflow_datasets").features
    described = features.FeaturesDict({"label": features.ClassLabel(num_classes=2)})
    splits = {"train": [[{"label": 0}]]}
    (bucket / "sets").mkdir()
    write_dataset(bucket / "sets", described, splits, format="array_record")
    with pytest.raises(ValueError, match="array_record, which cannot be read from"):
        tfds(dataset="toy", data_dir="gs://bucket/sets", split="train")


def test_what_is_not_there_or_not_reached_is_said(bucket, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"data\.path = 'gs://bucket/no' is an"):
        folder(path="gs://bucket/no")
    with pytest.raises(FileNotFoundError, match="'train' is not a folder in 'gs://"):
        folder(path="gs://bucket", split="train")
    with pytest.raises(FileNotFoundError, match=r"data\.data_dir = 'gs://bucket/no'"):
        tfds(dataset="toy", data_dir="gs://bucket/no", split="train")
    with pytest.raises(FileNotFoundError, match=r"of a kind that is not read.*gs://"):
        folder(path="http://host/images")
    for error, message in (
        (ImportError("Please install gcsfs"), "pip install gcsfs for gs://"),
        (KeyError("no credentials"), "cannot be reached: KeyError: 'no credentials'"),
    ):

        def fail(self, name, error=error):
            raise error

        backend = type(gpath.backend_lib.fsspec_backend)
        monkeypatch.setattr(backend, "_get_filesystem", fail)
        with pytest.raises(ValueError, match=message):
            folder(path="gs://bucket/my")


def test_a_part_of_an_object_is_read_alone(bucket, monkeypatch):
    (bucket / "x").write_bytes(bytes(range(100)))
    asked, real = [], local.LocalFileSystem.cat_file

    def cat_file(self, path, start=None, end=None, **more):
        asked.append((start, end))
        return real(self, path, start=start, end=end, **more)

    monkeypatch.setattr(local.LocalFileSystem, "cat_file", cat_file)
    assert places.part_of("gs://bucket/x", 7, 3) == bytes([7, 8, 9])
    assert asked == [(7, 10)]
    for path in ("gs://bucket/x", str(bucket / "x")):
        with pytest.raises(OSError, match="only 2 of 3 bytes"):
            places.part_of(path, 98, 3)
    shutil.rmtree(pathlib.Path(bucket))
    with pytest.raises(OSError, match="x"):
        places.part_of("gs://bucket/x", 0, 1)
