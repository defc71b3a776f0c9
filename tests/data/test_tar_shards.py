"""Tar shards give what the same files in a folder give, in any order."""

import gzip
import io
import json
import os
import pathlib
import tarfile

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data import scans, tars
from jax_ssl.data.folder import folder
from jax_ssl.data.identity import identity
from jax_ssl.data.source import CorruptExamples
from jax_ssl.data.tar_shards import tar_shards
from jax_ssl.data.tars import shards_of

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path, members):
    """A tar file of (name, bytes)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def encoded(pixels, format):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


@pytest.fixture
def pictures(rng):
    """Ten files of three formats and several sizes, and their classes."""
    made = []
    for i in range(10):
        pixels = rng.integers(0, 256, (4 + i, 12 - i, 3), np.uint8)
        format = ("JPEG", "PNG", "WEBP")[i % 3]
        suffix = {"JPEG": "JPG", "PNG": "png", "WEBP": "webp"}[format]
        made.append((f"{i:02}", suffix, encoded(pixels, format), i % 3))
    return made


def members(pictures):
    for key, suffix, data, label in pictures:
        i, image = int(key), (f"{key}.{suffix}", data)
        said = [
            (f"{key}.cls", b"%d\n" % label),
            (f"{key}.txt", CLASSES[label].encode()),
            (f"{key}.json", json.dumps({"label": CLASSES[label], "id": i}).encode()),
        ]
        yield from [image, *said] if i % 2 else [*said, image]


@pytest.fixture
def shards(tmp_path, pictures):
    parts = pictures[:4], pictures[4:7], pictures[7:]
    for i, part in enumerate(parts):
        write(tmp_path / "shards" / f"train-{i:04}.tar", members(part))
    return str(tmp_path / "shards" / "train-{0000..0002}.tar")


def test_rows_are_those_of_the_same_files_in_a_folder(shards, pictures, tmp_path):
    for key, suffix, data, label in pictures:
        path = tmp_path / "folder" / CLASSES[label] / f"{key}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    flat = folder(path=str(tmp_path / "folder"), canvas=8, labels="folders")
    ours = tar_shards(path=shards, canvas=8, labels="txt", cache_gib=0.0)
    assert len(ours) == 10
    assert ours.fields == flat.fields
    # In the folder the files of one class lie together.
    there = sorted(range(10), key=lambda i: (i % 3, i))
    rows = np.array([7, 0, 9, 3, 3, 8, 1, 2])
    expected = flat[np.array([there.index(row) for row in rows])]
    found = ours[rows]
    assert found["index"].tolist() == rows.tolist()
    for name in ("image", "label", "size", "scale"):
        np.testing.assert_array_equal(found[name], expected[name])
    np.testing.assert_array_equal(ours.raw(10)[1], flat.raw(10)[there.index(1)])


@pytest.mark.parametrize(
    ("labels", "names"), [("cls", None), ("txt", CLASSES), ("json", CLASSES)]
)
def test_labels_are_numbers_or_words(shards, labels, names):
    source = tar_shards(path=shards, canvas=8, labels=labels)
    assert source.fields["label"].names == names
    found = source.keep(["label"])[np.arange(10)]["label"]
    assert found.tolist() == [i % 3 for i in range(10)]
    assert found.dtype == np.int32
    ids = tar_shards(path=shards, canvas=8, labels="json", label_key="id")
    assert ids[np.arange(10)]["label"].tolist() == list(range(10))
    assert "label" not in tar_shards(path=shards, canvas=8).fields


def test_patterns_and_splits_choose_shards(shards, tmp_path):
    root = os.path.dirname(shards)
    write(tmp_path / "shards" / "val-0.tar", [("x.png", b"no image")])
    write(tmp_path / "deep" / "test" / "b.tar", [])
    train = tuple(f"{root}/train-000{i}.tar" for i in range(3))
    for path, split in (
        (shards, ""),
        (f"{root}/train-*.tar", ""),
        (f"{root}/train-000{{0,1,2}}.tar", ""),
        (f"{root}/{{split}}-0*.tar", "train"),
        (root, "train"),
    ):
        assert shards_of(path, split) == train
    assert shards_of(root, "") == (*train, f"{root}/val-0.tar")
    assert shards_of(f"{root}/{{val,train}}-*0.tar", "") == (
        f"{root}/val-0.tar",
        train[0],
    )
    assert shards_of(str(tmp_path / "deep"), "test") == (f"{tmp_path}/deep/test/b.tar",)


@pytest.mark.parametrize(
    ("pattern", "split", "message"),
    [
        ("no-*.tar", "", r"data\.path: no file matches '.*no-\*\.tar'"),
        ("train-{0000..0004}.tar", "", r"2 of the 5 shards are not there.*0003"),
        ("train-{x}.tar", "", r"\{x\} is neither a range"),
        ("train-{3..1}.tar", "", "counts down"),
        ("train-{0..999999}.tar", "", "more than 100000 files"),
        ("{split}-*.tar", "", r"set data\.split"),
        ("train-*.tar", "val", r"data\.split = 'val' has no place"),
        ("", "val", "no tar file whose name begins with 'val', but 3 others"),
        ("gone.tar", "", r"data\.path = .*gone\.tar' is not a file"),
    ],
)
def test_patterns_of_nothing_are_refused(shards, pattern, split, message):
    path = os.path.join(os.path.dirname(shards), pattern)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        tar_shards(path=path, split=split)


def test_a_shard_is_scanned_once_until_it_changes(shards, pictures, monkeypatch):
    scanned, scan = [], tars._scan
    monkeypatch.setattr(tars, "_scan", lambda *a: scanned.append(a) or scan(*a))
    before = identity(tar_shards(path=shards, canvas=8, labels="cls"))
    source = tar_shards(path=shards, canvas=8, labels="cls", cache_gib=0.0)
    assert identity(source) == before
    assert len(scanned) == 3
    changed = [*pictures[4:6], ("06", "png", pictures[7][2], 0)]
    write(pathlib.Path(source.shards[1]), members(changed))
    with pytest.raises(CorruptExamples, match="has changed") as error:
        source[np.arange(10)]
    assert set(error.value.reasons) == {4, 5, 6}
    assert f"{source.shards[1]}, 05.webp: " in error.value.reasons[5]
    again = identity(tar_shards(path=shards, canvas=8, labels="cls"))
    assert len(scanned) == 4
    assert again["num_examples"] == 10
    assert again["digest"] != before["digest"]


def test_without_a_cache_folder_shards_are_scanned_anew(shards, monkeypatch):
    def no_folder(name):
        raise PermissionError("read-only")

    monkeypatch.setattr(scans, "cache_folder", no_folder)
    assert len(tar_shards(path=shards, canvas=8)) == 10


def test_the_same_samples_are_the_same_data_in_other_shards(shards, pictures, tmp_path):
    one = write(tmp_path / "one.tar", members(pictures))
    found = identity(tar_shards(path=str(one), canvas=8, labels="cls"))
    assert found == identity(tar_shards(path=shards, canvas=8, labels="cls"))
    # The label alone is another.
    last = (*pictures[-1][:3], 2)
    write(one, members([*pictures[:-1], last]))
    other = identity(tar_shards(path=str(one), canvas=8, labels="cls"))
    assert other["digest"] != found["digest"]


def test_broken_members_are_named_with_their_shard(tmp_path, pictures):
    good = pictures[1][2]
    broken = [("a/x.png", good), ("a/y.png", good[:60]), ("z.png", b"")]
    path = write(tmp_path / "broken.tar", broken)
    source = tar_shards(path=str(path), canvas=16, cache_gib=0.0)
    with pytest.raises(CorruptExamples) as error:
        source[np.arange(3)]
    reasons = error.value.reasons
    assert set(reasons) == {1, 2}
    assert reasons[1].startswith(f"{path}, a/y.png: ")
    assert reasons[2] == f"{path}, z.png: ValueError: the member is empty"


def test_members_that_are_no_samples_are_left_out(tmp_path, pictures, caplog):
    good = pictures[1][2]
    names = ["__meta__/a.png", "._a.png", "a.png", "README", "b.left.png", "c.txt"]
    path = write(tmp_path / "some.tar", [(name, good) for name in names])
    source = tar_shards(path=str(path), canvas=16)
    assert source.source.members == ("a.png",)
    (said,) = (record.getMessage() for record in caplog.records)
    assert "left out 2 samples without an image, such as b in" in said
    left = tar_shards(path=str(path), canvas=16, image_key="LEFT.png")
    assert left.source.members == ("b.left.png",)


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (["a.png", "a.png"], {}, r"x\.tar holds two members a\.png"),
        (
            ["a.png", "a.jpg"],
            {},
            r"x\.tar, a has several images, png, jpg; set data\.i",
        ),
        (["a.png"], {"labels": "cls"}, r"x\.tar, a has no member \.cls, but png"),
        (["a.png", "a.cls"], {"labels": "cls"}, r"x\.tar, a\.cls is no label"),
        (["a.txt"], {}, r"no member of its 1 shards is an image.*'txt'"),
        (["a.png"], {"image_key": "jpg"}, r"ends in \.jpg \(data\.image_key\)"),
        (["a.png"], {"channels": 4}, r"x\.tar, a\.png: it has 3 bands"),
        (["a.png"], {"labels": "folders"}, "labels = 'folders' must be one of"),
    ],
)
def test_shards_that_do_not_fit_are_refused(
    tmp_path, pictures, names, settings, message
):
    write(tmp_path / "x.tar", [(name, pictures[1][2]) for name in names])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        tar_shards(path=str(tmp_path / "x.tar"), canvas=16, **settings)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"-2", r"a: the label -2 is no class"),
        (b"5000000000", r"a: the label 5000000000 is no class"),
        (b"", r"a\.cls is no label: '' is neither"),
    ],
)
def test_numbers_that_are_no_classes_are_refused(tmp_path, pictures, said, message):
    write(tmp_path / "x.tar", [("a.png", pictures[1][2]), ("a.cls", said)])
    with pytest.raises(ValueError, match=message):
        tar_shards(path=str(tmp_path / "x.tar"), labels="cls")


def test_json_without_the_name_says_what_is_there(shards):
    with pytest.raises(ValueError, match=r"00\.json is no label: .*'class' .*'label'"):
        tar_shards(path=shards, labels="json", label_key="class")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:1000], "ends inside the member '00.cls'|damaged"),
        (lambda data: data[: len(data) // 2], "is damaged or no tar file"),
        (lambda data: data[:1024] + b"x" * 512 + data[1536:], "no header of a member"),
        (lambda data: b"x" * len(data), "is damaged or no tar file"),
        (gzip.compress, "compressed by gzip"),
        (lambda data: b"", "empty"),
    ],
)
def test_damaged_shards_are_refused(shards, damage, message):
    path = pathlib.Path(shards.replace("{0000..0002}", "0000"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        tar_shards(path=str(path))


def test_long_names_and_other_tools_headers_are_read(tmp_path, pictures):
    name = "/".join(["folder" * 10] * 5) + "/é.png"
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / f"{format}.tar"
        with tarfile.open(path, "w", format=format) as archive:
            info = tarfile.TarInfo(name)
            info.size = len(pictures[1][2])
            archive.addfile(info, io.BytesIO(pictures[1][2]))
        source = tar_shards(path=str(path), canvas=16)
        assert source.source.members == (name,)
        assert source[np.array([0])]["size"].tolist() == [[5, 11]]
