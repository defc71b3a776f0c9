import io
import pathlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from jax_ssl.core.fields import Field
from jax_ssl.data import tfds_features
from jax_ssl.data.cache import load
from jax_ssl.data.corrupt import Reader, TooManyCorrupt
from jax_ssl.data.order import batches, sweep
from jax_ssl.data.source import CorruptExamples
from jax_ssl.data.tfds import tfds
from tests.data.prepared import write_dataset

official = pytest.importorskip("tensorflow_datasets")
features = official.features


def toy_features(shape=(6, 5, 3), **more):
    return features.FeaturesDict(
        {
            "image": features.Image(shape=shape, encoding_format="png"),
            "label": features.ClassLabel(names=["cat", "dog", "owl"]),
            "file_name": features.Text(),
            **more,
        }
    )


def toy_examples(rng, num_examples, shape=(6, 5, 3)):
    return [
        {
            "image": rng.integers(0, 256, shape, np.uint8),
            "label": i % 3,
            "file_name": f"{i}.png",
        }
        for i in range(num_examples)
    ]


@pytest.fixture(params=["tfrecord", "array_record"])
def toy(request, tmp_path, rng):
    """A data set of 9 + 4 images of one shape, in shards of 4, 3, 2 and of 4."""
    examples = toy_examples(rng, 13)
    train = [examples[:4], examples[4:7], examples[7:9]]
    splits = {"train": train, "test": [examples[9:]]}
    write_dataset(tmp_path, toy_features(), splits, format=request.param)
    return str(tmp_path), examples


def test_rows_of_both_formats_are_what_was_written(toy):
    data_dir, examples = toy
    source = tfds(dataset="toy", data_dir=data_dir, split="train")
    assert len(source) == 9
    assert source.fields["label"].names == ("cat", "dog", "owl")
    rows = np.array([8, 0, 4, 3, 8])
    batch = source[rows]
    assert set(batch) == set(source.fields) == {"image", "index", "label"}
    for name, leaf in source.fields.items():
        assert batch[name].shape == (5, *leaf.shape)
        assert batch[name].dtype == leaf.dtype
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(batch["image"][place], examples[row]["image"])
    assert batch["label"].tolist() == (rows % 3).tolist()
    assert batch["index"].tolist() == rows.tolist()


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train[2:5]", [2, 3, 4]),
        ("train[-2:]", [7, 8]),
        ("train[:50%]", [0, 1, 2, 3]),
        ("train[7:]+test[:25%]", [7, 8, 9]),
        ("test", [9, 10, 11, 12]),
    ],
)
def test_parts_of_splits(toy, split, expected):
    data_dir, examples = toy
    source = tfds(dataset="toy", data_dir=data_dir, split=split)
    images = source[np.arange(len(source))]["image"]
    np.testing.assert_array_equal(images, [examples[i]["image"] for i in expected])


def test_threads_read_the_same(toy):
    data_dir, examples = toy
    for cache_gib in (0.0, 1.0):
        source = tfds(
            dataset="toy", data_dir=data_dir, split="train", cache_gib=cache_gib
        )
        stream = batches(source, seed=0, batch_size=9, stop=20, workers=8)
        for batch in stream:
            for image, row in zip(batch["image"], batch["index"], strict=True):
                np.testing.assert_array_equal(image, examples[row]["image"])


def test_images_of_any_size_need_a_canvas(tmp_path, rng):
    shapes = [(6, 5, 3), (3, 12, 3), (9, 9, 3)]
    examples = [toy_examples(rng, 1, shape)[0] for shape in shapes]
    write_dataset(tmp_path, toy_features((None, None, 3)), {"train": [examples]})
    settings = {"dataset": "toy", "data_dir": str(tmp_path), "split": "train"}
    with pytest.raises(ValueError, match=r"any size; set data\.canvas"):
        tfds(**settings)
    with pytest.raises(ValueError, match=r"data\.canvas = 0"):
        tfds(**settings, canvas=0)
    source = tfds(**settings, canvas=9)
    assert source.fields["image"].shape == (9, 9, 3)
    batch = source[np.arange(3)]
    assert batch["size"].tolist() == [[6, 5], [2, 9], [9, 9]]
    np.testing.assert_array_equal(batch["image"][0, :6, :5], examples[0]["image"])
    assert not batch["image"][1, 2:].any()


def test_grey_images_keep_one_channel_and_labels_are_optional(tmp_path, rng):
    described = features.FeaturesDict({"picture": features.Image(shape=(4, 4, 1))})
    images = rng.integers(0, 256, (3, 4, 4, 1), np.uint8)
    write_dataset(tmp_path, described, {"train": [[{"picture": i} for i in images]]})
    source = tfds(dataset="toy", data_dir=str(tmp_path), split="train")
    assert set(source.fields) == {"image", "index"}
    np.testing.assert_array_equal(source[np.arange(3)]["image"], images)
    assert source[np.array([], int)]["image"].shape == (0, 4, 4, 1)


def test_features_are_chosen_by_name_where_none_is_obvious(tmp_path, rng):
    described = features.FeaturesDict(
        {
            "left": features.Image(shape=(4, 4, 3)),
            "right": features.Image(shape=(4, 4, 3)),
            "coarse": features.ClassLabel(num_classes=2),
            "fine": features.ClassLabel(num_classes=9),
        }
    )
    left, right = rng.integers(0, 256, (2, 4, 4, 3), np.uint8)
    example = {"left": left, "right": right, "coarse": 1, "fine": 7}
    write_dataset(tmp_path, described, {"train": [[example]]})
    settings = {"dataset": "toy", "data_dir": str(tmp_path), "split": "train"}
    with pytest.raises(ValueError, match="'coarse' is not of the kind 'image'"):
        tfds(**settings, image_key="coarse")
    with pytest.raises(
        ValueError, match=r"'left' .* those that are: .*'coarse'.*'fine'"
    ):
        tfds(**settings, image_key="left", label_key="left")
    assert set(tfds(**settings).fields) == {"left", "right", "coarse", "fine", "index"}
    chosen = tfds(**settings, image_key="left").fields
    assert set(chosen) == {"image", "right", "coarse", "fine", "index"}
    batch = tfds(**settings, image_key="right", label_key="fine")[np.array([0])]
    np.testing.assert_array_equal(batch["image"][0], right)
    assert batch["label"].tolist() == [7]


def test_images_that_are_not_bytes_are_refused(tmp_path, rng):
    deep = features.Image(shape=(4, 4, 1), dtype=np.uint16)
    image = rng.integers(0, 65536, (4, 4, 1), np.uint16)
    write_dataset(
        tmp_path, features.FeaturesDict({"image": deep}), {"a": [[{"image": image}]]}
    )
    with pytest.raises(ValueError, match=r"uint16 cannot be read .*set data\.range"):
        tfds(dataset="toy", data_dir=str(tmp_path), split="a")
    source = tfds(
        dataset="toy", data_dir=str(tmp_path), split="a", range=(1000, 50_000)
    )
    expected = np.rint(255 * ((image - 1000.0) / 49_000).clip(0, 1))
    np.testing.assert_array_equal(source[np.arange(1)]["image"][0], expected)


def scene_features(side, **more):
    """What a data set of road scenes may hold, with pictures of any size or one."""
    box = {
        "bbox": features.BBoxFeature(),
        "label": features.ClassLabel(names=list("ab")),
    }
    return features.FeaturesDict(
        {
            "image": features.Image(shape=(side, side, 3), encoding_format="png"),
            "mask": features.LabeledImage(labels=4, shape=(side, side, 1)),
            "deep": features.Image(shape=(side, side, 1), dtype=np.uint16),
            "flow": features.Tensor(shape=(8, 12, 2), dtype=np.float32),
            "camera": features.Tensor(shape=(3, 3), dtype=np.float32),
            "objects": features.Sequence(box),
            "face": features.BBoxFeature(),
            "tags": features.Sequence(features.ClassLabel(num_classes=4)),
            "speed": features.Tensor(shape=(), dtype=np.float32),
            "caption": features.Text(),
            **more,
        }
    )


def scene(rng):
    boxes = [
        {"bbox": features.BBox(0.25, 0.5, 0.75, 1.0), "label": 1},
        {"bbox": features.BBox(0.0, 0.0, 0.5, 0.25), "label": 0},
    ]
    return {
        "image": rng.integers(0, 256, (8, 12, 3), np.uint8),
        "mask": rng.integers(0, 4, (8, 12, 1), np.uint8),
        "deep": rng.integers(0, 65536, (8, 12, 1), np.uint16),
        "flow": rng.normal(size=(8, 12, 2)).astype(np.float32),
        "camera": np.float32([[10, 0, 5.5], [0, 10, 3.5], [0, 0, 1]]),
        "objects": boxes,
        "face": features.BBox(0.0, 0.0, 1.0, 0.5),
        "tags": [3, 1],
        "speed": 2.0,
        "caption": "a road",
    }


@pytest.fixture
def scenes(tmp_path, rng):
    """A data set of one scene of 8 x 12 pixels, with all that belongs to it."""
    example = scene(rng)
    example["flow"][3, 3] = np.nan
    write_dataset(tmp_path, scene_features(None), {"train": [[example]]})
    settings = {"dataset": "toy", "data_dir": str(tmp_path), "split": "train"}
    return example, settings


ALL = {
    "canvas": (6, 6),
    "fields": {"deep": "depth", "flow": "flow"},
    "lengths": {"objects": 3},
    "cache_gib": 0.0,
}


def test_features_become_fields_of_their_obvious_kinds(scenes):
    example, settings = scenes
    source = tfds(**settings, **ALL)
    kinds = {name: field.kind for name, field in source.fields.items()}
    assert kinds == {
        "image": "image",
        "mask": "mask",
        "deep": "depth",
        "flow": "flow",
        "camera": "matrix",
        "objects": "boxes",
        "face": "boxes",
        "tags": "labels",
        "index": "index",
        "size": "size",
        "scale": "scale",
    }
    assert source.fields["objects"].names == ("a", "b")
    rows = source[np.array([0])]
    for name, field in source.fields.items():
        assert rows[name].shape == (1, *field.shape)
        assert rows[name].dtype == field.dtype
    assert rows["size"].tolist() == [[4, 6]]  # Half of 8 x 12.
    assert rows["scale"].tolist() == [[0.5, 0.5]]
    assert rows["tags"].tolist() == [[0, 1, 0, 1]]
    boxes = [[1, 3, 1, 6, 3], [0, 0, 0, 1.5, 2], [-1] * 5]
    assert rows["objects"].tolist() == [boxes]
    assert rows["face"].tolist() == [[[0, 0, 0, 3, 4]]]
    # The nearest pixel to the middle between two is the second.
    for name, stored in (("mask", example["mask"]), ("deep", example["deep"])):
        np.testing.assert_array_equal(rows[name][0, :4], stored[1::2, 1::2, 0])
    assert (rows["mask"][0, 4:] == 255).all()
    flow = np.nan_to_num(example["flow"][1::2, 1::2]) / 2
    np.testing.assert_allclose(rows["flow"][0, :4, :, :2], flow, rtol=1e-6)
    assert rows["flow"][0, ..., 2].sum() == 23
    np.testing.assert_allclose(rows["camera"][0, :2, 2], [5.5 / 2 - 0.25, 1.5])


def test_what_has_no_shape_or_kind_by_itself_must_be_named(scenes):
    example, settings = scenes
    del example
    plain = tfds(**settings, canvas=6).fields
    assert set(plain) == {
        *("image", "mask", "camera", "face", "tags", "index", "size", "scale")
    }
    for changes, message in (
        ({"fields": {"objects": "boxes"}}, r"'objects' \(boxes\) .* data\.lengths"),
        ({"fields": {"dept": "depth"}}, r"no feature 'dept' .*'deep'"),
        ({"fields": {"caption": "depth"}}, "caption: Text.* cannot be of kind 'depth'"),
        ({"fields": {"deep": "image"}}, "uint16 cannot be read"),
        ({"fields": {"tags": "boxes"}}, "holds no boxes"),
    ):
        with pytest.raises(ValueError, match=message):
            tfds(**settings, canvas=6, **changes)


def test_only_what_is_kept_is_decoded(scenes, monkeypatch):
    _, settings = scenes
    source = tfds(**settings, **ALL)
    decoded = []
    for name in ("decode", "stored_values"):
        own = getattr(tfds_features, name)
        monkeypatch.setattr(
            tfds_features,
            name,
            lambda data, own=own, **more: decoded.append(own) or own(data, **more),
        )
    part = source.keep(["tags", "camera"])  # The camera needs the picture's size.
    whole = source[np.array([0])]
    assert len(decoded) == 3
    decoded.clear()
    np.testing.assert_array_equal(part[np.array([0])]["camera"], whole["camera"])
    assert len(decoded) == 1
    decoded.clear()
    rows = source.keep(["tags"])[np.array([0])]
    assert set(rows) == {"tags", "index"}
    assert not decoded


def test_pictures_of_different_sizes_are_corrupt(tmp_path, rng):
    example = scene(rng)
    example["mask"] = example["mask"][:4]
    write_dataset(tmp_path, scene_features(None), {"train": [[example]]})
    settings = {"dataset": "toy", "data_dir": str(tmp_path), "split": "train"}
    with pytest.raises(CorruptExamples, match=r"'image': \(8, 12\).*'mask': \(4, 12\)"):
        tfds(**settings, canvas=9)[np.array([0])]


@pytest.fixture
def no_tensorflow_types(monkeypatch):
    """TFDS describes audio and video by TensorFlow's types; here by NumPy's."""
    from tensorflow_datasets.core.features import audio_feature, feature, video_feature

    class Plain:
        def __init__(self, **settings):
            pass

        def decode_audio(self, audio):
            return audio

    types = SimpleNamespace(
        dtypes=SimpleNamespace(as_dtype=lambda x: x), uint8=np.uint8
    )
    monkeypatch.setattr(audio_feature, "_EagerDecoder", Plain)
    for module in (feature, video_feature):
        monkeypatch.setattr(module, "tf", types)


@pytest.mark.usefixtures("no_tensorflow_types")
def test_audio_and_video_are_cut_or_padded_to_one_length(tmp_path, rng):
    described = features.FeaturesDict(
        {
            "audio": features.Audio(shape=(None,), dtype=np.int64, sample_rate=8000),
            "video": features.Video(shape=(None, 4, 6, 3)),
        }
    )
    waves = [rng.integers(-32768, 32768, length) for length in (5, 9)]
    films = [rng.integers(0, 256, (t, 4, 6, 3), np.uint8) for t in (3, 1)]
    examples = [
        {"audio": w, "video": list(f)} for w, f in zip(waves, films, strict=True)
    ]
    write_dataset(tmp_path, described, {"train": [examples]})
    settings = {"dataset": "toy", "data_dir": str(tmp_path), "split": "train"}
    with pytest.raises(ValueError, match=r"'audio' \(wave\) .* set data\.lengths"):
        tfds(**settings)
    source = tfds(**settings, lengths={"audio": 7, "video": 2})
    assert source.fields["wave"] == Field("wave", (7,), np.float32, rate=8000)
    assert source.fields["video"] == Field("frames", (2, 4, 6, 3), np.uint8)
    rows = source[np.arange(2)]
    padded = np.stack([np.r_[waves[0], 0, 0], waves[1][:7]])
    np.testing.assert_allclose(rows["wave"], padded / 32768, atol=1e-7)
    assert rows["length"].tolist() == [5, 7]
    assert source.keep(["length"])[np.arange(2)]["length"].tolist() == [5, 7]
    with pytest.raises(ValueError, match=r"data.wave_key = 'video' is not of the kind"):
        tfds(**settings, lengths={"audio": 7}, wave_key="video")
    np.testing.assert_array_equal(rows["video"][0], films[0][:2])
    np.testing.assert_array_equal(rows["video"][1, 0], films[1][0])
    assert not rows["video"][1, 1].any()


def test_names_versions_and_configurations_are_found(tmp_path, rng):
    examples = toy_examples(rng, 3)
    names = ("toy/1.0.0", "toy/1.10.0", "toy/1.9.0", "two/big/1.0.0", "two/small/1.0.0")
    for i, name in enumerate(names):
        split = {"train": [examples[: i % 3 + 1]]}
        write_dataset(tmp_path, toy_features(), split, name=name)

    def length(name):
        return len(tfds(dataset=name, data_dir=str(tmp_path), split="train"))

    assert length("toy") == 2  # 1.10.0, the newest by number.
    assert length("toy:1.9.0") == 3
    assert length("two/small") == 2
    with pytest.raises(FileNotFoundError, match="one of two/big, two/small"):
        length("two")
    with pytest.raises(FileNotFoundError, match=r"'toy:2\.0\.0'.*there: toy:1\.0\.0"):
        length("toy:2.0.0")
    with pytest.raises(FileNotFoundError, match=r"tfds build mnist .*--data_dir"):
        length("mnist")
    with pytest.raises(FileNotFoundError, match=r"data_dir = .* is not a folder"):
        tfds(dataset="toy", data_dir=str(tmp_path / "no"), split="train")


def test_unknown_splits_are_refused_with_those_that_are_there(toy):
    for split in ("validation", "train[", "train[:0]"):
        with pytest.raises(ValueError, match=r"data\.split = "):
            tfds(dataset="toy", data_dir=toy[0], split=split)
    with pytest.raises(ValueError, match=r"train \(9\), test \(4\)"):
        tfds(dataset="toy", data_dir=toy[0], split="validation")


@pytest.mark.parametrize(
    ("name", "size", "error", "message"),
    [
        ("dataset_info.json", None, FileNotFoundError, "is not there"),
        ("features.json", None, FileNotFoundError, "is not there"),
        ("dataset_info.json", 90, ValueError, "cut off or damaged"),
        ("features.json", 0, ValueError, "cut off or damaged"),
        ("toy-train.*-00001-of-00003", None, FileNotFoundError, "1 of the 3 files"),
        ("toy-train.*-00001-of-00003", 0, ValueError, "incomplete"),
        ("toy-train.*-00001-of-00003", -30, ValueError, "truncated|incomplete"),
    ],
)
def test_an_incomplete_download_is_named(toy, name, size, error, message):
    (file,) = (pathlib.Path(toy[0]) / "toy/1.0.0").glob(name)
    content = file.read_bytes()
    file.unlink()
    if size is not None:
        file.write_bytes(content[:size])
    with pytest.raises(error, match=message) as told:
        tfds(dataset="toy", data_dir=toy[0], split="train")
    assert str(file) in str(told.value)
    assert "copy" in str(told.value)
    assert "prepare" in str(told.value)
    if "train" in name:  # Other splits are whole.
        assert len(tfds(dataset="toy", data_dir=toy[0], split="test")) == 4


def test_a_damaged_record_is_named_and_replaced(tmp_path, rng):
    examples = toy_examples(rng, 4)
    directory = write_dataset(tmp_path, toy_features(), {"train": [examples]})
    path = directory / "toy-train.tfrecord-00000-of-00001"
    data = bytearray(path.read_bytes())
    at = [i for i in range(len(data)) if data[i : i + 4] == b"IDAT"][2]
    data[at + 4 : at + 30] = bytes(26)
    path.write_bytes(data)
    source = tfds(dataset="toy", data_dir=str(tmp_path), split="train")
    with pytest.raises(CorruptExamples, match=r"toy-train.*record 2"):
        source[np.arange(4)]
    rows = [b["index"].tolist() for b in sweep(source, batch_size=4)]
    assert rows == [[0, 1, 3, 3]]
    with pytest.raises(TooManyCorrupt, match="record 2"):
        list(sweep(source, batch_size=4, reader=Reader(source, 0.0)))


@pytest.mark.parametrize("format", ["tfrecord", "array_record"])
def test_a_record_is_numbered_in_its_own_file(tmp_path, rng, format):
    examples = toy_examples(rng, 7)
    examples[5]["image"] = io.BytesIO(b"no image")
    shards = [examples[:4], examples[4:]]
    write_dataset(tmp_path, toy_features(), {"train": shards}, format=format)
    for split, row in (("train", 5), ("train[3:]", 2), ("train[5:]", 0)):
        source = tfds(dataset="toy", data_dir=str(tmp_path), split=split)
        with pytest.raises(CorruptExamples) as error:
            source[np.arange(len(source))]
        (reason,) = error.value.reasons.items()
        assert reason[0] == row
        assert reason[1].startswith(f"toy-train.{format}-00001-of-00002, record 1: ")


def test_an_image_of_another_shape_is_corrupt(tmp_path, rng):
    written = toy_features((None, None, 3))
    examples = [*toy_examples(rng, 2), *toy_examples(rng, 1, (3, 3, 3))]
    directory = write_dataset(tmp_path, written, {"train": [examples]})
    toy_features().save_config(str(directory))
    source = tfds(dataset="toy", data_dir=str(tmp_path), split="train")
    with pytest.raises(CorruptExamples, match=r"\(3, 3, 3\), not \(6, 5, 3\)"):
        source[np.arange(3)]


def test_tensorflow_is_not_needed(toy, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # Importing it would raise.
    source = tfds(dataset="toy", data_dir=toy[0], split="train")
    assert len(source[np.arange(9)]["index"]) == 9


def test_cifar10_is_the_published_one(data_dir, rng):
    settings = {"dataset": "cifar10", "data_dir": str(data_dir / "tfds")}
    source = tfds(split="train", **settings)
    assert len(source) == 50_000
    assert len(tfds(split="test", **settings)) == 10_000
    assert source.fields["image"].shape == (32, 32, 3)
    assert source.fields["label"].names[:3] == ("airplane", "automobile", "bird")
    rows = rng.choice(50_000, 500, replace=False)
    batch = source[rows]
    # The mean of 500 images is within five of its own standard errors.
    means = batch["image"].mean((1, 2)) / 255
    error = means.std(0) / np.sqrt(500)
    assert (abs(means.mean(0) - (0.49139968, 0.48215841, 0.44653091)) < 5 * error).all()
    assert np.bincount(batch["label"], minlength=10).min() > 25


def test_cifar10_agrees_with_the_official_reader(data_dir):
    source = tfds(dataset="cifar10", data_dir=str(data_dir / "tfds"), split="test")
    builder = official.builder_from_directory(str(data_dir / "tfds/cifar10/3.0.2"))
    for row in (0, 1, 4999, 9999):
        raw = source.source.records[row]
        example = builder.info.features.deserialize_example_np(raw)
        got = source[np.array([row])]
        np.testing.assert_array_equal(got["image"][0], example["image"])
        assert got["label"][0] == example["label"]


@pytest.mark.slow
def test_cifar10_has_the_published_moments(data_dir):
    settings = {"dataset": "cifar10", "data_dir": str(data_dir / "tfds")}
    whole = load(tfds(split="train", **settings))
    counts = [
        np.bincount(whole["image"][..., c].ravel(), minlength=256) for c in range(3)
    ]
    values = np.arange(256) / 255
    mean = np.array([count @ values for count in counts]) / counts[0].sum()
    square = np.array([count @ values**2 for count in counts]) / counts[0].sum()
    np.testing.assert_allclose(mean, (0.49139968, 0.48215841, 0.44653091), atol=1e-8)
    std = np.sqrt(square - mean**2)
    np.testing.assert_allclose(std, (0.24703223, 0.24348513, 0.26158784), atol=1e-8)
    assert np.bincount(whole["label"]).tolist() == [5000] * 10
    test = load(tfds(split="test", **settings))
    assert np.bincount(test["label"]).tolist() == [1000] * 10


def test_imagenette_fills_its_canvas(data_dir, rng):
    settings = {"dataset": "imagenette224", "data_dir": str(data_dir / "tfds")}
    train = tfds(split="train", canvas=224, **settings)
    validation = tfds(split="validation", canvas=96, **settings)
    assert (len(train), len(validation)) == (3500, 1000)
    assert train.fields["label"].names[0] == "n01440764"
    batch = train[rng.choice(3500, 64, replace=False)]
    assert (batch["size"] == 224).all()
    assert (batch["image"].std((1, 2, 3)) > 5).all()
    batch = validation[np.arange(0, 1000, 10)]
    assert batch["image"].shape == (100, 96, 96, 3)
    assert (batch["size"] == 96).all()


def test_imagenette_labels_are_balanced(data_dir):
    source = tfds(
        dataset="imagenette224",
        data_dir=str(data_dir / "tfds"),
        split="validation",
        canvas=16,
    )
    assert np.bincount(load(source)["label"]).tolist() == [100] * 10
