"""FlyingChairs and Sintel, films with flow, in the folders that they unpack into."""

import os
from typing import Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.cache import DEFAULT_CACHE_GIB
from jax_ssl.data.films import Film, check_spans, films, images_in, label, no_films
from jax_ssl.data.films import spans as spans_of
from jax_ssl.data.geometry_files import BrokenFile, read_flo, read_png
from jax_ssl.data.source import Source, absent

_SPLIT_FILES = (
    "FlyingChairs_train_val.txt",
    "FlyingChairs_release_test_train_split.list",
)
_PARTS = {"train": 1, "validation": 2}


def flying_chairs(
    *,
    path: str,
    split: Literal["", "train", "validation"] = "",
    canvas: int | tuple[int, int] | None = None,
    channels: int = 3,
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """FlyingChairs: 22,872 pairs of frames with flow.

    Args:
        path: the folder that holds data/, with files such as 00001_img1.ppm,
            00001_img2.ppm and 00001_flow.flo.
        split: "train" or "validation" by FlyingChairs_train_val.txt in the folder or
            beside it, a line of 1 or 2 for each pair; "" for all.
        canvas: (height, width) that larger frames are shrunk to; None for the largest
            there are.
        channels: 3, or 1 for grey.
        cache_gib: decoded rows are kept in memory where all of them fit in this.

    Returns:
        Source of "frames" [2, H, W, C], "flow" [H, W, 3] and "sequence".

    Raises:
        FileNotFoundError: if there is no such folder, no pair in it, or no list of the
            parts.
        ValueError: for a setting that cannot be.
    """
    checks.one_of(("", *_PARTS), split=split)
    path = os.path.expanduser(path)
    folder = os.path.join(path, "data")
    if not os.path.isdir(folder):
        raise FileNotFoundError(absent("data.path", folder, "folder"))
    names = sorted(n[:-9] for n in os.listdir(folder) if n.endswith("_img1.ppm"))
    parts = _parts_of(path, len(names)) if split else None
    rows = []
    for number, name in enumerate(names):
        if parts is not None and parts[number] != _PARTS[split]:
            continue
        at = os.path.join(folder, name)
        rows.append(
            Film(
                {"frames": (f"{at}_img1.ppm", f"{at}_img2.ppm")},
                {"sequence": np.array(number, np.int32)},
                {"flow": label(f"{at}_flow.flo", read_flo)},
            )
        )
    if not rows:
        raise no_films(path, f"split = {split!r} names none of {len(names)} pairs")
    return films(
        f"flying_chairs {split}".strip(),
        path,
        rows,
        canvas=canvas,
        channels=channels,
        cache_gib=cache_gib,
    )


def sintel(
    *,
    path: str,
    split: Literal["training", "test"] = "training",
    render: Literal["clean", "final", "albedo"] = "clean",
    num_frames: int = 2,
    gap: int = 1,
    every: int = 1,
    scenes: tuple[str, ...] = (),
    canvas: int | tuple[int, int] | None = None,
    channels: int = 3,
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """MPI Sintel: films of 23 scenes with flow and occlusions, and 12 without.

    Args:
        path: the folder that holds training/ and test/.
        split: which of them.
        render: "clean", "final", or "albedo" without light, of the training part.
        num_frames: T of each row.
        gap: frames from one to the next; there are labels where it is 1.
        every: frames from the beginning of a row to that of the next one.
        scenes: such as ("alley_1", "market_2"); () for all.
        canvas: (height, width) that larger frames are shrunk to; None for the largest
            there are.
        channels: 3, or 1 for grey.
        cache_gib: decoded rows are kept in memory where all of them fit in this.

    Returns:
        Source of "frames", "sequence", and of the training part "flow", unknown where
        the data set calls it invalid, and "occlusion" where the folder occlusions/ is
        there.

    Raises:
        FileNotFoundError: if there is no such folder, or no film in it.
        ValueError: for a setting that cannot be.
    """
    checks.one_of(("training", "test"), split=split)
    checks.one_of(("clean", "final", "albedo"), render=render)
    check_spans(num_frames, gap, every)
    path = os.path.expanduser(path)
    root = os.path.join(path, split)
    folder = os.path.join(root, render)
    if not os.path.isdir(folder):
        raise FileNotFoundError(absent("data.path", folder, "folder"))
    labelled = split == "training" and gap == 1 and num_frames > 1
    occluded = labelled and os.path.isdir(os.path.join(root, "occlusions"))
    rows = []
    for number, scene in enumerate(scenes or sorted(os.listdir(folder))):
        paths = images_in(os.path.join(folder, scene))
        for span in spans_of(len(paths), num_frames, gap, every):
            target = paths[span[(num_frames - 1) // 2]]
            stem = os.path.splitext(os.path.basename(target))[0]
            labels = {}
            if labelled:
                file = os.path.join(root, "flow", scene, f"{stem}.flo")
                labels["flow"] = label(file, _valid_flow)
            if occluded:
                file = os.path.join(root, "occlusions", scene, f"{stem}.png")
                labels["occlusion"] = label(file, _occlusion)
            known = {"sequence": np.array(number, np.int32)}
            rows.append(Film({"frames": tuple(paths[i] for i in span)}, known, labels))
    if not rows:
        raise no_films(
            folder,
            f"scenes = {scenes} with num_frames = {num_frames} and gap = {gap}",
        )
    return films(
        f"sintel {split} {render}",
        path,
        rows,
        canvas=canvas,
        channels=channels,
        cache_gib=cache_gib,
    )


def _parts_of(path: str, count: int) -> np.ndarray:
    """[count] 1 or 2 for each pair of FlyingChairs."""
    folders = (path, os.path.dirname(os.path.abspath(path)))
    files = [os.path.join(f, name) for f in folders for name in _SPLIT_FILES]
    file = next(filter(os.path.exists, files), None)
    if file is None:
        raise FileNotFoundError(
            f"{files[0]} is not there, which says what belongs to data.split; copy it "
            "from the data set's page, or set data.split = ''."
        )
    with open(file, encoding="utf-8") as lines:
        words = lines.read().split()
    if len(words) != count or not set(words) <= {"1", "2"}:
        raise BrokenFile(
            file, f"holds {len(words)} words for {count} pairs",
            "it must have a line of 1 or 2 for each",
        )  # fmt: skip
    return np.array(words, int)


def _valid_flow(path: str) -> np.ndarray:
    """Flow that is unknown where the picture of the folder invalid/ is white."""
    flow = read_flo(path)
    folder, name = os.path.split(path)
    root, scene = os.path.split(folder)
    stem = os.path.splitext(name)[0]
    invalid = os.path.join(os.path.dirname(root), "invalid", scene, f"{stem}.png")
    if os.path.exists(invalid):
        flow = flow * (read_png(invalid) == 0)[..., None]
    return flow.astype(np.float32)


def _occlusion(path: str) -> np.ndarray:
    return (read_png(path) > 0).astype(np.uint8)
