import logging
import os
import re
import socket

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data.corrupt import Reader, TooManyCorrupt
from jax_ssl.data.folder import folder
from jax_ssl.data.order import batches, sweep
from jax_ssl.data.source import CorruptExamples
from tests.data.files import tiff


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
    assert source.name == f"{tmp_path.name} train"


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
    for channels in (0, (), (1, -1)):
        with pytest.raises(ValueError, match=r"data\.channels = "):
            folder(path=str(photos), channels=channels)
    with pytest.raises(ValueError, match=r"data\.max_megapixels = 0"):
        folder(path=str(photos), max_megapixels=0.0)
    with pytest.raises(ValueError, match="pages = 'some' must be one of"):
        folder(path=str(photos), pages="some")
    for wrong in (
        (1, 1),
        (9, 1),
        (0, float("nan")),
        ("5%", "5%"),
        ("1", "9"),
        ("a", 9),
    ):
        with pytest.raises(ValueError, match=re.escape(f"data.range = {wrong}")):
            folder(path=str(photos), range=wrong)
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


@pytest.fixture
def stacks(tmp_path, rng):
    """Pages of two stacks and a single picture, each of another grey."""
    for name, greys in (("a/x", (10, 20, 30)), ("b/y", (40, 50)), ("b/z", (60,))):
        made = [{"values": np.full((4, 4, 1), grey, np.uint8)} for grey in greys]
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.tif").write_bytes(tiff(*made))
    return tmp_path


def test_every_page_of_a_stack_may_be_an_example(stacks, caplog):
    source = folder(
        path=str(stacks), pages="all", canvas=4, channels=1, labels="folders"
    )
    rows = source[np.arange(6)]
    assert rows["image"][:, 0, 0, 0].tolist() == [10, 20, 30, 40, 50, 60]
    assert rows["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert source.source.files.count("a/x.tif") == 3
    assert not caplog.records


def test_pages_that_are_not_read_are_named(stacks, caplog):
    source = folder(path=str(stacks), canvas=4, channels=1)
    assert source[np.arange(3)]["image"][:, 0, 0, 0].tolist() == [10, 40, 60]
    (said,) = (record.getMessage() for record in caplog.records)
    assert "2 of 3 files looked at hold several pages, such as a/x.tif with 3" in said
    assert "data.pages = 'all'" in said


def test_a_page_that_cannot_be_read_is_named(stacks, rng):
    page = {"values": rng.integers(0, 9, (4, 4, 1), np.uint8)}
    bad = {"values": rng.integers(0, 9, (4, 4, 2), np.uint16)}
    (stacks / "a" / "x.tif").write_bytes(tiff(page, bad))
    source = folder(path=str(stacks), pages="all", canvas=4, cache_gib=0.0)
    with pytest.raises(
        CorruptExamples, match=r"x\.tif, page 2: it has 2 bands"
    ) as error:
        source[np.arange(5)]
    assert set(error.value.reasons) == {1}
    assert "corrupt" not in str(error.value)


@pytest.mark.parametrize(
    ("page", "settings", "message"),
    [
        ({"values": np.zeros((4, 4, 5), np.uint8)}, {}, r"5 bands .*channels = 5"),
        ({"values": np.zeros((4, 4, 1), np.float32)}, {}, r"float32.*data\.range"),
        (
            {"values": np.zeros((4, 4, 1), np.uint64), "tag339": 6},
            {},
            r"complex numbers of 64 bits.*write it again",
        ),
        (
            {"values": np.zeros((4, 4, 1), np.uint16), "tag259": 34887},
            {},
            r"1 band of uint16 that TIFF's scheme 34887 .*write it again",
        ),
        (
            {"values": np.zeros((40, 40, 1), np.uint8)},
            {"max_megapixels": 0.001},
            r"40 x 40 pixels.*max_megapixels = 1 ",
        ),
    ],
)
def test_what_the_settings_do_not_read_is_refused_at_once(
    photos, page, settings, message
):
    (photos / "one.tif").write_bytes(tiff(page))
    with pytest.raises(ValueError, match=rf"one\.tif: .*{message}"):
        folder(path=str(photos), canvas=40, **settings)


def test_a_range_and_bands_hold_for_a_whole_folder(tmp_path, rng):
    values = rng.integers(0, 4096, (3, 5, 6, 4), np.uint16)
    for i, image in enumerate(values):
        (tmp_path / f"{i}.tif").write_bytes(tiff({"values": image}))
    source = folder(path=str(tmp_path), canvas=6, channels=4, range=(0, 4095))
    assert source.fields["image"].shape == (6, 6, 4)
    expected = np.rint(values / 4095 * 255)
    np.testing.assert_array_equal(source[np.arange(3)]["image"][:, :5], expected)
    near = folder(path=str(tmp_path), canvas=6, channels=(3,), range=(0, 4095))
    found = near[np.arange(3)]["image"][:, :5]
    np.testing.assert_array_equal(found, expected[..., 3:])


def test_special_files_are_left_out_and_never_waited_for(photos, caplog, monkeypatch):
    os.mkfifo(photos / "fifo.png")
    (photos / "device.png").symlink_to("/dev/zero")
    (photos / "loop.png").symlink_to(photos / "loop.png")
    (photos / "system.png").symlink_to("/proc/self/status")
    monkeypatch.chdir(photos)  # The name of a socket must be short.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        source = folder(path=str(photos), canvas=10)
    (said,) = (record.getMessage() for record in caplog.records)
    assert "left out 3 that are no files" in said
    # What is a file by its kind and cannot be read is reported as all such files are.
    files = source.source.files
    assert len(files) == 7
    with pytest.raises(CorruptExamples, match="Too many levels") as error:
        source[np.arange(7)]
    assert {files[row] for row in error.value.reasons} == {"loop.png", "system.png"}


def test_a_file_that_has_become_special_is_not_waited_for(photos):
    source = folder(path=str(photos), canvas=10)
    (photos / "b.png").unlink()
    os.mkfifo(photos / "b.png")
    with pytest.raises(CorruptExamples, match=r"b\.png: ValueError: it is a FIFO"):
        source[np.arange(5)]


def test_a_folder_that_cannot_be_read_is_not_left_out(photos, monkeypatch):
    real, listed = os.path.realpath(photos / "sub"), os.scandir

    def scandir(path):
        if path == real:
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ValueError, match=r"sub' cannot be read \(Permission denied\)"):
        folder(path=str(photos))
