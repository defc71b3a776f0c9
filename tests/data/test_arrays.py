import numpy as np
import pytest

from jax_ssl.core.fields import Field
from jax_ssl.data import SOURCES
from jax_ssl.data.arrays import arrays, npz
from jax_ssl.data.source import num_bytes


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (6, 5, 4, 3), np.uint8)


def matches_fields(source):
    rows = source[np.array([2, 0, 2])]
    assert set(rows) == set(source.fields)
    for name, field in source.fields.items():
        assert rows[name].shape == (3, *field.shape)
        assert rows[name].dtype == field.dtype
    assert rows["index"].tolist() == [2, 0, 2]
    return rows


def test_rows_come_in_the_order_asked(images):
    source = arrays({"image": images, "label": np.array([3, 1, 4, 1, 5, 9])})
    rows = matches_fields(source)
    np.testing.assert_array_equal(rows["image"], images[[2, 0, 2]])
    assert rows["label"].tolist() == [4, 3, 4]
    assert num_bytes(source) == 6 * (5 * 4 * 3 + 4 + 4)


def test_rows_are_fresh_arrays(images):
    source = arrays({"image": images})
    source[np.arange(6)]["image"][:] = 0
    assert source.arrays["image"].any()


def test_without_labels_there_is_no_label(images):
    assert set(arrays({"image": images}).fields) == {"image", "index"}
    assert set(matches_fields(arrays({"image": images}))) == {"image", "index"}


def test_grey_images_get_a_channel_axis(images):
    assert arrays({"image": images[..., 0]}).fields["image"].shape == (5, 4, 1)


def test_no_rows_are_an_empty_batch(images):
    assert arrays({"image": images})[np.array([], int)]["image"].shape == (0, 5, 4, 3)


@pytest.mark.parametrize("rows", [[6], [-1], [0, 7]])
def test_rows_outside_are_refused(images, rows):
    with pytest.raises(
        IndexError, match=rf"arrays: row {rows[-1]} is outside 0 \.\.\. 5"
    ):
        arrays({"image": images})[np.array(rows)]


@pytest.mark.parametrize("rows", [np.array([True] * 6), np.array([0.0]), np.array(3)])
def test_masks_floats_and_scalars_are_not_rows(images, rows):
    with pytest.raises(IndexError, match="one-dimensional array of integers"):
        arrays({"image": images})[rows]


@pytest.mark.parametrize("channels", [1, 2, 13])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_may_have_any_channels_in_bytes_or_floats(rng, channels, dtype):
    images = rng.random((4, 6, 5, channels)).astype(dtype)
    rows = matches_fields(arrays({"image": images}))
    np.testing.assert_allclose(rows["image"], images[[2, 0, 2]], rtol=1e-6)
    assert rows["image"].dtype == (np.uint8 if dtype == np.uint8 else np.float32)


@pytest.mark.parametrize("dtype", ["u2", "i2", "i8", "f4", "f8"])
@pytest.mark.parametrize("name", ["image", "frames"])
def test_numbers_of_any_type_are_read_by_their_range(rng, dtype, name):
    values = rng.integers(0, 4096, (4, 6, 5, 2)).astype(dtype)
    values = values[:, None] if name == "frames" else values
    whole = dtype[0] != "f"
    rows = matches_fields(arrays({name: values}, range=(0, 4095)))
    expected = values[[2, 0, 2]] / 4095.0
    assert rows[name].dtype == (np.uint8 if whole else np.float32)
    found = rows[name] / (255.0 if whole else 1)
    assert abs(found - expected).max() <= (0.5 / 255 + 1e-9 if whole else 1e-6)
    for example in values:  # Each has its own percentiles.
        low, high = np.percentile(example, (10, 90))
        alone = arrays({name: example[None]}, range=("10%", "90%"))[np.arange(1)][name]
        share = ((example - low) / (high - low)).clip(0, 1)
        found = alone[0] / (255.0 if whole else 1)
        assert abs(found - share).max() <= (0.5 / 255 + 1e-9 if whole else 1e-6)


def test_deep_arrays_without_a_range_are_refused_with_the_remedy(rng):
    deep = rng.integers(7, 4000, (4, 6, 5, 3)).astype(np.uint16)
    said = rf"uint16 of shape .*{deep.min()} to {deep.max()}: set data\.range"
    with pytest.raises(ValueError, match=said):
        arrays({"image": deep})
    with pytest.raises(ValueError, match=r"data\.range = \(9, 3\)"):
        arrays({"image": deep}, range=(9, 3))


def test_channels_are_counted_or_taken(rng, tmp_path):
    images = rng.integers(0, 256, (4, 6, 5, 7), np.uint8)
    path = tmp_path / "set.npz"
    np.savez(path, x=images)
    assert npz(path=str(path), channels=7).fields["image"].shape == (6, 5, 7)
    taken = npz(path=str(path), channels=(6, 0))[np.arange(4)]["image"]
    np.testing.assert_array_equal(taken, images[..., [6, 0]])
    for channels in (3, (0, 7)):
        with pytest.raises(ValueError, match=r"has 7 channels.*set it to 7, or to"):
            npz(path=str(path), channels=channels)
    with pytest.raises(ValueError, match=r"data\.channels = 0"):
        npz(path=str(path), channels=0)
    wide = np.zeros((2, 4, 9, 9), np.uint8)  # As if channels came first.
    assert arrays({"image": wide}, channels=9).fields["image"].shape == (4, 9, 9)


def test_five_axes_are_frames(rng):
    films = rng.integers(0, 256, (4, 3, 6, 5, 2), np.uint8)
    source = arrays({"image": films, "label": np.arange(4)})
    assert source.fields["frames"] == Field("frames", (3, 6, 5, 2), np.uint8)
    np.testing.assert_array_equal(matches_fields(source)["frames"], films[[2, 0, 2]])


def test_wrong_images_are_refused_with_the_remedy(images):
    with pytest.raises(ValueError, match=r"in \[1, 200\].* \[0, 1\]; divide by 255"):
        arrays({"image": np.clip(images, 1, 200).astype(float)})
    with pytest.raises(ValueError, match=r"image is int32 .*uint8 or float32"):
        arrays({"image": images.astype(np.int32)})
    with pytest.raises(ValueError, match="channels-first"):
        arrays({"image": np.zeros((6, 3, 9, 9), np.uint8)})
    with pytest.raises(ValueError, match=r"channels-first.*set data\.channels = 9"):
        arrays({"image": np.zeros((6, 5, 9, 9), np.uint8)})
    flat = images.reshape(len(images), -1)
    with pytest.raises(ValueError, match=r"Images are \[N, H, W\] or .*reshape\.$"):
        arrays({"image": flat})
    with pytest.raises(ValueError, match=r"is bool .*255 \* array\.astype"):
        arrays({"image": images > 100})
    with pytest.raises(ValueError, match="N >= 1"):
        arrays({"image": images[:0]})
    broken = images / 255.0
    broken[3, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"\[nan, nan\]; they must be finite"):
        arrays({"image": broken})


def test_wrong_labels_are_refused(images):
    with pytest.raises(ValueError, match=r"'image': 6, 'label': 5.* same number"):
        arrays({"image": images, "label": np.zeros(5, int)})
    with pytest.raises(ValueError, match=r"label is float64 .* \[N\] of int32"):
        arrays({"image": images, "label": np.zeros(6)})
    with pytest.raises(ValueError, match=r"label holds values in \[-1, 1\].*from 0"):
        arrays({"image": images, "label": np.array([0, 1, -1, 0, 0, 0])})
    for labels, remedy in (
        (np.float32([0, 1, 0, 1, 0, 1]), r"whole; store it as labels\.astype\(int\)"),
        (np.float16([0, 1, 0, 1, 0, 1]), r"whole; store it as labels\.astype\(int\)"),
        (np.array([0, 1, 0, 1, 0, 1], bool), r"store it as labels\.astype\(int\)"),
        (np.array([0, 1, 0.5, 1, 0, 1]), r"0\.5 is no class"),
        (np.array([0, 1, np.nan, 1, 0, np.nan]), r" 2 of its numbers are NaN; leave"),
        (np.eye(6), r"one-hot; store it as labels\.argmax\(1\)"),
        (np.eye(6, dtype=int), r"one-hot; store it as labels\.argmax\(1\)"),
        (np.ones((6, 2)), r"Each example needs one class"),
        (np.array(list("ababab"), object), r"Python objects"),
    ):
        with pytest.raises(ValueError, match=remedy):
            arrays({"image": images, "label": labels})
    with pytest.raises(ValueError, match="label 2 has no name"):
        arrays(
            {"image": images, "label": np.array([0, 1, 2, 0, 0, 0])},
            label_names=["a", "b"],
        )


@pytest.mark.parametrize(
    ("split", "keys"),
    [
        ("", ("image", "label")),
        ("", ("x", "y")),
        ("train", ("x_train", "y_train")),
        ("val", ("val_images", "val_labels")),
    ],
)
def test_npz_finds_the_usual_keys(tmp_path, images, split, keys):
    labels = np.arange(6)[:, None]  # Column labels are common too.
    path = tmp_path / "set.npz"
    np.savez(path, **{keys[0]: images, keys[1]: labels, "other": labels})
    source = npz(path=str(path), split=split)
    np.testing.assert_array_equal(source[np.arange(6)]["image"], images)
    assert source[np.arange(6)]["label"].tolist() == list(range(6))


def test_npz_takes_further_arrays_of_given_kinds(tmp_path, rng, images):
    path = tmp_path / "set.npz"
    depth = rng.uniform(0, 9, (6, 5, 4))
    matrix = rng.normal(size=(6, 3, 3))
    mask = rng.integers(0, 255, (6, 5, 4))
    given = {"train_depth": depth, "camera_train": matrix, "mask_train": mask}
    np.savez(path, x_train=images, depth=images, **given)
    kinds = {"depth": "depth", "camera": "matrix", "mask": "mask"}
    source = npz(path=str(path), split="train", fields=kinds)
    assert {name: field.kind for name, field in source.fields.items()} == {
        **kinds,
        "image": "image",
        "index": "index",
    }
    rows = matches_fields(source)
    for name, array in (("depth", depth), ("camera", matrix), ("mask", mask)):
        np.testing.assert_allclose(rows[name], array[[2, 0, 2]], rtol=1e-6)
    with pytest.raises(
        ValueError, match=r"no flow .* looked for flow_train, train_flow"
    ):
        npz(path=str(path), split="train", fields={"flow": "flow"})
    with pytest.raises(ValueError, match=r"depth is .*\(6, 5, 4\).* \[N, H, W, 3\]"):
        npz(path=str(path), split="train", fields={"depth": "flow"})
    with pytest.raises(ValueError, match="kind = 'deep' is not one of image, frames"):
        npz(path=str(path), split="train", fields={"depth": "deep"})


def test_python_objects_in_an_npz_are_named(tmp_path, images):
    path = tmp_path / "set.npz"
    words = np.array(["a", "b"] * 3, object)
    np.savez(path, x=images, y=words)
    with pytest.raises(
        ValueError, match=r"the array 'y' has Python .*y\.astype\(str\)"
    ):
        npz(path=str(path))
    np.savez(path, x=images, y=words.astype(str))
    assert npz(path=str(path)).fields["label"].names == ("a", "b")


def test_npz_may_hold_waves_and_no_images(tmp_path, rng):
    path = tmp_path / "set.npz"
    waves = rng.uniform(-1, 1, (6, 100)).astype(np.float32)
    np.savez(path, speech=waves, y=np.arange(6))
    kinds = {"speech": "wave"}
    source = npz(path=str(path), fields=kinds, rate=8000.0)
    assert source.fields["speech"].rate == 8000
    np.testing.assert_array_equal(matches_fields(source)["speech"], waves[[2, 0, 2]])
    np.savez(path, speech=(32767 * waves).astype(np.int16))
    with pytest.raises(ValueError, match=r"speech holds .*\[-1, 1\]; divide 16-bit"):
        npz(path=str(path), fields=kinds)


def test_only_the_fields_that_are_kept_come(images):
    source = arrays({"image": images, "label": np.arange(6)})
    assert set(source.keep([]).fields) == {"index"}
    kept = source.keep(["label"])
    assert set(matches_fields(kept)) == {"label", "index"}
    assert len(kept) == 6
    with pytest.raises(
        ValueError, match=r"arrays has no field 'mask'; it has .*'image'"
    ):
        source.keep(["mask"])
    assert set(matches_fields(source)) == {"image", "label", "index"}


def test_npz_may_hold_waves_one_after_the_other(tmp_path, rng):
    path = tmp_path / "set.npz"
    waves = [rng.integers(-32768, 32768, n).astype(np.int16) for n in (5, 9, 3)]
    joined, offsets = np.concatenate(waves), np.array([0, 5, 14, 17])
    speaker = np.array(["eve", "adam", "eve"])
    np.savez(path, wave_train=joined, offsets_train=offsets, speaker_train=speaker)
    settings = {"path": str(path), "split": "train", "rate": 8000.0}
    settings["fields"] = {"wave": "wave", "speaker": "label"}
    source = npz(**settings, samples=7)
    assert source.fields["wave"].rate == 8000
    assert source.fields["speaker"].names == ("adam", "eve")
    rows = matches_fields(source)  # Rows 2, 0, 2.
    wanted = np.zeros((2, 7))
    wanted[0, :3], wanted[1, :5] = waves[2] / 32768, waves[0] / 32768
    np.testing.assert_allclose(rows["wave"], wanted[[0, 1, 0]], atol=1e-7)
    assert rows["length"].tolist() == [3, 5, 3]
    assert source[np.array([1])]["length"] == 7  # The first seven of nine.
    np.testing.assert_allclose(source[np.array([1])]["wave"][0], waves[1][:7] / 32768)
    assert npz(**settings).fields["wave"].shape == (9,)
    for wrong, message in (
        ({"offsets": [0, 5, 14, 18]}, "from 0 to 17, the number of samples"),
        ({"offsets": [0, 5, 5, 17]}, "wave 1 holds no sample"),
        ({}, "no key 'offsets_train'"),
    ):
        np.savez(path, wave_train=joined, speaker_train=speaker, **wrong)
        with pytest.raises(ValueError, match=message):
            npz(**settings)


def test_npz_lists_the_keys_it_found(tmp_path, images):
    path = tmp_path / "set.npz"
    np.savez(path, pictures=images, x_test=images)
    with pytest.raises(ValueError, match=r"x_train.*\['pictures', 'x_test'\]"):
        npz(path=str(path), split="train")
    assert "label" not in npz(path=str(path), split="test").fields
    with pytest.raises(FileNotFoundError, match="nowhere"):
        npz(path=str(tmp_path / "nowhere.npz"))


def test_the_table_names_every_source():
    synthetic = {
        f"synthetic{what}" for what in ("", "_frames", "_scenes", "_tracks", "_waves")
    }
    films = {
        "davis",
        "flying_chairs",
        "kitti",
        "sintel",
        "stereo_folders",
        "video_folders",
    }
    others = {"coco", "digits", "folder", "huggingface", "npz", "revisited", "sounds"}
    others |= {"tar_shards", "tfds"}
    assert set(SOURCES) == synthetic | films | others


def test_classes_of_masks_have_names_and_void_has_none(tmp_path):
    mask = np.uint8([[[0, 1], [255, 1]]] * 3)
    image = np.zeros((3, 2, 2, 1), np.uint8)
    path = tmp_path / "masks.npz"
    np.savez(path, image=image, mask=mask, mask_names=["road", "sky"])
    source = npz(path=str(path), fields={"mask": "mask"})
    assert source.fields["mask"].names == ("road", "sky")
    np.savez(path, image=image, mask=mask, mask_names=["road"])
    with pytest.raises(ValueError, match="mask 1 has no name among the 1 mask_names"):
        npz(path=str(path), fields={"mask": "mask"})
