import numpy as np
import pytest

from jax_ssl.data import SOURCES
from jax_ssl.data.arrays import arrays, npz
from jax_ssl.data.source import CorruptExamples, Subset, num_bytes, subset


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (6, 5, 4, 3), np.uint8)


def matches_spec(source):
    rows = source[np.array([2, 0, 2])]
    assert set(rows) == set(source.spec)
    for name, leaf in source.spec.items():
        assert rows[name].shape == (3, *leaf.shape)
        assert rows[name].dtype == leaf.dtype
    assert rows["index"].tolist() == [2, 0, 2]
    return rows


def test_rows_come_in_the_order_asked(images):
    source = arrays(images, np.array([3, 1, 4, 1, 5, 9]))
    rows = matches_spec(source)
    np.testing.assert_array_equal(rows["image"], images[[2, 0, 2]])
    assert rows["label"].tolist() == [4, 3, 4]
    assert num_bytes(source) == 6 * (5 * 4 * 3 + 4 + 4)


def test_rows_are_fresh_arrays(images):
    source = arrays(images)
    source[np.arange(6)]["image"][:] = 0
    assert source.images.any()


def test_without_labels_there_is_no_label(images):
    assert set(arrays(images).spec) == {"image", "index"}
    assert set(matches_spec(arrays(images))) == {"image", "index"}


def test_grey_images_get_a_channel_axis(images):
    assert arrays(images[..., 0]).spec["image"].shape == (5, 4, 1)


def test_no_rows_are_an_empty_batch(images):
    assert arrays(images)[np.array([], int)]["image"].shape == (0, 5, 4, 3)


@pytest.mark.parametrize("rows", [[6], [-1], [0, 7]])
def test_rows_outside_are_refused(images, rows):
    with pytest.raises(
        IndexError, match=rf"arrays: row {rows[-1]} is outside 0 \.\.\. 5"
    ):
        arrays(images)[np.array(rows)]


@pytest.mark.parametrize("rows", [np.array([True] * 6), np.array([0.0]), np.array(3)])
def test_masks_floats_and_scalars_are_not_rows(images, rows):
    with pytest.raises(IndexError, match="one-dimensional array of integers"):
        arrays(images)[rows]


def test_wrong_images_are_refused_with_the_remedy(images):
    with pytest.raises(ValueError, match=r"float64 in \[0.*uint8"):
        arrays(images / 255)
    with pytest.raises(ValueError, match="channels-first"):
        arrays(images.transpose(0, 3, 1, 2))
    with pytest.raises(ValueError, match="N >= 1"):
        arrays(images[:0])


def test_wrong_labels_are_refused(images):
    with pytest.raises(ValueError, match=r"expected integers of shape \(6,\)"):
        arrays(images, np.zeros(5, int))
    with pytest.raises(ValueError, match="expected integers"):
        arrays(images, np.zeros(6))
    with pytest.raises(ValueError, match="label -1 is negative"):
        arrays(images, np.array([0, 1, -1, 0, 0, 0]))
    with pytest.raises(ValueError, match="label 2 has no name"):
        arrays(images, np.array([0, 1, 2, 0, 0, 0]), label_names=["a", "b"])


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


def test_npz_lists_the_keys_it_found(tmp_path, images):
    path = tmp_path / "set.npz"
    np.savez(path, pictures=images, x_test=images)
    with pytest.raises(ValueError, match=r"x_train.*\['pictures', 'x_test'\]"):
        npz(path=str(path), split="train")
    assert "label" not in npz(path=str(path), split="test").spec
    with pytest.raises(FileNotFoundError, match="nowhere"):
        npz(path=str(tmp_path / "nowhere.npz"))


def test_subset_counts_its_own_rows(images):
    part = subset(arrays(images, np.arange(6)), np.array([5, 1, 1]))
    assert len(part) == 3
    rows = part[np.array([2, 0])]
    assert rows["index"].tolist() == [2, 0]
    assert rows["label"].tolist() == [1, 5]
    assert "3 of 6" in part.name
    with pytest.raises(IndexError, match="row 3"):
        part[np.array([3])]
    with pytest.raises(IndexError, match="row 6"):
        subset(arrays(images), np.array([6]))


def test_subset_of_corrupt_rows_blames_its_own_numbers(images):
    class Bad:
        name, label_names = "bad", None
        spec = arrays(images).spec

        def __len__(self):
            return 6

        def __getitem__(self, rows):
            raise CorruptExamples({4: "four.jpg: broken"})

    with pytest.raises(CorruptExamples) as error:
        Subset(Bad(), np.array([3, 4]))[np.array([0, 1])]
    assert error.value.reasons == {1: "four.jpg: broken"}


def test_the_table_names_every_source():
    assert set(SOURCES) == {"digits", "folder", "npz", "synthetic", "tfds"}
