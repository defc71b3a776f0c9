"""A folder of pictures as the examples that a run's evaluation view reads."""

import functools
import os
import pathlib
from typing import Any

import numpy as np

from jax_ssl.core.fields import Field, Window, read_by, resampled
from jax_ssl.data.corrupt import sample
from jax_ssl.data.files import files_in
from jax_ssl.data.folder import EXTENSIONS, folder
from jax_ssl.data.images import open_file, opened
from jax_ssl.data.source import CorruptExamples, Rows
from jax_ssl.run.run import Run

TURNED = range(5, 9)  # Orientations of EXIF that exchange height and width.


class Album:
    """Pictures of any size and, where a method reads films, the film that they are.

    Of two cameras both see the same picture, for methods that learn from two and
    predict from one. Frames before the first picture and after the last are these.

    Attributes:
        files: paths of the pictures, relative to the folder.
        sides: (height, width) of the canvas that all fit on.
    """

    def __init__(self, run: Run, images: str, camera: np.ndarray | None = None) -> None:
        """Reads the headers of the pictures.

        Args:
            run: whose view reads them.
            images: the folder.
            camera: [3, 3] intrinsics in pixels of the pictures; those of the training
                data's first example, brought to the size of a picture, unless given.

        Raises:
            FileNotFoundError: if there is no such folder, or no picture in it.
            ValueError: if a file is no picture.
        """
        if not os.path.isdir(images):
            raise FileNotFoundError(f"--images={images}: there is no such folder.")
        self.run, self.camera = run, camera
        self.fields = run.experiment.everything.fields
        found = files_in(images, EXTENSIONS, "image")
        sizes = [_size(os.path.join(images, name)) for name in found]
        self.sides = max(h for h, _ in sizes), max(w for _, w in sizes)
        of_images = [f for f in self.fields.values() if f.kind in ("image", "frames")]
        channels = of_images[0].shape[-1]
        self.source = folder(
            path=images, canvas=self.sides, channels=channels, cache_gib=0
        )
        self.files = tuple(map(pathlib.Path, found))

    def __len__(self) -> int:
        return len(self.files)

    def examples(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What the view reads of some pictures [B], and their "size"; [B, ...] each.

        Raises:
            ValueError: if the pictures of a film differ in size, one is damaged, or the
                view reads what pictures do not have.
        """
        read = self._read(rows)
        plain = {"image": read["image"], "index": rows.astype(np.int32)}
        out = {"size": read["size"]}
        for name in read_by(self.run.experiment.view, self.fields):
            field = self.fields[name]
            if field.kind == "frames":
                out[name] = self._films(rows, field.shape[0])
            elif field.kind == "matrix":
                each = [self._matrix(name, field, size) for size in out["size"]]
                out[name] = np.stack(each)
            elif field.kind in ("image", "index"):
                out[name] = plain[field.kind]
            elif field.kind in ("size", "scale"):
                out[name] = read[field.kind]
            else:
                raise ValueError(
                    f"config.evals.view reads {name!r}, which pictures do not have; "
                    "give --config.evals.view settings that carry no labels."
                )
        return out

    def _read(self, rows: np.ndarray) -> Rows:
        """Pictures, none of which may be another in the place of a broken one."""
        try:
            return self.source[rows]
        except CorruptExamples as error:
            raise ValueError(
                f"--images: {'; '.join(error.reasons.values())}; repair what is "
                "broken, or take it out of the folder."
            ) from error

    def _films(self, rows: np.ndarray, count: int) -> np.ndarray:
        """Films [B, count, H, W, C] whose target frames are these pictures."""
        around = np.arange(count) - (count - 1) // 2
        film = np.clip(rows[:, None] + around, 0, len(self) - 1)
        found = self._read(film.ravel())
        sizes = found["size"].reshape(len(rows), count, 2)
        if (sizes != sizes[:, :1]).any():
            listed = sorted({tuple(size) for size in found["size"].tolist()})
            raise ValueError(
                f"the pictures {self.files[rows[0]]} and after are no film: their "
                f"sizes are {listed}."
            )
        return found["image"].reshape(len(rows), count, *found["image"].shape[1:])

    def _matrix(self, name: str, field: Field, size: np.ndarray) -> np.ndarray:
        """A matrix of the training data, or of `camera`, for a picture of this size."""
        height, width = (int(side) for side in size)
        first = self._first
        step = first["sides"][0] / height, first["sides"][1] / width
        window = Window((0.0, 0.0), step, (height, width))

        def here(other: str) -> np.ndarray:
            known = first[other][0].astype(np.float64)
            return resampled(known, field, window, np)

        value = here(name)
        if self.camera is not None:
            own = here("left_camera" if "left_camera" in first else name)
            value = self.camera @ np.linalg.solve(own[:, :3], value)
        return value.astype(np.float32)

    @functools.cached_property
    def _first(self) -> dict[str, Any]:
        """Matrices of the training data's first example, and its "sides"."""
        kinds = {n: f.kind for n, f in self.fields.items()}
        kept = [n for n, kind in kinds.items() if kind in ("matrix", "size")]
        found = dict(sample(self.run.experiment.everything.keep(kept), 1))
        sides = next(f.sides for f in self.fields.values() if f.sides)
        return {**found, "sides": found["size"][0] if "size" in found else sides}


def _size(path: str) -> tuple[int, int]:
    """(height, width) of a picture as it is shown."""
    try:
        with open_file(path) as file:
            stored = opened(file)
            height, width = stored.size
            turned = stored.orientation() in TURNED
    except ValueError as error:
        raise ValueError(
            f"--images: {path}: {error}; repair it, or take it out of the folder."
        ) from error
    return (width, height) if turned else (height, width)
