"""Films that lie as image files on disk, with what is known of their target frames.

The sources of folders and data sets say which files make a row; here they are decoded
and laid on a canvas, and the labels with them.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import INDEX, ON_CANVAS, Field, Kind
from jax_ssl.data.bands import Sides
from jax_ssl.data.cache import cached
from jax_ssl.data.canvas import decode, shrink, sides_of, stack
from jax_ssl.data.corrupt import spread
from jax_ssl.data.files import known_of
from jax_ssl.data.geometry_files import BrokenFile
from jax_ssl.data.images import MAX_MEGAPIXELS, open_file, opened
from jax_ssl.data.source import Rows, Source

KINDS: Mapping[str, Kind] = {
    "frames": "frames",
    "left_frames": "frames",
    "right_frames": "frames",
    "intrinsics": "matrix",
    "left_camera": "matrix",
    "right_camera": "matrix",
    "depth": "depth",
    "disparity": "disparity",
    "disparity_next": "disparity",
    "flow": "flow",
    "occlusion": "mask",
    "mask": "mask",
    "poses": "poses",
    "sequence": "label",
}
LOOKED_AT = 64  # Films whose headers are read where no canvas is set.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".webp")


class Label(NamedTuple):
    """What is known of a film's target frame, in a file.

    Attributes:
        path: of the file.
        read: (path, (height, width) of the picture) -> the field of one example.
    """

    path: str
    read: Callable[[str, Sides], np.ndarray]


def label(path: str, read: Callable[[str], np.ndarray]) -> Label:
    """A label whose file says its size itself."""
    return Label(path, lambda path, full: read(path))


class Film(NamedTuple):
    """One row.

    Attributes:
        frames: paths of the frames by field, the left or only camera's first.
        known: values by field, such as the matrices of cameras.
        labels: by field.
    """

    frames: Mapping[str, tuple[str, ...]]
    known: Mapping[str, np.ndarray]
    labels: Mapping[str, Label] = {}

    @property
    def names(self) -> set[str]:
        """Of all its fields."""
        return {*self.frames, *self.known, *self.labels}


@dataclass(frozen=True, eq=False)
class Films(Source):
    """Films under a root; made by `films`."""

    root: str
    rows: Sequence[Film]
    canvas: Sides
    channels: int
    max_megapixels: float

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        return stack(rows, self._example, self._where, self.fields)

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        for film in self.rows:
            yield "\n".join(
                os.path.relpath(path, self.root) for path in _paths(film)
            ).encode(errors="surrogateescape")
            yield b"".join(value.tobytes() for value in film.known.values())

    def stored(self, row: int) -> bytes:  # noqa: D102
        try:
            return b"".join(known_of(path, 0) for path in _paths(self.rows[row]))
        except (OSError, ValueError):
            return b""

    def _where(self, row: int) -> str:
        return next(_paths(self.rows[row]))

    def _example(self, row: int) -> dict[str, np.ndarray]:
        film = self.rows[row]
        example, full = dict(film.known), None
        for name, paths in film.frames.items():
            if name not in self.fields:
                continue
            frames = []
            for path in paths:
                with open_file(path) as file:
                    pixels, size = decode(
                        file,
                        canvas=self.canvas,
                        channels=self.channels,
                        upright=False,
                        max_megapixels=self.max_megapixels,
                    )
                full = full or size
                if size != full:
                    raise ValueError(
                        f"{path} has {size} pixels, another frame of its film {full}"
                    )
                frames.append(pixels)
            example[name] = np.stack(frames)
        full = full or _size(self._where(row))
        for name, label in film.labels.items():
            if name in self.fields:
                example[name] = label.read(label.path, full)
        kept = {name: value for name, value in example.items() if name in self.fields}
        return shrink(kept, self.fields, full, self.canvas)


def films(
    name: str,
    root: str,
    rows: Sequence[Film],
    *,
    canvas: int | Sides | None,
    channels: int,
    cache_gib: float,
    mask_names: tuple[str, ...] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Source:
    """A source of films.

    Args:
        name: of the data set, for messages.
        root: folder of the files.
        rows: at least one, all with the same fields.
        canvas: (height, width) that larger frames are shrunk to, or the side of a
            square; None for the largest height and width of some of the first frames.
        channels: 3, or 1 for grey.
        cache_gib: decoded rows are kept in memory where all of them fit in this.
        mask_names: classes of the field "mask".
        max_megapixels: that may be decoded at once.

    Raises:
        ValueError: if channels is something else, a film has other fields than the
            first, or a file whose size is looked at is no image.
    """
    checks.one_of((1, 3), channels=channels)
    first = rows[0]
    for film in rows:
        if film.names != first.names:
            odd = sorted(film.names ^ first.names)
            raise ValueError(
                f"{name}: of {next(_paths(film))} and {next(_paths(first))} only one "
                f"has {', '.join(odd)}; complete the other one, or leave it out."
            )
    if canvas is None:
        sizes = [_size(next(_paths(rows[i]))) for i in spread(len(rows), LOOKED_AT)]
        canvas = max(h for h, _ in sizes), max(w for _, w in sizes)
    frame = sides_of(canvas)
    fields: dict[str, Field] = {}
    for field, kind in KINDS.items():
        names = mask_names if field == "mask" else None
        if field in first.frames:
            shape: tuple[int, ...] = (len(first.frames[field]), *frame, channels)
            fields[field] = Field(kind, shape, np.dtype("uint8"))
        elif field in first.known:
            value = first.known[field]
            fields[field] = Field(kind, value.shape, value.dtype)
        elif field in first.labels:
            count = len(next(iter(first.frames.values())))
            shapes = {"flow": (*frame, 3), "poses": (count, 3, 4)}
            shape = shapes.get(kind, frame)
            dtype = np.dtype("uint8" if kind == "mask" else "float32")
            fields[field] = Field(kind, shape, dtype, names)
    source = Films(
        name,
        {**fields, **ON_CANVAS, "index": INDEX},
        len(rows),
        root=root,
        rows=rows,
        canvas=frame,
        channels=channels,
        max_megapixels=max_megapixels,
    )
    return cached(source, cache_gib)


def spans(count: int, num_frames: int, gap: int, every: int = 1) -> list[list[int]]:
    """The frames of all films in `count`, beginning `every` so many frames."""
    reach = (num_frames - 1) * gap
    return [
        list(range(first, first + reach + 1, gap))
        for first in range(0, count - reach, every)
    ]


def poses_in(world: np.ndarray) -> np.ndarray:
    """Poses [T, 3, 4] float32, camera i to camera 0, of those [T, 4, 4] to a world."""
    return (np.linalg.inv(world[0]) @ world)[:, :3].astype(np.float32)


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """What sorts names as people do: frame_9 before frame_10."""
    parts = re.split(r"(\d+)", name)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)


def images_in(folder: str) -> list[str]:
    """Paths of the images that lie directly in a folder, in natural order.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    names = [
        name
        for name in os.listdir(folder)
        if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
    ]
    return [os.path.join(folder, name) for name in sorted(names, key=natural)]


def no_films(path: str, what: str) -> FileNotFoundError:
    """What is said where a folder holds none of the films that were asked for."""
    return FileNotFoundError(f"data.path = {path!r} holds no film: {what}.")


def check_spans(num_frames: int, gap: int, every: int = 1) -> None:
    """Refuses numbers of frames that cannot be.

    Raises:
        ValueError: naming the setting.
    """
    checks.at_least(1, num_frames=num_frames, gap=gap, every=every)


def _paths(film: Film) -> Iterator[str]:
    for paths in film.frames.values():
        yield from paths
    for label in film.labels.values():
        yield label.path


def _size(path: str) -> Sides:
    """(height, width) of a file, which a broken one must not leave unsaid."""
    try:
        with open_file(path) as file:
            return opened(file).size
    except ValueError as error:
        raise BrokenFile(path, str(error), "repair it, or take it away") from error
