"""A folder of image files, with or without labels."""

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import INDEX, ON_CANVAS, Field
from jax_ssl.data.bands import Sides, count_of
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.canvas import decode, needed_for, shrink, sides_of, stack
from jax_ssl.data.corrupt import spread
from jax_ssl.data.files import classes_of, files_in, folder_of, known_of, listed_in
from jax_ssl.data.images import MAX_MEGAPIXELS, open_file, opened
from jax_ssl.data.images import pages as pages_in
from jax_ssl.data.ranges import check_range
from jax_ssl.data.source import Rows, Source, UnsetError

EXTENSIONS = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm",
    ".tif", ".tiff", ".webp",
)  # fmt: skip
LOOKED_AT = 64  # Files whose headers are read before anything else.

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Folder(Source):
    """Image files under a root; made by `folder`."""

    root: str
    files: tuple[str, ...]  # Relative to the root, "/" between parts, sorted.
    image: Field
    decode: Callable[..., tuple[np.ndarray, Sides]]  # With the settings.
    numbers_of: Callable[[BinaryIO, int], np.ndarray]  # Of a file's page, as stored.
    pages: Sequence[int] | None = None  # Of the files; None for the first of each.
    labels: np.ndarray | None = None  # [N] int32

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        return stack(rows, self._example, self._where, self.fields)

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        return map(os.fsencode, self.files)

    def stored(self, row: int) -> bytes:  # noqa: D102
        try:
            page = 0 if self.pages is None else int(self.pages[row])
            return known_of(self._path(row), page)
        except (OSError, ValueError):
            return b""

    def raw(self, count: int) -> list[np.ndarray]:  # noqa: D102
        found = []
        for row in spread(len(self), count).tolist():
            page = 0 if self.pages is None else int(self.pages[row])
            # What is broken is said where it is read.
            with contextlib.suppress(Exception), open_file(self._path(row)) as file:
                found.append(self.numbers_of(file, page))
        return found

    def _path(self, row: int) -> str:
        return os.path.join(self.root, self.files[row])

    def _where(self, row: int) -> str:
        path = self._path(row)
        several = self.pages is not None and self.files.count(self.files[row]) > 1
        page = row - self.files.index(self.files[row]) + 1
        return f"{path}, page {page}" if several else path

    def _example(self, row: int) -> dict[str, np.ndarray]:
        label = {} if self.labels is None else {"label": self.labels[row]}
        if self.fields.keys() <= {"index", "label"}:
            return label  # No file need be opened.
        height, width, _ = self.image.shape
        page = 0 if self.pages is None else self.pages[row]
        with open_file(self._path(row)) as file:
            pixels, full = self.decode(file, canvas=(height, width), page=page)
        return label | shrink(
            {"image": pixels}, {"image": self.image}, full, (height, width)
        )


def folder(
    *,
    path: str,
    canvas: int | tuple[int, int] = 512,
    channels: int | tuple[int, ...] = 3,
    range: tuple[float | str, float | str] | None = None,
    pages: Literal["first", "all"] = "first",
    max_megapixels: float = MAX_MEGAPIXELS,
    labels: Literal["none", "folders"] = "none",
    split: str = "",
    only: str = "",
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
        channels: 3 for RGB, 1 for grey; pictures of any colour are converted. Another
            number for all bands of files that have so many, as TIFFs may; or several
            numbers for these bands, counted from 0.
        range: the numbers of the files that are black and white, such as (0, 4095) for
            12 bits in 16, or percentiles of each image, such as ("0.1%", "99.9%"). None
            for all that integers of 8 or 16 bits can say. Floats and signed integers
            need it. Images of 8 bits keep their own where its numbers are above 255.
        pages: "first" for one image a file; "all" for one a page of a TIFF, or a frame
            of an animation.
        max_megapixels: that may be decoded at once, 4 MB each in every thread that
            reads. Larger JPEGs, JPEG 2000s and TIFFs are reduced while they are read;
            other files must be set a higher limit, or are left out.
        labels: "none", or "folders" where the folders directly under the root are the
            classes, in alphabetical order.
        split: sub-folder to read, "" for the folder itself.
        only: a text file with the name of a file to keep on each line, as the lists of
            1 % and 10 % of ImageNet that SimCLR's authors give; "" keeps all. Classes
            keep the numbers that they have in the whole folder.
        cache_gib: decoded images are kept in memory where all of them fit in this.

    Raises:
        FileNotFoundError: if there is no such folder, or no image in it.
        ValueError: for a setting that cannot be, a file among some that is whole but
            not read by these settings, or an image outside the class folders.
    """
    checks.one_of(("none", "folders"), labels=labels)
    checks.one_of(("first", "all"), pages=pages)
    checks.positive(**{"data.max_megapixels": max_megapixels})
    check_range(range)
    frame = sides_of(canvas)
    image = Field("image", (*frame, count_of(channels)), np.dtype("uint8"))
    fields = {"image": image, **ON_CANVAS, "index": INDEX}
    root, name = folder_of(path, split)
    files, numbers = files_in(root, EXTENSIONS, "image"), None
    classes: dict[str, int] = {}
    if labels == "folders":
        known, fields["label"] = classes_of(files, root, "image")
        classes = dict(zip(files, known.tolist(), strict=True))
    if only:
        files = tuple(files[row] for row in listed_in(only, files))
        name = f"{name}, listed in {os.path.basename(only)}"
    needed = functools.partial(needed_for, frame)

    def check(file: BinaryIO) -> None:
        stored = opened(file, needed=needed, megapixels=max_megapixels)
        stored.check(channels, range)

    def numbers_of(file: BinaryIO, page: int) -> np.ndarray:
        stored = opened(file, page, needed=needed, megapixels=max_megapixels)
        return np.asarray(stored.read())

    looked = files
    if pages == "first":
        looked = tuple(files[row] for row in spread(len(files), LOOKED_AT))
    found = _pages_of(root, looked, check)
    if pages == "all":
        files = tuple(f for f, each in zip(files, found, strict=True) for _ in each)
        numbers = [page for each in found for page in each]
    elif several := [i for i, each in enumerate(found) if len(each) > 1]:
        log.warning(
            "%s: %d of %d files looked at hold several pages, such as %s with %d; only "
            "the first page of each is read. data.pages = 'all' makes an example of "
            "every page.",
            name,
            len(several),
            len(looked),
            looked[several[0]],
            len(found[several[0]]),
        )
    label = np.array([classes[file] for file in files], np.int32) if classes else None
    read = functools.partial(
        decode, channels=channels, range=range, max_megapixels=max_megapixels
    )
    source = Folder(
        name, fields, len(files), root, files, image, read, numbers_of, numbers, label
    )
    return cached(source, cache_gib)


def _pages_of(
    root: str, files: Sequence[str], check: Callable[[BinaryIO], None]
) -> list[list[int]]:
    """The pages of each file; of one that is broken, which its reader will say, one.

    Raises:
        ValueError: if the settings do not read a file that is whole.
    """

    def look(file_name: str) -> list[int]:
        path = os.path.join(root, file_name)
        try:
            with open_file(path) as file:
                check(file)
                return pages_in(file)
        except UnsetError as error:
            raise ValueError(f"{path}: {error}.") from error
        except Exception:  # Decoders fail in every way on broken files.
            return [0]

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(look, files))
