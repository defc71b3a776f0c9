"""Folders of frames, of one camera or of two, that belong to no known data set."""

import functools
import glob
import os

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.cache import DEFAULT_CACHE_GIB
from jax_ssl.data.calibration import read_matrix, read_poses
from jax_ssl.data.files import files_in, folder_of
from jax_ssl.data.films import (
    EXTENSIONS,
    Film,
    check_spans,
    films,
    label,
    natural,
    no_films,
    poses_in,
    spans,
)
from jax_ssl.data.geometry_files import read_disparity
from jax_ssl.data.source import Source, absent

CAMERA_FILES = ("cam.txt", "calib.txt", "intrinsics.txt")
Four = tuple[float, float, float, float]


def video_folders(
    *,
    path: str,
    split: str = "",
    num_frames: int = 3,
    gap: int = 1,
    every: int = 1,
    intrinsics: Four | None = None,
    canvas: int | tuple[int, int] | None = None,
    channels: int = 3,
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source of films from folders of frames, each folder being one sequence.

    Frames are the images that lie directly in a folder, at any depth, in the order of
    the numbers in their names. A file cam.txt, calib.txt or intrinsics.txt in the
    folder, or in the one that `path` names, holds the nine numbers of the camera's
    matrix, or the twelve of a projection in a line as KITTI's do; a file poses.txt in
    the folder twelve numbers for each frame, from its camera to a world.

    Args:
        path: the folder.
        split: sub-folder to read, "" for the folder itself.
        num_frames: T of each row.
        gap: frames from one to the next.
        every: frames from the beginning of a row to that of the next one.
        intrinsics: (f_x, f_y, c_x, c_y) of all sequences, in pixels of the files, the
            first pixel being centred at 0; None for those of the files.
        canvas: (height, width) that larger frames are shrunk to; None for the largest
            there are.
        channels: 3, or 1 for grey.
        cache_gib: decoded rows are kept in memory where all of them fit in this.

    Returns:
        Source of "frames", "sequence", and where they are known "intrinsics" and
        "poses".

    Raises:
        FileNotFoundError: if there is no such folder, or no sequence that is long
            enough.
        ValueError: for a setting that cannot be, or a file that is broken.
    """
    check_spans(num_frames, gap, every)
    root, name = folder_of(path, split)
    folders: dict[str, list[str]] = {}
    for file in files_in(root, EXTENSIONS, "image"):
        folders.setdefault(os.path.dirname(file), []).append(file)
    rows, common = [], _camera_of(root)
    for number, folder in enumerate(sorted(folders, key=natural)):
        here = os.path.join(root, folder)
        paths = [os.path.join(root, f) for f in sorted(folders[folder], key=natural)]
        known = {"sequence": np.array(number, np.int32)}
        own = _camera_of(here)
        if intrinsics is not None:
            known["intrinsics"] = _matrix(intrinsics)
        elif own is not None or common is not None:
            known["intrinsics"] = read_matrix(own or common or "")
        world = None
        if os.path.exists(poses := os.path.join(here, "poses.txt")):
            world = read_poses(poses, len(paths))
        for span in spans(len(paths), num_frames, gap, every):
            more = {} if world is None else {"poses": poses_in(world[span])}
            frames = tuple(paths[i] for i in span)
            rows.append(Film({"frames": frames}, known | more))
    if not rows:
        longest = max(map(len, folders.values()))
        raise no_films(
            root,
            f"num_frames = {num_frames} with gap = {gap} need longer sequences than "
            f"the longest folder's {longest} frames",
        )
    return films(
        name, root, rows, canvas=canvas, channels=channels, cache_gib=cache_gib
    )


def stereo_folders(
    *,
    path: str,
    split: str = "",
    left: str = "left/*",
    right: str = "right/*",
    disparity: str = "",
    disparity_scale: float = 256.0,
    num_frames: int = 1,
    gap: int = 1,
    every: int = 1,
    intrinsics: Four | None = None,
    baseline: float | None = None,
    shift: float = 0.0,
    canvas: int | tuple[int, int] | None = None,
    channels: int = 3,
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source of rectified pairs of pictures, or of films, from two sets of files.

    Args:
        path: the folder.
        split: sub-folder to read, "" for the folder itself.
        left: pattern of the left files under the folder, such as "left/*" or
            "**/left_*.png"; those of one folder are one sequence, in the order of the
            numbers in their names.
        right: of the right files, which must be as many.
        disparity: of the left pictures' disparities, as many again: .pfm, .npy, .npz,
            or PNGs; "" for none.
        disparity_scale: what the numbers of PNGs are divided by.
        num_frames: T of each row.
        gap: frames from one to the next.
        every: frames from the beginning of a row to that of the next one.
        intrinsics: (f_x, f_y, c_x, c_y) of the left camera, in pixels of the files.
        baseline: in metres. Without these two the cameras are not known.
        shift: of the right camera's c_x to the left one's, in pixels, by which
            disparities are smaller than f b / z. Methods of depth do not know it and
            learn f b / disparity; their disparities are right.
        canvas: (height, width) that larger pictures are shrunk to; None for the largest
            there are.
        channels: 3, or 1 for grey.
        cache_gib: decoded rows are kept in memory where all of them fit in this.

    Returns:
        Source of "left_frames", "right_frames", "sequence", and where they are known
        "left_camera", "right_camera" and "disparity".

    Raises:
        FileNotFoundError: if there is no such folder, or no pair in it.
        ValueError: for a setting that cannot be, or files without a partner.
    """
    check_spans(num_frames, gap, every)
    checks.positive(disparity_scale=disparity_scale, baseline=baseline)
    checks.within("(-inf, inf)", shift=shift)
    if (intrinsics is None) != (baseline is None):
        raise ValueError(
            f"intrinsics = {intrinsics} and baseline = {baseline}: give both, or "
            "neither where the cameras are not known."
        )
    root, name = folder_of(path, split)
    if not os.path.isdir(root):
        raise FileNotFoundError(absent("data.path", root, "folder"))
    patterns = {"left": left, "right": right}
    patterns |= {"disparity": disparity} if disparity else {}
    found = {side: _matching(root, pattern) for side, pattern in patterns.items()}
    counts = {side: len(paths) for side, paths in found.items()}
    if len(set(counts.values())) != 1:
        said = ", ".join(
            f"{side} = {patterns[side]!r} {count}" for side, count in counts.items()
        )
        raise ValueError(f"the patterns must match as many files in {root}: {said}.")
    known = {} if intrinsics is None else _cameras(intrinsics, baseline or 0.0, shift)
    read = functools.partial(read_disparity, scale=disparity_scale)
    sequences: dict[str, list[int]] = {}
    for i, file in enumerate(found["left"]):
        sequences.setdefault(os.path.dirname(file), []).append(i)
    rows = []
    for number, members in enumerate(sequences.values()):
        for span in spans(len(members), num_frames, gap, every):
            at = [members[i] for i in span]
            target = at[(num_frames - 1) // 2]
            rows.append(
                Film(
                    {
                        f"{side}_frames": tuple(found[side][i] for i in at)
                        for side in ("left", "right")
                    },
                    known | {"sequence": np.array(number, np.int32)},
                    {"disparity": label(found["disparity"][target], read)}
                    if disparity
                    else {},
                )
            )
    if not rows:
        raise no_films(
            root,
            f"left = {left!r} and right = {right!r} match {counts['left']} files, and "
            f"num_frames = {num_frames} with gap = {gap} need more in one folder",
        )
    return films(
        name, root, rows, canvas=canvas, channels=channels, cache_gib=cache_gib
    )


def _matching(root: str, pattern: str) -> list[str]:
    found = glob.glob(os.path.join(glob.escape(root), pattern), recursive=True)
    return sorted((path for path in found if os.path.isfile(path)), key=natural)


def _camera_of(folder: str) -> str | None:
    paths = (os.path.join(folder, name) for name in CAMERA_FILES)
    return next(filter(os.path.exists, paths), None)


def _matrix(intrinsics: Four) -> np.ndarray:
    f_x, f_y, c_x, c_y = intrinsics
    checks.positive(intrinsics=(f_x, f_y))
    checks.within("(-inf, inf)", intrinsics=(c_x, c_y))
    return np.array([[f_x, 0, c_x], [0, f_y, c_y], [0, 0, 1]], np.float32)


def _cameras(intrinsics: Four, baseline: float, shift: float) -> dict[str, np.ndarray]:
    left = np.concatenate([_matrix(intrinsics), np.zeros((3, 1))], axis=1)
    right = left.copy()
    right[0, 2] += shift
    right[0, 3] = -left[0, 0] * baseline
    return {
        "left_camera": left.astype(np.float32),
        "right_camera": right.astype(np.float32),
    }
