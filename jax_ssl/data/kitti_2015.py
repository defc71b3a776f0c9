"""The 200 scenes of KITTI 2015 as its archives unpack, with and without labels."""

import os
from collections.abc import Callable
from typing import Literal

import numpy as np

from jax_ssl.core.fields import VOID
from jax_ssl.data.calibration import Rig, keyed_numbers, rig_of, taken
from jax_ssl.data.films import Film, Label, label
from jax_ssl.data.geometry_files import read_kitti_flow, read_kitti_map, read_png

Benchmark = Literal["scene_flow_2015", "flow_2015", "stereo_2015"]
OBJECTS = ("background", "object")
_TARGET = 10  # The number of the frame that labels belong to.


def films_of_2015(
    path: str, benchmark: Benchmark, split: str, num_frames: int, gap: int
) -> list[Film]:
    """The rows of one benchmark.

    Args:
        path: of the folder that holds training/ and testing/.
        benchmark: which fields there are.
        split: "training" or "testing".
        num_frames: of each row.
        gap: frames from one to the next.

    Raises:
        FileNotFoundError: if the calibration is not there.
        BrokenFile: if a file holds something else.
    """
    root = os.path.join(path, split)
    stereo, folder = benchmark != "flow_2015", os.path.join(root, "image_2")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    scenes = [name[:6] for name in names if name.endswith(f"_{_TARGET}.png")]
    first = _TARGET - (num_frames - 1) // 2 * gap
    numbers = range(first, first + num_frames * gap, gap)
    rows = []
    for count, scene in enumerate(scenes):
        paths = [
            tuple(os.path.join(root, image, f"{scene}_{i:02d}.png") for i in numbers)
            for image in ("image_2", "image_3")
        ]
        if not all(map(os.path.exists, paths[0] + (paths[1] if stereo else ()))):
            continue
        rig = _rig(root, scene)
        known = {"sequence": np.array(count, np.int32)}
        if stereo:
            frames = {"left_frames": paths[0], "right_frames": paths[1]}
            known |= {"left_camera": rig.left, "right_camera": rig.right}
        else:
            frames, known["intrinsics"] = {"frames": paths[0]}, rig.intrinsics
        labels = {} if split == "testing" else _labels(root, scene, benchmark, rig)
        rows.append(Film(frames, known, labels))
    return rows


def _rig(root: str, scene: str) -> Rig:
    file = os.path.join(root, "calib_cam_to_cam", f"{scene}.txt")
    if not os.path.exists(file):
        raise FileNotFoundError(
            f"{file} is not there; unpack the calibration archive "
            "(data_scene_flow_calib.zip) into the same folder."
        )
    found = keyed_numbers(file)
    return rig_of(*(taken(file, found, f"P_rect_{i:02d}", 3, 4) for i in (2, 3)))


def _labels(root: str, scene: str, benchmark: Benchmark, rig: Rig) -> dict[str, Label]:
    def of(folder: str, read: Callable[[str], np.ndarray]) -> Label:
        return label(os.path.join(root, folder, f"{scene}_{_TARGET}.png"), read)

    def depth(path: str) -> np.ndarray:
        disparity = read_kitti_map(path)
        known = disparity > 0
        far = np.where(known, rig.parallax / np.where(known, disparity, 1), 0)
        return far.astype(np.float32)

    labels = {}
    if benchmark != "flow_2015":
        labels["disparity"] = of("disp_occ_0", read_kitti_map)
        labels["depth"] = of("disp_occ_0", depth)
    if benchmark == "scene_flow_2015":
        labels["disparity_next"] = of("disp_occ_1", read_kitti_map)
    if benchmark != "stereo_2015":
        labels["flow"] = of("flow_occ", read_kitti_flow)
        labels["occlusion"] = of("flow_noc", _occlusion)
    if os.path.isdir(os.path.join(root, "obj_map")):
        labels["mask"] = of("obj_map", _objects)
    return labels


def _occlusion(path: str) -> np.ndarray:
    """1 where the flow is known, but not in the map of points that stay in sight."""
    seen, known = (
        read_kitti_flow(file)[..., 2] > 0
        for file in (path, path.replace("flow_noc", "flow_occ"))
    )
    return np.where(seen, 0, np.where(known, 1, VOID)).astype(np.uint8)


def _objects(path: str) -> np.ndarray:
    return (read_png(path) > 0).astype(np.uint8)
