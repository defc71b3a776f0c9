"""Folders of frames and pairs, FlyingChairs and Sintel, in miniature."""

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data import SOURCES
from jax_ssl.data.film_folders import stereo_folders, video_folders
from jax_ssl.data.flow_sets import flying_chairs, sintel
from jax_ssl.data.geometry_files import write_flo, write_kitti_map, write_pfm, write_png

H, W = 6, 8


def image(path, level, size=(H, W)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(path)


def everything(source):
    return source[np.arange(len(source))]


def levels(frames):
    return frames[..., 0, 0, 0].tolist()


@pytest.fixture
def videos(tmp_path):
    """Two sequences: eleven frames in a/, and three in b/c/ with files of a camera."""
    for i in range(11):
        image(tmp_path / f"a/frame_{i}.png", i)
    for i in range(3):
        image(tmp_path / f"b/c/{i}.jpg", 100 + i, (H + 2, W))
    (tmp_path / "cam.txt").write_text("9 0 4\n0 9 3\n0 0 1\n")
    (tmp_path / "b/c/calib.txt").write_text("P0: 7 0 3 0 0 8 2 0 0 0 1 0\nP1: 1\n")
    return tmp_path


def test_sequences_are_cut_into_films(videos):
    source = video_folders(path=str(videos), num_frames=2, gap=2, every=3)
    rows = everything(source)
    # By number and not by letter: 9 comes before 10.
    assert levels(rows["frames"]) == [[0, 2], [3, 5], [6, 8], [100, 102]]
    assert rows["sequence"].tolist() == [0, 0, 0, 1]
    np.testing.assert_array_equal(
        rows["intrinsics"][0], [[9, 0, 4], [0, 9, 3], [0, 0, 1]]
    )
    np.testing.assert_array_equal(
        rows["intrinsics"][3], [[7, 0, 3], [0, 8, 2], [0, 0, 1]]
    )
    assert source.fields["frames"].shape == (2, H + 2, W, 3)
    assert rows["size"].tolist() == [[H, W]] * 3 + [[H + 2, W]]
    assert not rows["frames"][0, :, H:].any()
    only = source.keep(["sequence"])[np.array([3])]
    assert set(only) == {"sequence", "index"}


def test_intrinsics_and_poses_of_videos(videos):
    given = video_folders(path=str(videos), split="a", intrinsics=(5.0, 6.0, 3.5, 2.5))
    row = everything(given)["intrinsics"][0]
    np.testing.assert_array_equal(row, [[5, 0, 3.5], [0, 6, 2.5], [0, 0, 1]])
    (videos / "cam.txt").unlink()
    assert "intrinsics" not in video_folders(path=str(videos), split="a").fields
    with pytest.raises(ValueError, match="only one has intrinsics"):
        video_folders(path=str(videos))
    lines = [f"1 0 0 {i} 0 1 0 0 0 0 1 {-i}\n" for i in range(11)]
    (videos / "a/poses.txt").write_text("".join(lines))
    poses = everything(video_folders(path=str(videos), split="a"))["poses"]
    assert poses.shape == (9, 3, 3, 4)
    np.testing.assert_array_equal(
        poses[4, :, :, 3], [[0, 0, 0], [1, 0, -1], [2, 0, -2]]
    )
    (videos / "a/poses.txt").write_text("".join(lines[:-1]))
    with pytest.raises(ValueError, match=r"poses.txt: holds 120 numbers; .* 11 frames"):
        video_folders(path=str(videos), split="a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "holds 3 numbers"),
        ("-9 0 4 0 9 3 0 0 1", "focal lengths must be positive"),
        ("9 0 4 0 9 3 1 0 1", "the last row 0 0 1"),
    ],
)
def test_wrong_cameras_are_refused(videos, text, message):
    (videos / "cam.txt").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        video_folders(path=str(videos))
    assert "cam.txt" in str(caught.value)


def test_folders_without_films_are_refused(videos):
    with pytest.raises(
        FileNotFoundError, match=r"num_frames = 12 .* folder's 11 frames"
    ):
        video_folders(path=str(videos), num_frames=12)
    with pytest.raises(FileNotFoundError, match=r"split = 'x'"):
        video_folders(path=str(videos), split="x")
    for settings in ({"every": 0}, {"intrinsics": (0.0, 1.0, 2.0, 3.0)}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            video_folders(path=str(videos), **settings)


def test_frames_of_two_sizes_are_named(videos):
    image(videos / "a/frame_1.png", 1, (H, W + 1))
    source = video_folders(path=str(videos), split="a")
    with pytest.raises(Exception, match=r"frame_1.png has \(6, 9\) pixels"):
        source[np.array([0])]
    assert levels(source[np.array([2])]["frames"]) == [[2, 3, 4]]


def test_a_frame_that_is_no_image_is_named(videos):
    (videos / "a/frame_0.png").write_bytes(b"a page of text")
    with pytest.raises(ValueError, match=r"frame_0.png: not an image of a format"):
        video_folders(path=str(videos))


@pytest.fixture
def pairs(tmp_path):
    for i in range(3):
        image(tmp_path / f"left/{i}.png", 10 + i)
        image(tmp_path / f"right/{i}_r.png", 20 + i)
    return tmp_path


def test_pairs_with_cameras_and_disparity(pairs):
    disparity = np.arange(H * W, dtype=np.float32).reshape(H, W)
    for i in range(3):
        write_pfm(str(pairs / f"disp{i}.pfm"), disparity + i)
    camera = {"intrinsics": (50.0, 60.0, 3.0, 2.0), "baseline": 0.2, "shift": 1.5}
    source = stereo_folders(path=str(pairs), disparity="disp*.pfm", **camera)
    rows = everything(source)
    assert levels(rows["left_frames"]) == [[10], [11], [12]]
    assert levels(rows["right_frames"]) == [[20], [21], [22]]
    np.testing.assert_array_equal(rows["disparity"][2], disparity + 2)
    left, right = rows["left_camera"][0], rows["right_camera"][0]
    np.testing.assert_array_equal(left, [[50, 0, 3, 0], [0, 60, 2, 0], [0, 0, 1, 0]])
    # A point at depth z: disparity + shift = f b / z.
    point = [0.3, -0.1, 4.0, 1.0]
    (u, _, w), (v, _, _) = left @ point, right @ point
    assert (u - v) / w + 1.5 == pytest.approx(50 * 0.2 / 4, rel=1e-5)


def test_pairs_may_be_films_and_lack_cameras(pairs):
    source = stereo_folders(path=str(pairs), num_frames=2, gap=2)
    rows = everything(source)
    assert levels(rows["left_frames"]) == [[10, 12]]
    assert not {"left_camera", "disparity"} & set(rows)
    for i in range(3):
        write_kitti_map(str(pairs / f"left/d{i}.png"), np.full((H, W), 3.0 + i))
    settings = {"left": "left/?.png", "num_frames": 3, "disparity": "left/d*.png"}
    row = everything(stereo_folders(path=str(pairs), **settings))
    assert (row["disparity"] == 4).all()
    halves = stereo_folders(path=str(pairs), **settings, disparity_scale=512.0)
    assert (everything(halves)["disparity"] == 2).all()


def test_pairs_without_partners_are_refused(pairs):
    (pairs / "right/0_r.png").unlink()
    with pytest.raises(ValueError, match=r"left = 'left/\*' 3, right = 'right/\*' 2"):
        stereo_folders(path=str(pairs))
    with pytest.raises(FileNotFoundError, match="match 0 files"):
        stereo_folders(path=str(pairs), left="x*", right="y*")
    with pytest.raises(ValueError, match="baseline = None: give both"):
        stereo_folders(path=str(pairs), intrinsics=(1.0, 1.0, 0.0, 0.0))
    with pytest.raises(FileNotFoundError, match="not a folder"):
        stereo_folders(path=str(pairs / "x"))


def flow_of(level):
    return np.full((H, W, 2), level, np.float32)


def test_flying_chairs(tmp_path):
    (tmp_path / "data").mkdir()
    for i in range(1, 4):
        at = tmp_path / f"data/{i:05d}"
        for j in (1, 2):
            image(at.with_name(f"{at.name}_img{j}.ppm"), 10 * i + j)
        write_flo(f"{at}_flow.flo", flow_of(i + 0.5))
    rows = everything(flying_chairs(path=str(tmp_path)))
    assert levels(rows["frames"]) == [[11, 12], [21, 22], [31, 32]]
    assert (rows["flow"][1] == [2.5, 2.5, 1]).all()
    with pytest.raises(FileNotFoundError, match=r"FlyingChairs_train_val.txt is not"):
        flying_chairs(path=str(tmp_path), split="train")
    (tmp_path / "FlyingChairs_train_val.txt").write_text("1\n2\n1\n")
    train, held = (
        everything(flying_chairs(path=str(tmp_path), split=split))
        for split in ("train", "validation")
    )
    assert train["sequence"].tolist() == [0, 2]
    assert levels(held["frames"]) == [[21, 22]]
    (tmp_path / "FlyingChairs_train_val.txt").write_text("1\n2\n")
    with pytest.raises(ValueError, match="holds 2 words for 3 pairs"):
        flying_chairs(path=str(tmp_path), split="train")
    with pytest.raises(ValueError, match="split = 'test'"):
        flying_chairs(path=str(tmp_path), split="test")


def test_sintel(tmp_path):
    root = tmp_path / "training"
    for number, scene in enumerate(("alley_1", "cave_2")):
        for i in range(1, 4):
            image(root / f"clean/{scene}/frame_{i:04d}.png", 100 * number + i)
            for folder in ("flow", "occlusions", "invalid"):
                (root / folder / scene).mkdir(parents=True, exist_ok=True)
            write_flo(str(root / f"flow/{scene}/frame_{i:04d}.flo"), flow_of(i))
            mask = np.zeros((H, W), np.uint8)
            mask[0, i] = 255
            write_png(str(root / f"occlusions/{scene}/frame_{i:04d}.png"), mask)
            mask = np.roll(mask, 1, 0)
            write_png(str(root / f"invalid/{scene}/frame_{i:04d}.png"), mask)
    rows = everything(sintel(path=str(tmp_path)))
    assert levels(rows["frames"]) == [[1, 2], [2, 3], [101, 102], [102, 103]]
    assert rows["sequence"].tolist() == [0, 0, 1, 1]
    for row, i in enumerate((1, 2, 1, 2)):
        flow = rows["flow"][row]
        assert (flow[1, i] == 0).all()
        assert flow.sum() == (H * W - 1) * (2 * i + 1)
        assert rows["occlusion"][row].sum() == rows["occlusion"][row, 0, i] == 1
    three = everything(sintel(path=str(tmp_path), num_frames=3, scenes=("cave_2",)))
    assert levels(three["frames"]) == [[101, 102, 103]]
    assert three["flow"][0].max() == 2
    assert "flow" not in sintel(path=str(tmp_path), gap=2).fields
    with pytest.raises(FileNotFoundError, match="final"):
        sintel(path=str(tmp_path), render="final")
    with pytest.raises(ValueError, match="render = 'x'"):
        sintel(path=str(tmp_path), render="x")


def test_rows_are_told_apart_by_their_files(videos):
    source = video_folders(path=str(videos), split="a")
    names = list(source.listed())
    assert b"frame_0.png\nframe_1.png\nframe_2.png" in names
    assert source.stored(0) != source.stored(1)
    assert "video_folders" in SOURCES
