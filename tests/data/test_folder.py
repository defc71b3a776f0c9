import logging

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data.corrupt import Reader, TooManyCorrupt
from jax_ssl.data.folder import folder
from jax_ssl.data.order import batches, sweep
from jax_ssl.data.source import CorruptExamples


def save(path, colour, size=(12, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def photos(tmp_path):
    """Five images at several depths, and what must not be taken for one."""
    save(tmp_path / "b.png", (1, 0, 0))
    save(tmp_path / "a.PNG", (2, 0, 0), (4, 4))
    save(tmp_path / "sub" / "deep" / "c.bmp", (3, 0, 0))
    save(tmp_path / "sub" / "d.webp", (4, 4, 4), (8, 12))
    save(tmp_path / "z.JPeG", (5, 5, 5))
    save(tmp_path / ".hidden.png", (9, 9, 9))
    save(tmp_path / ".cache" / "e.png", (9, 9, 9))
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def test_unlabelled_images_are_read_in_the_order_of_their_paths(photos):
    source = folder(path=str(photos), canvas=10)
    assert source.source.files == (
        "a.PNG",
        "b.png",
        "sub/d.webp",
        "sub/deep/c.bmp",
        "z.JPeG",
    )
    rows = source[np.array([3, 0, 1, 2])]
    assert set(rows) == set(source.fields) == {"image", "index", "scale", "size"}
    for name, leaf in source.fields.items():
        assert rows[name].shape == (4, *leaf.shape)
        assert rows[name].dtype == leaf.dtype
    assert rows["image"][:, 0, 0, 0].tolist()[:3] == [3, 2, 1]
    assert rows["size"].tolist() == [[7, 10], [4, 4], [7, 10], [10, 7]]
    new_over_old = [[7 / 8, 10 / 12], [1, 1], [7 / 8, 10 / 12], [10 / 12, 7 / 8]]
    np.testing.assert_array_equal(rows["scale"], np.float32(new_over_old))
    assert rows["index"].tolist() == [3, 0, 1, 2]


def test_folders_directly_under_the_root_are_the_classes(tmp_path):
    for name in ("train/dog/1.png", "train/cat/x/2.png", "train/cat/3.png"):
        save(tmp_path / name, (0, 0, 0))
    source = folder(path=str(tmp_path), split="train", labels="folders", canvas=8)
    assert source.fields["label"].names == ("cat", "dog")
    rows = source[np.arange(3)]
    assert rows["label"].tolist() == [0, 0, 1]
    assert rows["label"].dtype == np.int32
    assert source.name == "train"


def test_a_canvas_may_be_oblong_and_images_grey(photos):
    source = folder(path=str(photos), canvas=(6, 12), channels=1)
    assert source.fields["image"].shape == (6, 12, 1)
    rows = source[np.arange(5)]
    assert rows["size"].tolist() == [[4, 4], [6, 9], [6, 4], [6, 9], [6, 9]]
    assert rows["image"][0, 0, 0] == 1  # The luma of (2, 0, 0), 0.6.


def test_a_file_whose_pixels_are_not_kept_is_never_opened(tmp_path):
    for name in ("dog/1.png", "cat/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("no image")
    source = folder(path=str(tmp_path), labels="folders", canvas=8, cache_gib=0.0)
    for names in (["image"], ["size"]):
        with pytest.raises(CorruptExamples):
            source.keep(names)[np.arange(2)]
    rows = source.keep(["label"])[np.arange(2)]
    assert {name: x.tolist() for name, x in rows.items()} == {
        "label": [0, 1],
        "index": [0, 1],
    }


def test_images_outside_the_class_folders_are_refused(photos):
    with pytest.raises(ValueError, match=r"3 images lie directly in .*'a\.PNG'"):
        folder(path=str(photos), labels="folders")


def test_wrong_settings_are_refused(photos):
    with pytest.raises(
        ValueError, match="labels = 'names' must be one of 'none', 'folders'"
    ):
        folder(path=str(photos), labels="names")
    with pytest.raises(ValueError, match=r"data\.canvas = 0"):
        folder(path=str(photos), canvas=0)
    with pytest.raises(FileNotFoundError, match="not a folder"):
        folder(path=str(photos / "nowhere"))
    with pytest.raises(FileNotFoundError, match="not a folder"):
        folder(path=str(photos), split="train")


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    (tmp_path / "table.csv").write_text("1,2")
    with pytest.raises(FileNotFoundError, match=r"none of its 1 files.*\.csv"):
        folder(path=str(tmp_path))


def test_links_are_followed_and_circles_end(photos, tmp_path_factory):
    root = tmp_path_factory.mktemp("links")
    (root / "album").symlink_to(photos, target_is_directory=True)
    (root / "one.png").symlink_to(photos / "b.png")
    (photos / "sub" / "up").symlink_to(photos, target_is_directory=True)
    source = folder(path=str(root), canvas=10)
    assert len(source) == 6
    assert source[np.array([5])]["image"][0, 0, 0].tolist() == [1, 0, 0]


def test_a_folder_is_cached_only_below_the_limit(photos):
    assert folder(path=str(photos), canvas=10, cache_gib=0.0).files[0] == "a.PNG"


@pytest.fixture
def damaged(tmp_path):
    """Thirty images, of which five are broken in the usual ways."""
    for i in range(30):
        save(tmp_path / f"{i:02}.jpg", (8 * i, 8 * i, 8 * i), (64, 64))
    whole = (tmp_path / "03.jpg").read_bytes()
    (tmp_path / "03.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "04.jpg").write_bytes(b"")
    (tmp_path / "11.jpg").write_text("this was never an image")
    (tmp_path / "19.jpg").write_text("<!DOCTYPE html><title>404 Not Found</title>")
    (tmp_path / "29.jpg").unlink()
    (tmp_path / "29.jpg").symlink_to(tmp_path / "gone.jpg")
    return tmp_path


BROKEN = {3: "truncated", 4: "empty", 11: "never", 19: "DOCTYPE", 29: "No such file"}


def test_broken_files_are_reported_by_name_and_cause(damaged):
    source = folder(path=str(damaged), canvas=16)
    with pytest.raises(CorruptExamples) as error:
        source[np.arange(30)]
    assert set(error.value.reasons) == set(BROKEN)
    for row, cause in BROKEN.items():
        assert cause in error.value.reasons[row].replace("Truncated", "truncated")
        assert str(damaged / f"{row:02}.jpg") in error.value.reasons[row]
        assert "0x" not in error.value.reasons[row]  # No addresses: same every time.


@pytest.mark.parametrize("cache_gib", [0.0, 1.0])
def test_broken_files_give_way_to_the_next_good_ones(damaged, cache_gib, caplog):
    source = folder(path=str(damaged), canvas=16, cache_gib=cache_gib)
    with caplog.at_level(logging.WARNING):
        rows = np.concatenate([b["index"] for b in sweep(source, batch_size=7)])
    expected = np.arange(30)
    expected[[3, 4, 11, 19, 29]] = 5, 5, 12, 20, 0
    assert rows.tolist() == expected.tolist()
    logged = sorted(record.getMessage() for record in caplog.records)
    assert len(logged) == 5
    assert all(
        f"{row:02}.jpg" in line for row, line in zip(BROKEN, logged, strict=True)
    )
    streams = [
        list(batches(source, seed=0, batch_size=10, stop=6, workers=w)) for w in (1, 4)
    ]
    for a, b in zip(*streams, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)
        assert not set(a["index"].tolist()) & set(BROKEN)


def test_a_strict_run_ends_at_broken_files(damaged):
    source = folder(path=str(damaged), canvas=16)
    with pytest.raises(TooManyCorrupt, match=r"03\.jpg"):
        list(sweep(source, batch_size=30, workers=1, reader=Reader(source, 0.0)))
