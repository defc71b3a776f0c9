"""KITTI's data sets in the folders that its archives unpack into."""

import os
from typing import Literal, cast, get_args

from jax_ssl.core import checks
from jax_ssl.data.cache import DEFAULT_CACHE_GIB
from jax_ssl.data.films import check_spans, films, no_films
from jax_ssl.data.kitti_2015 import OBJECTS, Benchmark, films_of_2015
from jax_ssl.data.kitti_drives import Depth, drives_in, frames_of, sequences_in
from jax_ssl.data.source import Source, absent

Layout = Literal["raw", "odometry", Benchmark]
# Frames of a row where their number is left alone.
_FRAMES = {"scene_flow_2015": 2, "flow_2015": 2, "stereo_2015": 1}


def kitti(
    *,
    path: str,
    layout: Layout = "odometry",
    split: str = "",
    num_frames: int | None = None,
    gap: int = 1,
    every: int = 1,
    stereo: bool = False,
    colour: bool = True,
    sequences: tuple[str, ...] = (),
    only: str = "",
    without: str = "",
    depth_from: Depth = "none",
    canvas: int | tuple[int, int] | None = None,
    channels: int = 3,
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source of KITTI's films, of one camera or of two, with what is known of them.

    Args:
        path: the folder that holds sequences/ (layout odometry), folders of dates such
            as 2011_09_26/ (raw), or training/ and testing/ (those of 2015).
        layout: "raw"; "odometry"; of the 200 scenes of 2015 "scene_flow_2015" (two
            cameras with disparity, flow and disparity_next), "flow_2015" (one camera
            with flow) or "stereo_2015" (two cameras with disparity).
        split: of 2015 "training", which is meant by "", or "testing" without labels;
            "" for the others, which have no parts of their own.
        num_frames: T of each row; None for 3, of 2015 for 2, and for 1 in
            stereo_2015. More than these need the multi-view archive.
        gap: frames from one to the next.
        every: frames from the beginning of a row to that of the next one.
        stereo: whether there are two cameras, in the layouts raw and odometry.
        colour: those of colour (numbers 2 and 3), or of grey (0 and 1).
        sequences: names of sequences, such as ("09", "10"), or of drives, such as
            ("2011_09_26_drive_0001_sync",); () for all.
        only: a file that names the target frames to keep, a drive or sequence and the
            number of a frame in each line, as those of Eigen's split do; "" for all.
        without: a file of target frames to leave out, such as those at rest.
        depth_from: of raw drives, "velodyne" for scans that are projected into the
            picture, "annotated" for the maps of the depth benchmark, whose train/ and
            val/ lie in the folder too; films without are left out.
        canvas: (height, width) that larger frames are shrunk to; None for the largest
            there are.
        channels: 3, or 1 for grey.
        cache_gib: decoded rows are kept in memory where all of them fit in this.

    Returns:
        Source of "frames" and "intrinsics", or of two cameras "left_frames",
        "right_frames", "left_camera" and "right_camera" in metres; "sequence"; "poses"
        where poses/ (odometry) or oxts/ (raw) are there; and the labels of the layout,
        "occlusion" of 2015 being 1 where the point leaves the picture.

    Raises:
        FileNotFoundError: if there is no such folder, no film in it, or no calibration.
        ValueError: for a setting that cannot be, or a file that is broken.
    """
    checks.one_of(get_args(Layout), layout=layout)
    checks.one_of(get_args(Depth), depth_from=depth_from)
    count = num_frames or _FRAMES.get(layout, 3)
    check_spans(count if num_frames is None else num_frames, gap, every)
    path = os.path.expanduser(path)
    of_2015 = layout.endswith("_2015")
    if split not in (("", "training", "testing") if of_2015 else ("",)):
        raise ValueError(
            f"split = {split!r}: layout = {layout!r} has "
            + ('"training" and "testing".' if of_2015 else "none; set sequences, only.")
        )
    if depth_from != "none" and layout != "raw":
        raise ValueError(
            f"depth_from = {depth_from!r} is known of layout = 'raw' alone."
        )
    if not os.path.isdir(path):
        raise FileNotFoundError(absent("data.path", path, "folder"))
    if layout in get_args(Benchmark):
        rows = films_of_2015(
            path, cast(Benchmark, layout), split or "training", count, gap
        )
    else:
        cameras = [2, 3] if colour else [0, 1]
        cameras = cameras if stereo else cameras[:1]
        found = (
            drives_in(path, sequences, cameras, depth_from)
            if layout == "raw"
            else sequences_in(path, sequences, cameras)
        )
        wanted, unwanted = frames_of(only), frames_of(without) or set()

        def keeps(name: str, target: int) -> bool:
            named = (name, target)
            return named not in unwanted and (wanted is None or named in wanted)

        rows = [
            drive.film(numbers, number)
            for number, drive in enumerate(found)
            for numbers in drive.spans(count, gap, every)
            if keeps(drive.name, numbers[(count - 1) // 2])
        ]
    if not rows:
        raise no_films(
            path,
            f"layout = {layout!r} with num_frames = {count}, gap = {gap}, "
            f"sequences = {sequences}, only = {only!r}, without = {without!r}",
        )
    name = f"kitti {layout}" + (f" {split}" if split else "")
    return films(
        name,
        path,
        rows,
        canvas=canvas,
        channels=channels,
        cache_gib=cache_gib,
        mask_names=OBJECTS,
    )
