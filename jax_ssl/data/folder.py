"""A folder of image files, with or without labels."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import INDEX, ON_CANVAS, Field
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.canvas import decode, shrink, sides_of, stack
from jax_ssl.data.source import Rows, Source

EXTENSIONS = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm",
    ".tif", ".tiff", ".webp",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Folder(Source):
    """Image files under a root; made by `folder`."""

    root: str
    files: tuple[str, ...]  # Relative to the root, "/" between parts, sorted.
    image: Field
    labels: np.ndarray | None = None  # [N] int32

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        return stack(rows, self._example, self._path, self.fields)

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        return map(os.fsencode, self.files)

    def stored(self, row: int) -> bytes:  # noqa: D102
        try:
            with open(self._path(row), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                return size.to_bytes(8, "little") + file.read(2**20)
        except OSError:
            return b""

    def _path(self, row: int) -> str:
        return os.path.join(self.root, self.files[row])

    def _example(self, row: int) -> dict[str, np.ndarray]:
        label = {} if self.labels is None else {"label": self.labels[row]}
        if self.fields.keys() <= {"index", "label"}:
            return label  # No file need be opened.
        height, width, channels = self.image.shape
        with open(self._path(row), "rb") as file:
            data = file.read()
        pixels, full = decode(data, canvas=(height, width), channels=channels)
        return label | shrink(
            {"image": pixels}, {"image": self.image}, full, (height, width)
        )


def folder(
    *,
    path: str,
    canvas: int | tuple[int, int] = 512,
    channels: Literal[1, 3] = 3,
    labels: Literal["none", "folders"] = "none",
    split: str = "",
    cache_gib: float = DEFAULT_CACHE_GIB,
) -> Source:
    """A source from a folder of images of any size, at any depth.

    Files count by their extension, in the order of their relative paths; links are
    followed, names that begin with a dot are not.

    Args:
        path: the folder.
        canvas: (height, width) of the frame that images lie on, in pixels, or the side
            of a square. Larger images are shrunk until they fit, and each image takes
            the bytes of the frame: 786,432 at 512, which leaves photographs a shorter
            side of 384 or so, and 196,608 at 256.
        channels: 3 for RGB, 1 for grey; files of any colour are converted.
        labels: "none", or "folders" where the folders directly under the root are the
            classes, in alphabetical order.
        split: sub-folder to read, "" for the folder itself.
        cache_gib: decoded images are kept in memory where all of them fit in this.

    Raises:
        FileNotFoundError: if there is no such folder, or no image in it.
        ValueError: if `labels` is neither word, a side of the canvas is below 1, or an
            image lies outside the class folders.
    """
    checks.one_of(("none", "folders"), labels=labels)
    image = Field("image", (*sides_of(canvas), channels), np.dtype("uint8"))
    fields = {"image": image, **ON_CANVAS, "index": INDEX}
    root = os.path.join(os.path.expanduser(path), split).rstrip(os.sep) or os.sep
    files = _image_files(root)
    name = os.path.basename(os.path.abspath(root))
    label = None
    if labels == "folders":
        outside = [file for file in files if "/" not in file]
        if outside:
            raise ValueError(
                f"data.labels = 'folders', but {len(outside)} images lie directly in "
                f"{root}, such as {outside[0]!r}; move them into class folders or set "
                "data.labels = 'none'."
            )
        words = [file.split("/", 1)[0] for file in files]
        classes, numbers = np.unique(words, return_inverse=True)
        label = numbers.astype(np.int32)
        names = tuple(classes.tolist())
        fields["label"] = Field("label", (), label.dtype, names)
    source = Folder(name, fields, len(files), root, files, image, label)
    return cached(source, cache_gib)


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
