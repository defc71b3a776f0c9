"""KITTI's folders in miniature: matrices, poses, scans and labels by their laws."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jax_ssl.data.film_folders import video_folders
from jax_ssl.data.geometry_files import write_kitti_flow, write_kitti_map, write_png
from jax_ssl.data.kitti import kitti

H, W = 10, 16
K = np.array([[20.0, 0, 8], [0, 20, 5], [0, 0, 1]])
# Where the cameras are: those of colour beside the left grey one, half a metre apart.
PLACES = [(0, 0, 0), (0.5, 0, 0), (-0.06, 0, -0.01), (0.48, 0.01, -0.01)]
PROJECTIONS = [K @ np.c_[np.eye(3), -np.array(place)] for place in PLACES]


def numbers(values):
    return " ".join(f"{value:.12e}" for value in np.ravel(values))


def image(path, level, size=(H, W)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(path)


def turn(axis, angle):
    out, (i, j) = np.eye(4), [(1, 2), (2, 0), (0, 1)][axis]
    out[i, i] = out[j, j] = np.cos(angle)
    out[i, j], out[j, i] = -np.sin(angle), np.sin(angle)
    return out


def shift(*at):
    out = np.eye(4)
    out[:3, 3] = at
    return out


def moved(points, motion):
    return points @ motion[:3, :3].T + motion[:3, 3]


def points_ahead():
    return np.random.default_rng(0).normal(size=(5, 3)) + np.array([0, 0, 10])


@pytest.fixture
def odometry(tmp_path):
    """Two sequences of 5 and 3 frames, the first with poses of camera 0."""
    for name, count in (("00", 5), ("11", 3)):
        folder = tmp_path / "sequences" / name
        for camera in (0, 2, 3):
            for i in range(count):
                image(folder / f"image_{camera}" / f"{i:06d}.png", 10 * i + camera)
        lines = [f"P{i}: {numbers(p)}" for i, p in enumerate(PROJECTIONS)]
        (folder / "calib.txt").write_text("\n".join(lines))
    (tmp_path / "poses").mkdir()
    poses = [shift(0, 0, i) @ turn(1, 0.1 * i) for i in range(5)]
    lines = [numbers(pose[:3]) for pose in poses]
    (tmp_path / "poses" / "00.txt").write_text("\n".join(lines))
    return tmp_path, poses


def test_odometry_has_poses_of_its_own_camera(odometry):
    path, poses = odometry
    source = kitti(path=str(path), sequences=("00",), canvas=16)
    rows = source[np.arange(len(source))]
    assert len(source) == 3
    assert rows["frames"].shape == (3, 3, 16, 16, 3)
    np.testing.assert_array_equal(rows["size"], [[H, W]] * 3)
    levels = rows["frames"][:, :, 0, 0, 0]
    np.testing.assert_array_equal(levels, [[2, 12, 22], [12, 22, 32], [22, 32, 42]])
    np.testing.assert_allclose(rows["intrinsics"][0], K)
    points = points_ahead()
    at = np.array(PLACES[2])
    # A point in the coordinates of camera 2 at frame 3, by way of camera 0 and the
    # world to camera 2 at frame 1.
    world = moved(points + at, poses[3])
    expected = moved(world, np.linalg.inv(poses[1])) - at
    np.testing.assert_allclose(moved(points, rows["poses"][1, 2]), expected, atol=1e-5)
    np.testing.assert_allclose(rows["poses"][1, 0], np.eye(4)[:3], atol=1e-6)


def test_two_cameras_are_in_the_coordinates_of_the_left_one(odometry):
    source = kitti(path=str(odometry[0]), sequences=("11",), stereo=True, gap=2,
                   num_frames=2)  # fmt: skip
    row = {name: value[0] for name, value in source[np.arange(1)].items()}
    assert len(source) == 1
    assert row["left_frames"][:, 0, 0, 0].tolist() == [2, 22]
    assert row["right_frames"][:, 0, 0, 0].tolist() == [3, 23]
    points = points_ahead()
    for side, camera in (("left", 2), ("right", 3)):
        first = np.c_[points + PLACES[2], np.ones(5)]
        expected = first @ PROJECTIONS[camera].T
        found = np.c_[points, np.ones(5)] @ row[f"{side}_camera"].T
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert "poses" not in row


def test_lists_keep_and_leave_out_target_frames(odometry, tmp_path):
    path = str(odometry[0])
    only, without = tmp_path / "only.txt", tmp_path / "without.txt"
    only.write_text("00 1\n00/000002\n\n11 000001 l\n")
    without.write_text("11 000001\n")
    settings = {"path": path, "num_frames": 3, "sequences": ("00", "11")}
    with pytest.raises(ValueError, match="only one has poses"):
        kitti(**settings)
    settings["sequences"] = ("00",)
    rows = kitti(**settings, only=str(only))[np.arange(2)]
    assert rows["frames"][:, 1, 0, 0, 0].tolist() == [12, 22]
    settings["sequences"] = ("11",)
    with pytest.raises(FileNotFoundError, match=r"holds no film: .*without = "):
        kitti(**settings, without=str(without))
    only.write_text("nothing\n")
    with pytest.raises(ValueError, match="its line 'nothing' names no frame"):
        kitti(**settings, only=str(only))


@pytest.fixture
def raw(tmp_path):
    """A drive of four frames, with positions and one scan, and its calibration."""
    date = tmp_path / "2011_09_26"
    drive = date / "2011_09_26_drive_0001_sync"
    for camera in (2, 3):
        for i in range(4):
            image(drive / f"image_{camera:02d}/data/{i:010d}.png", 10 * i + camera)
    upright = turn(2, 0.01)
    laser = shift(0, -0.1, -0.3) @ turn(1, np.pi / 2) @ turn(2, np.pi / 2)
    positions = shift(-0.8, 0.3, -0.8) @ turn(2, 0.02)
    lines = [
        "calib_time: 09-Jan-2012 13:57:47",
        f"R_rect_00: {numbers(upright[:3, :3])}",
    ]
    lines += [f"P_rect_{i:02d}: {numbers(p)}" for i, p in enumerate(PROJECTIONS)]
    (date / "calib_cam_to_cam.txt").write_text("\n".join(lines))
    for name, motion in (("velo_to_cam", laser), ("imu_to_velo", positions)):
        (date / f"calib_{name}.txt").write_text(
            f"R: {numbers(motion[:3, :3])}\nT: {numbers(motion[:3, 3])}\n"
        )
    camera = shift(*(-np.array(PLACES[2]))) @ upright @ laser
    return tmp_path, drive, camera, positions


def test_raw_poses_are_those_of_the_positions(raw):
    path, drive, camera, positions = raw
    (drive / "oxts/data").mkdir(parents=True)
    # A metre to the east and half a metre up from frame to frame, turning left.
    latitude = np.radians(49.0)
    degree = np.degrees(1 / (np.cos(latitude) * 6378137.0))
    for i in range(4):
        packet = [49.0, 8.4 + i * degree, 100 + 0.5 * i, 0.0, 0.0, 0.05 * i, 1, 2]
        (drive / f"oxts/data/{i:010d}.txt").write_text(numbers(packet))
    source = kitti(path=str(path), layout="raw", num_frames=2, gap=2)
    assert len(source) == 2
    found = source[np.arange(2)]["poses"]
    world = [shift(i, 0, 0.5 * i) @ turn(2, 0.05 * i) for i in range(4)]
    onto = camera @ positions
    for row in (0, 1):
        motion = onto @ np.linalg.inv(world[row]) @ world[row + 2] @ np.linalg.inv(onto)
        np.testing.assert_allclose(found[row, 1], motion[:3], atol=1e-4)


def test_scans_are_projected_into_the_picture(raw):
    path, drive, camera, _ = raw
    (drive / "velodyne_points/data").mkdir(parents=True)
    # (column, line, depth) of points; of two at one pixel the nearer one stays.
    pixels = np.array([[3, 4, 10], [12, 8, 5], [12, 8, 7], [15, 9, 20], [17, 4, 9.0]])
    # The files count from 1.
    rays = np.c_[pixels[:, :2] + 1, np.ones(5)] @ np.linalg.inv(K).T
    points = moved(rays * pixels[:, 2:], np.linalg.inv(camera))
    points = np.r_[np.c_[points, np.ones(5)], [[-5, 0, 0, 1]]].astype(np.float32)
    points.tofile(drive / "velodyne_points/data/0000000001.bin")
    source = kitti(path=str(path), layout="raw", num_frames=1, depth_from="velodyne")
    assert len(source) == 1
    row = source[np.arange(1)]
    assert row["frames"][0, 0, 0, 0, 0] == 12
    expected = np.zeros((H, W))
    expected[4, 3], expected[8, 12], expected[9, 15] = 10, 5, 20
    np.testing.assert_allclose(row["depth"][0], expected, rtol=1e-4)
    (drive / "velodyne_points/data/0000000001.bin").write_bytes(b"abc")
    with pytest.raises(Exception, match="has 3 bytes"):
        kitti(path=str(path), layout="raw", num_frames=1, depth_from="velodyne")[
            np.arange(1)
        ]


def test_annotated_depth_is_that_of_its_benchmark(raw):
    path, drive, _, _ = raw
    depth = np.zeros((H, W), np.float32)
    depth[2, 3] = 12.5
    maps = path / "val" / drive.name / "proj_depth/groundtruth/image_02"
    maps.mkdir(parents=True)
    write_kitti_map(str(maps / "0000000002.png"), depth)
    source = kitti(path=str(path), layout="raw", depth_from="annotated")
    assert len(source) == 1
    row = source[np.arange(1)]
    np.testing.assert_array_equal(row["depth"][0], depth)
    assert row["frames"][0, 1, 0, 0, 0] == 22


@pytest.fixture
def of_2015(tmp_path):
    """Two scenes, the second one of another size, and what is known of the first."""
    root = tmp_path / "training"
    flow = np.zeros((H, W, 3), np.float32)
    flow[2:4, 3:6] = [1.5, -2, 1]
    for folder in ("disp_occ_0", "disp_occ_1", "flow_occ", "flow_noc", "obj_map"):
        (root / folder).mkdir(parents=True)
    (root / "calib_cam_to_cam").mkdir()
    lines = [f"P_rect_{i:02d}: {numbers(p)}" for i, p in enumerate(PROJECTIONS)]
    for scene, size in (("000000", (H, W)), ("000001", (H - 2, W - 1))):
        for camera in (2, 3):
            for i in (9, 10, 11):
                image(root / f"image_{camera}" / f"{scene}_{i:02d}.png", 10 * i, size)
        name, (h, w) = f"{scene}_10.png", size
        for i, value in ((0, 4), (1, 5)):
            disparity = np.full(size, value, np.float32)
            disparity[0] = 0
            write_kitti_map(str(root / f"disp_occ_{i}" / name), disparity)
        write_kitti_flow(str(root / "flow_occ" / name), flow[:h, :w])
        seen = flow[:h, :w].copy()
        seen[2] = 0
        write_kitti_flow(str(root / "flow_noc" / name), seen)
        write_png(str(root / "obj_map" / name), np.uint8(flow[:h, :w, 2] * 3))
        (root / "calib_cam_to_cam" / f"{scene}.txt").write_text("\n".join(lines))
    return tmp_path, flow


def test_scene_flow_2015_has_all_labels(of_2015):
    path, flow = of_2015
    source = kitti(path=str(path), layout="scene_flow_2015")
    rows = source[np.arange(2)]
    assert source.fields["left_frames"].shape == (2, H, W, 3)
    assert rows["left_frames"][:, :, 0, 0, 0].tolist() == [[100, 110]] * 2
    np.testing.assert_array_equal(rows["size"], [[H, W], [H - 2, W - 1]])
    np.testing.assert_array_equal(rows["flow"][0], flow)
    assert (rows["disparity"][0, 1:] == 4).all()
    assert (rows["disparity_next"][0, 1:] == 5).all()
    assert not rows["disparity"][0, 0].any()
    baseline = np.float32(PLACES[3][0] - PLACES[2][0])
    np.testing.assert_allclose(rows["depth"][0, 1:], 20 * baseline / 4, rtol=1e-5)
    expected = np.full((H, W), 255)
    expected[2, 3:6], expected[3, 3:6] = 1, 0
    np.testing.assert_array_equal(rows["occlusion"][0], expected)
    np.testing.assert_array_equal(rows["mask"][0], flow[..., 2])
    assert source.fields["mask"].names == ("background", "object")
    # Beyond a picture that does not fill the canvas nothing is known.
    assert not rows["flow"][1, H - 2 :].any()
    assert (rows["occlusion"][1, :, W - 1 :] == 255).all()


def test_other_parts_of_2015_have_fewer_fields(of_2015):
    path = str(of_2015[0])
    flow = kitti(path=path, layout="flow_2015", num_frames=3)
    row = flow[np.arange(1)]
    assert row["frames"][0, :, 0, 0, 0].tolist() == [90, 100, 110]
    assert not {"disparity", "depth", "left_frames"} & set(flow.fields)
    stereo = kitti(path=path, layout="stereo_2015")
    assert stereo.fields["left_frames"].shape == (1, H, W, 3)
    assert not {"flow", "disparity_next", "occlusion"} & set(stereo.fields)
    os.rename(of_2015[0] / "training", of_2015[0] / "testing")
    testing = kitti(path=path, layout="scene_flow_2015", split="testing")
    assert not {"flow", "disparity", "mask"} & set(testing.fields)
    with pytest.raises(FileNotFoundError, match="holds no film"):
        kitti(path=path, layout="scene_flow_2015")
    os.remove(of_2015[0] / "testing/calib_cam_to_cam/000000.txt")
    with pytest.raises(FileNotFoundError, match=r"data_scene_flow_calib.zip"):
        kitti(path=path, layout="flow_2015", split="testing")


def test_a_canvas_shrinks_labels_with_their_frames(of_2015):
    path, flow = of_2015
    source = kitti(path=str(path), layout="scene_flow_2015", canvas=(H // 2, W // 2))
    whole = kitti(path=str(path), layout="scene_flow_2015")[np.arange(1)]
    row = source[np.arange(1)]
    np.testing.assert_allclose(
        row["disparity"][0], whole["disparity"][0, 1::2, 1::2] / 2
    )
    np.testing.assert_allclose(row["flow"][0], flow[1::2, 1::2] / [2, 2, 1])
    np.testing.assert_array_equal(row["depth"][0], whole["depth"][0, 1::2, 1::2])
    np.testing.assert_allclose(row["left_camera"][0, 0], [10, 0, 8.5 / 2 - 0.5, 0])


def test_wrong_settings_and_files_are_refused(odometry):
    path = str(odometry[0])
    for settings in (
        {"layout": "x"},
        {"depth_from": "x"},
        {"depth_from": "velodyne"},
        {"split": "test"},
        {"num_frames": 0},
        {"gap": 0},
        {"channels": 2},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} = "):
            kitti(path=path, **{"sequences": ("00",), **settings})
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        kitti(path=path + "x")
    with pytest.raises(FileNotFoundError):
        kitti(path=path, sequences=("77",))
    (odometry[0] / "sequences/00/calib.txt").write_text("P2: 1 2 3\n")
    with pytest.raises(ValueError, match=r"calib.txt: has 3 numbers for 'P2', not 12"):
        kitti(path=path, sequences=("00",))


def real():
    """The folder of ten KITTI frames among the optional data, or None."""
    root = Path(__file__).resolve().parents[2]
    data = os.environ.get("SSL_TEST_DATA")
    places = (
        [Path(data)] if data else [root / "shared/data", root.parent / "shared/data"]
    )
    found = [place / "geometry/kitti_odometry" for place in places]
    return next((path for path in found if path.is_dir()), None)


@pytest.mark.skipif(real() is None, reason="the optional data are not here")
def test_ten_real_frames_are_a_film(tmp_path):
    """As the odometry benchmark unpacks, and as a folder of frames."""
    sequence = tmp_path / "sequences/00"
    sequence.mkdir(parents=True)
    (tmp_path / "poses").mkdir()
    os.symlink(real(), sequence / "image_0")
    lines = (real() / "calib.txt").read_text().splitlines()
    (sequence / "calib.txt").write_text(
        "".join(f"P{i}: {line}\n" for i, line in enumerate(lines))
    )
    os.symlink(real() / "poses.txt", tmp_path / "poses/00.txt")
    grey = {"num_frames": 5, "channels": 1}
    sources = [
        kitti(path=str(tmp_path), colour=False, **grey),
        video_folders(path=str(real()), **grey),
    ]
    assert [len(source) for source in sources] == [6, 6]
    rows = [source[np.array([0, 5])] for source in sources]
    assert rows[0].keys() == rows[1].keys()
    for name, value in rows[0].items():
        np.testing.assert_array_equal(value, rows[1][name])
    frames, poses = rows[0]["frames"], rows[0]["poses"]
    assert frames.shape == (2, 5, 370, 1226, 1)
    np.testing.assert_allclose(rows[0]["intrinsics"][0, 0, 0], 707.0912)
    forward = np.diff(poses[..., 3], axis=1)
    assert abs(np.linalg.norm(forward, axis=-1) - 1.2).max() < 0.1
    turns = poses[..., :3] @ poses[..., :3].swapaxes(-1, -2)
    np.testing.assert_allclose(
        turns, np.broadcast_to(np.eye(3), turns.shape), atol=1e-5
    )
