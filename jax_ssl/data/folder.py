"""A folder of image files, with or without labels."""

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached_below
from jax_ssl.data.canvas import decode, place
from jax_ssl.data.source import (
    Rows,
    Source,
    Spec,
    check_rows,
    collect,
    example_spec,
)

EXTENSIONS = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm",
    ".tif", ".tiff", ".webp",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Folder:
    """Image files under a root; made by `folder`."""

    name: str
    root: str
    files: tuple[str, ...]  # Relative to the root, "/" between parts, sorted.
    canvas: int
    labels: np.ndarray | None = None  # [N] int32
    label_names: tuple[str, ...] | None = None

    @cached_property
    def spec(self) -> Spec:  # noqa: D102
        shape = (self.canvas, self.canvas, 3)
        return example_spec(shape, labelled=self.labels is not None, sized=True)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: np.ndarray) -> Rows:
        rows = check_rows(rows, len(self), self.name)
        images = collect(rows, self._read, self._path)
        image, size = place(images, self.canvas, 3)
        out = {"image": image, "index": rows.astype(np.int32), "size": size}
        if self.labels is not None:
            out["label"] = self.labels[rows]
        return out

    def _path(self, row: int) -> str:
        return os.path.join(self.root, self.files[row])

    def _read(self, row: int) -> np.ndarray:
        with open(self._path(row), "rb") as file:
            return decode(file.read(), canvas=self.canvas)


def folder(
    *,
    path: str,
    canvas: int = 256,
    labels: str = "none",
    split: str = "",
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source from a folder of images of any size, at any depth.

    Files count by their extension, in the order of their relative paths; links are
    followed, names that begin with a dot are not.

    Args:
        path: the folder.
        canvas: S; images are shrunk until the longer side fits S pixels.
        labels: "none", or "folders" where the folders directly under the root are the
            classes, in alphabetical order.
        split: sub-folder to read, "" for the folder itself.
        cache_gib: decoded images are kept in memory where all of them fit in this.

    Raises:
        FileNotFoundError: if there is no such folder, or no image in it.
        ValueError: if `labels` is neither word, S < 1, or an image lies outside the
            class folders.
    """
    if labels not in ("none", "folders"):
        raise ValueError(f"data.labels = {labels!r}; choose 'none' or 'folders'.")
    if canvas < 1:
        raise ValueError(f"data.canvas = {canvas}; it must be at least 1 pixel.")
    root = os.path.join(os.path.expanduser(path), split).rstrip(os.sep) or os.sep
    files = _image_files(root)
    name = os.path.basename(os.path.abspath(root))
    if labels == "none":
        return cached_below(Folder(name, root, files, canvas), cache_gib)
    outside = [file for file in files if "/" not in file]
    if outside:
        raise ValueError(
            f"data.labels = 'folders', but {len(outside)} images lie directly in "
            f"{root}, such as {outside[0]!r}; move them into class folders or set "
            "data.labels = 'none'."
        )
    words = [file.split("/", 1)[0] for file in files]
    classes = sorted(set(words))
    number = {word: i for i, word in enumerate(classes)}
    label = np.array([number[word] for word in words], np.int32)
    source = Folder(name, root, files, canvas, label, tuple(classes))
    return cached_below(source, cache_gib)


def _image_files(root: str) -> tuple[str, ...]:
    if not os.path.isdir(root):
        raise FileNotFoundError(f"data.path: {root!r} is not a folder.")
    files, others, seen = [], Counter[str](), set()
    for here, inside, names in os.walk(root, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # Links may lead in a circle.
            inside.clear()
            continue
        seen.add(real)
        # In order, so that of two ways to one folder the same is always taken.
        inside[:] = sorted(each for each in inside if not each.startswith("."))
        relative = os.path.relpath(here, root).replace(os.sep, "/")
        for name in names:
            extension = os.path.splitext(name)[1].lower()
            if extension in EXTENSIONS and not name.startswith("."):
                files.append(name if relative == "." else f"{relative}/{name}")
            else:
                others[extension] += 1
    if not files:
        raise FileNotFoundError(
            f"{root!r} holds no image: none of its {others.total()} files ends in one "
            f"of {', '.join(EXTENSIONS)} (most frequent: {others.most_common(3)})."
        )
    return tuple(sorted(files))
