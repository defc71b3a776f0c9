"""Files that say where cameras are: matrices, poses, positions and scans of KITTI."""

import os
from typing import NamedTuple

import numpy as np

from jax_ssl.data.bands import Sides
from jax_ssl.data.geometry_files import BrokenFile
from jax_ssl.data.motions import about

_EARTH = 6378137.0  # Radius in metres, of the Mercator projection.


class Rig(NamedTuple):
    """Two rectified cameras, in the coordinates of the left one.

    Attributes:
        left: [3, 4] float32, to pixels.
        right: [3, 4] float32.
        from_first: [4, 4] from the coordinates that the files' matrices lead from.
    """

    left: np.ndarray
    right: np.ndarray
    from_first: np.ndarray

    @property
    def intrinsics(self) -> np.ndarray:
        """[3, 3] of the left camera."""
        return self.left[:, :3]

    @property
    def parallax(self) -> float:
        """Focal length times baseline: the disparity of a point at one metre."""
        return float(-self.right[0, 3])


def rig_of(left: np.ndarray, right: np.ndarray) -> Rig:
    """Cameras from two projections [3, 4] that lead from the same coordinates."""
    shift = np.linalg.solve(left[:, :3], left[:, 3])
    moved = right[:, 3] - right[:, :3] @ shift
    from_first = np.eye(4)
    from_first[:3, 3] = shift
    cameras = (
        np.concatenate([k, t[:, None]], axis=1).astype(np.float32)
        for k, t in ((left[:, :3], np.zeros(3)), (right[:, :3], moved))
    )
    return Rig(next(cameras), next(cameras), from_first)


def keyed_numbers(path: str) -> dict[str, np.ndarray]:
    """The lines "key: numbers" of a file; a line without a key has its number as one.

    Lines that hold words instead, such as dates, are left out.

    Raises:
        OSError: if it cannot be opened.
    """
    found: dict[str, np.ndarray] = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file):
            key, _, rest = line.partition(":") if ":" in line else ("", "", line)
            try:
                values = np.array([float(word) for word in rest.split()])
            except ValueError:
                continue
            if values.size:
                found[key.strip() or str(number)] = values
    return found


def taken(path: str, found: dict[str, np.ndarray], key: str, *shape: int) -> np.ndarray:
    """The numbers of one key in a shape.

    Raises:
        BrokenFile: if there are none, or not so many.
    """
    if key not in found or found[key].size != np.prod(shape):
        have = found[key].size if key in found else "no"
        raise BrokenFile(
            path,
            f"has {have} numbers for {key!r}, not {int(np.prod(shape))}",
            "unpack the calibration of the data set again",
        )
    return found[key].reshape(shape)


def read_matrix(path: str) -> np.ndarray:
    """Intrinsics [3, 3] float32 of a file of nine numbers, or of twelve a line.

    Raises:
        BrokenFile: if it holds something else.
        OSError: if it cannot be opened.
    """
    lines = [*keyed_numbers(path).values()]
    numbers = np.concatenate(lines) if lines else np.zeros(0)
    if lines and lines[0].size % 12 == 0:
        matrix = lines[0][:12].reshape(3, 4)[:, :3]
    elif numbers.size == 9:
        matrix = numbers.reshape(3, 3)
    else:
        raise BrokenFile(
            path,
            f"holds {numbers.size} numbers",
            "write the nine of a matrix [3, 3], or a projection's twelve in a line",
        )
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or not np.allclose(matrix[2], [0, 0, 1]):
        raise BrokenFile(
            path,
            f"its matrix is {matrix.tolist()}",
            "the focal lengths must be positive and the last row 0 0 1",
        )
    return matrix.astype(np.float32)


def read_poses(path: str, count: int) -> np.ndarray:
    """[count, 4, 4] from cameras to a world, from twelve numbers a line.

    Raises:
        BrokenFile: if there are not so many.
        OSError: if it cannot be opened.
    """
    numbers = [*keyed_numbers(path).values()]
    flat = np.concatenate(numbers) if numbers else np.zeros(0)
    if flat.size != 12 * count:
        raise BrokenFile(
            path,
            f"holds {flat.size} numbers",
            f"twelve are needed for each of the {count} frames",
        )
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3] = flat.reshape(count, 3, 4)
    return poses


def read_oxts(paths: list[str]) -> np.ndarray:
    """[n, 4, 4] from the positioning system to a world, by Mercator's projection.

    Args:
        paths: of n packets, which begin with latitude, longitude, altitude, roll, pitch
            and yaw.

    Raises:
        BrokenFile: if one holds fewer numbers.
        OSError: if one cannot be opened.
    """
    poses = np.tile(np.eye(4), (len(paths), 1, 1))
    scale = None
    for pose, path in zip(poses, paths, strict=True):
        numbers = next(iter(keyed_numbers(path).values()), np.zeros(0))
        if numbers.size < 6:
            raise BrokenFile(
                path, f"holds {numbers.size} numbers", "unpack the drive again"
            )
        latitude, longitude, altitude, roll, pitch, yaw = numbers[:6]
        # The first latitude's, so that a world has one scale.
        scale = np.cos(np.radians(latitude)) if scale is None else scale
        north = np.log(np.tan(np.radians(90 + latitude) / 2))
        pose[:3, 3] = (
            scale * _EARTH * np.radians(longitude),
            scale * _EARTH * north,
            altitude,
        )
        pose[:3, :3] = about(2, yaw) @ about(1, pitch) @ about(0, roll)
    return poses


def scan_depth(path: str, full: Sides, *, projection: np.ndarray) -> np.ndarray:
    """Depth [H, W] of a laser scan, 0 where no point falls; of several the nearest.

    Args:
        path: of a .bin file of (x, y, z, reflectance) as float32, x forwards.
        full: (H, W) of the picture.
        projection: [3, 4] from the laser's coordinates to pixels.

    Raises:
        BrokenFile: if it is empty or ends within a point.
        OSError: if it cannot be opened.

    Note:
        Pixels are rounded and one is subtracted, as in the released evaluations of
        Monodepth and Monodepth2, which follow KITTI's Matlab code.
    """
    size = os.path.getsize(path)
    if size == 0 or size % 16:
        raise BrokenFile(path, f"has {size} bytes", "points have 16; unpack it again")
    points = np.fromfile(path, np.float32).reshape(-1, 4).astype(np.float64)
    points = points[points[:, 0] >= 0]
    points[:, 3] = 1
    x, y, z = projection @ points.T
    there = z > 0
    x, y, z = x[there], y[there], z[there]
    column, line = (np.rint(side / z).astype(int) - 1 for side in (x, y))
    height, width = full
    inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
    depth = np.full(full, np.inf)
    np.minimum.at(depth, (line[inside], column[inside]), z[inside])
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32)
