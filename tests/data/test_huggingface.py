"""Tables of the package `datasets` give what the same files in a folder give."""

import shutil
import sys

import numpy as np
import pytest

from jax_ssl.data.folder import folder
from jax_ssl.data.huggingface import huggingface
from jax_ssl.data.identity import identity
from jax_ssl.data.source import CorruptExamples
from tests.data.test_tar_shards import encoded


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    package = pytest.importorskip("datasets")
    cache = package.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache"
    monkeypatch.setattr(*cache)
    package.disable_progress_bars()
    return package


@pytest.fixture
def files(rng):
    """Six image files of three formats and sizes."""
    shapes = [(4 + i, 12 - i, 3) for i in range(6)]
    pixels = [rng.integers(0, 256, shape, np.uint8) for shape in shapes]
    return [encoded(x, ("JPEG", "PNG", "WEBP")[i % 3]) for i, x in enumerate(pixels)]


CLASSES = ["b", "a", "c"]


def table(datasets, files, **columns):
    cells = [{"bytes": data, "path": None} for data in files]
    kinds = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=CLASSES),
        **{name: datasets.Value("string") for name in columns},
    )
    labels = [i % 3 for i in range(len(files))]
    given = {"image": cells, "label": labels, **columns}
    return datasets.Dataset.from_dict(given, features=kinds)


def test_saved_tables_and_parquet_give_what_a_folder_gives(datasets, files, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, data in enumerate(files):
        (flat / f"{i}.{('jpg', 'png', 'webp')[i % 3]}").write_bytes(data)
    expected = folder(path=str(flat), canvas=8)
    made = table(datasets, files)
    made.save_to_disk(tmp_path / "saved")
    parts = {"train": made, "test": made.select([4, 1])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "both")
    for name, part in parts.items():
        (tmp_path / "parquet").mkdir(exist_ok=True)
        part.to_parquet(tmp_path / "parquet" / f"{name}-00000-of-00001.parquet")
    rows, seen = np.array([5, 0, 3, 3, 1]), []
    for place, split in (("saved", ""), ("both", "train"), ("parquet", "train")):
        source = huggingface(
            dataset=str(tmp_path / place), split=split, canvas=8, cache_gib=0.0
        )
        assert source.name == f"{place} {split}".strip()
        assert source.fields["label"].names == tuple(CLASSES)
        found = source[rows]
        assert found["label"].tolist() == (rows % 3).tolist()
        for name, values in expected[rows].items():
            np.testing.assert_array_equal(found[name], values)
        np.testing.assert_array_equal(source.raw(6)[1], expected.raw(6)[1])
        seen.append(identity(source))
    assert seen[1:] == seen[:-1]
    for place in ("both", "parquet"):
        test = huggingface(dataset=str(tmp_path / place), split="test", canvas=8)
        assert len(test) == 2
        assert test[np.arange(2)]["label"].tolist() == [1, 1]
        with pytest.raises(ValueError, match=r"data\.split = '(val)?'.*train"):
            huggingface(dataset=str(tmp_path / place), split="val" * (place == "both"))
    part = huggingface(dataset=str(tmp_path / "parquet"), split="train[2:4]", canvas=8)
    assert part[np.arange(2)]["label"].tolist() == [2, 0]
    # Another picture in a row is another data set.
    shutil.rmtree(tmp_path / "saved")
    table(datasets, [*files[:5], files[0]]).save_to_disk(tmp_path / "saved")
    again = identity(huggingface(dataset=str(tmp_path / "saved"), canvas=8))
    assert again["digest"] != seen[0]["digest"]
    with pytest.raises(ValueError, match=r"saved as one part.*data\.split empty"):
        huggingface(dataset=str(tmp_path / "saved"), split="val")


def test_columns_are_chosen_and_broken_images_named(datasets, files, tmp_path):
    words = ["owl", "cat", None, "owl", "cat", "dog"]
    broken = [*files[:3], b"no image", files[4], files[5]]
    made = table(datasets, broken, kind=words).remove_columns("label")
    made.save_to_disk(tmp_path / "x")
    path = str(tmp_path / "x")
    assert "label" not in huggingface(dataset=path, canvas=8).fields
    source = huggingface(dataset=path, canvas=8, label_key="kind", cache_gib=0.0)
    assert source.fields["label"].names == ("cat", "dog", "owl")
    labels = source.keep(["label"])[np.arange(6)]["label"]
    assert labels.tolist() == [2, 0, -1, 2, 0, 1]
    with pytest.raises(CorruptExamples, match="x, row 3: ValueError: not an image"):
        source[np.arange(6)]
    with pytest.raises(ValueError, match=r"image_key = 'kind'.*may are image, of"):
        huggingface(dataset=path, image_key="kind")
    with pytest.raises(ValueError, match=r"label_key = 'image'.*may be are kind, of"):
        huggingface(dataset=path, label_key="image")
    with pytest.raises(ValueError, match=r"x, row 0: it has 3 bands"):
        huggingface(dataset=path, channels=4)


def test_tables_that_other_tools_wrote_are_read(datasets, files, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    (tmp_path / "one.png").write_bytes(files[1])
    cells = [{"bytes": data, "path": "x"} for data in files]
    cells[1] = {"bytes": None, "path": str(tmp_path / "one.png")}
    columns = {"pair": cells, "data": files, "label": [0, 1, 2, 3, 4, -5]}
    (tmp_path / "set").mkdir()
    parquet.write_table(pa.table(columns), tmp_path / "set" / "train.parquet")
    path = str(tmp_path / "set")
    with pytest.raises(ValueError, match="row 5 has the label -5, which is no class"):
        huggingface(dataset=path, image_key="pair")
    columns["label"][5] = None
    parquet.write_table(pa.table(columns), tmp_path / "set" / "train.parquet")
    with pytest.raises(ValueError, match="those that may are pair, data, of"):
        huggingface(dataset=path)
    pair = huggingface(dataset=path, image_key="pair", canvas=8)[np.arange(6)]
    data = huggingface(dataset=path, image_key="data", canvas=8)[np.arange(6)]
    assert pair["label"].tolist() == [0, 1, 2, 3, 4, -1]
    np.testing.assert_array_equal(pair["image"], data["image"])
    assert pair["image"][:, :4].any((1, 2, 3)).all()


def test_names_on_the_hub_go_to_the_package(datasets, files, monkeypatch):
    asked = []

    def load_dataset(*names, **settings):
        asked.append((*names, settings))
        if names[0] == "no/such":
            raise FileNotFoundError("Dataset 'no/such' doesn't exist on the Hub\nmore")
        return table(datasets, files)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = huggingface(dataset="some/set", subset="small", split="train", canvas=8)
    assert source.name == "some/set small train"
    assert asked == [("some/set", "small", {"split": "train"})]
    with pytest.raises(FileNotFoundError, match=r"data\.dataset = 'no/such'.*Hub$"):
        huggingface(dataset="no/such", split="train")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"pip install 'jax_ssl\[hf\]'"):
        huggingface(dataset="some/set", split="train")
    with pytest.raises(FileNotFoundError, match=r"data\.dataset = '/nowhere' is not a"):
        huggingface(dataset="/nowhere", split="train")
