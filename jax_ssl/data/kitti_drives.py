"""KITTI's long films: raw drives, and the sequences of the odometry benchmark."""

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jax_ssl.data.calibration import (
    Rig,
    keyed_numbers,
    read_oxts,
    read_poses,
    rig_of,
    scan_depth,
    taken,
)
from jax_ssl.data.films import Film, Label, images_in, label, poses_in
from jax_ssl.data.geometry_files import BrokenFile, read_kitti_map
from jax_ssl.data.motions import placed

Depth = Literal["none", "velodyne", "annotated"]
SIDES = ("left", "right")
_DATE = r"\d{4}_\d\d_\d\d"
_DRIVE = rf"{_DATE}_drive_\d{{4}}\w*"
_NAMED = re.compile(rf"({_DRIVE})|\b(\d+)\b")


@dataclass(frozen=True)
class Drive:
    """One film of any length.

    Attributes:
        name: of the drive or sequence.
        frames: paths by their number, for one camera or for two.
        rig: the cameras.
        world: [4, 4] from the left camera to a world, by number, where known.
        oxts: paths of positions by number, where they are known instead.
        from_oxts: [4, 4] from the positioning system to the left camera.
        depth: the depth of frames by number; only these can be targets.
    """

    name: str
    frames: tuple[Mapping[int, str], ...]
    rig: Rig
    world: Mapping[int, np.ndarray] | None = None
    oxts: Mapping[int, str] | None = None
    from_oxts: Any = None
    depth: Mapping[int, Label] | None = None

    def spans(self, num_frames: int, gap: int, every: int) -> Iterator[list[int]]:
        """The numbers of the frames of all rows that are whole."""
        numbers = set.intersection(*map(set, self.frames))
        for first in sorted(numbers)[::every]:
            span = [first + i * gap for i in range(num_frames)]
            target = span[(num_frames - 1) // 2]
            known = self.depth is None or target in self.depth
            if known and numbers.issuperset(span):
                yield span

    def film(self, numbers: Sequence[int], sequence: int) -> Film:
        """The row of these frames."""
        paths = [tuple(each[i] for i in numbers) for each in self.frames]
        known = {"sequence": np.array(sequence, np.int32)}
        labels = {}
        if len(paths) == 1:
            frames = {"frames": paths[0]}
            known["intrinsics"] = self.rig.intrinsics
        else:
            frames = {f"{side}_frames": p for side, p in zip(SIDES, paths, strict=True)}
            known |= {"left_camera": self.rig.left, "right_camera": self.rig.right}
        if self.world is not None:
            known["poses"] = poses_in(np.stack([self.world[i] for i in numbers]))
        elif self.oxts is not None and all(i in self.oxts for i in numbers):
            packets = [self.oxts[i] for i in numbers]
            labels["poses"] = label(packets[0], self._reader(packets))
        if self.depth is not None:
            labels["depth"] = self.depth[numbers[(len(numbers) - 1) // 2]]
        return Film(frames, known, labels)

    def _reader(self, packets: list[str]) -> Callable[[str], np.ndarray]:
        return lambda _: poses_in(read_oxts(packets) @ np.linalg.inv(self.from_oxts))


def sequences_in(
    path: str, names: Sequence[str], cameras: Sequence[int]
) -> Iterator[Drive]:
    """The sequences of the odometry benchmark.

    Args:
        path: of the folder that holds sequences/ and poses/.
        names: of sequences; () for all.
        cameras: their numbers, the left one's first.

    Raises:
        FileNotFoundError: if a sequence or its calibration is not there.
        BrokenFile: if a file holds something else.
    """
    root = os.path.join(path, "sequences")
    for name in names or _folders(root):
        folder = os.path.join(root, name)
        file = os.path.join(folder, "calib.txt")
        found = keyed_numbers(file)
        left, right = (
            taken(file, found, f"P{camera}", 3, 4) for camera in _pair(cameras)
        )
        rig = rig_of(left, right)
        frames = tuple(
            _numbered(os.path.join(folder, f"image_{camera}")) for camera in cameras
        )
        world = None
        poses = os.path.join(path, "poses", f"{name}.txt")
        if os.path.exists(poses):
            # Of the first camera, for every frame from number 0 on.
            first = read_poses(poses, 1 + max(frames[0], default=-1))
            back = np.linalg.inv(rig.from_first)
            world = dict(enumerate(first @ back))
        yield Drive(name, frames, rig, world)


def drives_in(
    path: str, names: Sequence[str], cameras: Sequence[int], depth: Depth
) -> Iterator[Drive]:
    """The raw drives.

    Args:
        path: of the folder that holds those of dates.
        names: of drives; () for all.
        cameras: their numbers, the left one's first.
        depth: where it comes from.

    Raises:
        FileNotFoundError: if a drive or its calibration is not there.
        BrokenFile: if a file holds something else.
    """
    found = names or [
        drive
        for date in _folders(path)
        if re.fullmatch(_DATE, date)
        for drive in _folders(os.path.join(path, date))
        if re.fullmatch(_DRIVE, drive)
    ]
    for name in found:
        date = os.path.join(path, name[:10])
        folder = os.path.join(date, name)
        file = os.path.join(date, "calib_cam_to_cam.txt")
        numbers = keyed_numbers(file)
        left, right = (
            taken(file, numbers, f"P_rect_{camera:02d}", 3, 4)
            for camera in _pair(cameras)
        )
        rig = rig_of(left, right)
        frames = tuple(
            _numbered(os.path.join(folder, f"image_{camera:02d}", "data"))
            for camera in cameras
        )
        upright = placed(taken(file, numbers, "R_rect_00", 3, 3), np.zeros(3))
        oxts = from_oxts = None
        packets = os.path.join(folder, "oxts", "data")
        if os.path.isdir(packets):
            oxts = _numbered(packets, ".txt")
            from_oxts = rig.from_first @ upright @ _motion(date, "velo_to_cam")
            from_oxts = from_oxts @ _motion(date, "imu_to_velo")
        labels = None
        if depth == "velodyne":
            onto = left @ upright @ _motion(date, "velo_to_cam")
            read = functools.partial(scan_depth, projection=onto)
            scans = os.path.join(folder, "velodyne_points", "data")
            labels = {i: Label(p, read) for i, p in _numbered(scans, ".bin").items()}
        elif depth == "annotated":
            labels = _annotated(path, name, cameras[0])
        yield Drive(name, frames, rig, None, oxts, from_oxts, labels)


def frames_of(path: str) -> set[tuple[str, int]] | None:
    """The (drive or sequence, number) that the lines of a file name; None for "".

    Raises:
        FileNotFoundError: if there is no such file.
        BrokenFile: if a line names none.
    """
    if not path:
        return None
    found = set()
    with open(os.path.expanduser(path), encoding="utf-8") as file:
        for line in filter(None, map(str.strip, file)):
            words = [drive or number for drive, number in _NAMED.findall(line)]
            if len(words) < 2:
                raise BrokenFile(
                    path,
                    f"its line {line!r} names no frame",
                    "write a drive or sequence and the number of a frame in each line",
                )
            found.add((words[0], int(words[1])))
    return found


def _annotated(path: str, name: str, camera: int) -> dict[int, Label]:
    for part in ("train", "val", "."):
        folder = os.path.join(
            path, part, name, "proj_depth", "groundtruth", f"image_{camera:02d}"
        )
        if os.path.isdir(folder):
            maps = _numbered(folder)
            return {i: label(p, read_kitti_map) for i, p in maps.items()}
    return {}


def _motion(date: str, name: str) -> np.ndarray:
    """[4, 4] of a calibration file."""
    file = os.path.join(date, f"calib_{name}.txt")
    found = keyed_numbers(file)
    return placed(taken(file, found, "R", 3, 3), taken(file, found, "T", 3))


def _pair(cameras: Sequence[int]) -> tuple[int, int]:
    """Numbers of the left and the right one, though only the left may be read."""
    return cameras[0], cameras[0] + 1


def _folders(path: str) -> list[str]:
    if not os.path.isdir(path):
        return []
    return sorted(
        entry.name
        for entry in os.scandir(path)
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _numbered(folder: str, suffix: str = "") -> dict[int, str]:
    """Paths of files by the number that their name is.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    paths = (
        [os.path.join(folder, name) for name in os.listdir(folder)]
        if suffix
        else images_in(folder)
    )
    found = {}
    for path in paths:
        stem, end = os.path.splitext(os.path.basename(path))
        if stem.isdigit() and end == (suffix or end):
            found[int(stem)] = path
    return found
