"""A folder of image files, with or without labels."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.cache import DEFAULT_CACHE_GIB, cached
from jax_ssl.data.corrupt import spread
from jax_ssl.data.files import classes_of, files_in, folder_of, listed_in
from jax_ssl.data.images import MAX_MEGAPIXELS, open_file
from jax_ssl.data.images import pages as pages_in
from jax_ssl.data.pictures import LOOKED_AT, Pictures, decoding, looked
from jax_ssl.data.source import Source

EXTENSIONS = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm",
    ".tif", ".tiff", ".webp",
)  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Folder(Pictures):
    """Image files under a root; made by `folder`."""

    root: str = field(kw_only=True)
    # Relative to the root, "/" between parts, sorted.
    files: tuple[str, ...] = field(kw_only=True)
    # Of the files; None for the first of each.
    pages: Sequence[int] | None = field(default=None, kw_only=True)

    def file(self, row: int) -> BinaryIO:  # noqa: D102
        return open_file(self._path(row))

    def where(self, row: int) -> str:  # noqa: D102
        path = self._path(row)
        several = self.pages is not None and self.files.count(self.files[row]) > 1
        page = row - self.files.index(self.files[row]) + 1
        return f"{path}, page {page}" if several else path

    def page(self, row: int) -> int:  # noqa: D102
        return 0 if self.pages is None else int(self.pages[row])

    def listed(self) -> Iterable[bytes]:  # noqa: D102
        return map(os.fsencode, self.files)

    def _path(self, row: int) -> str:
        return os.path.join(self.root, self.files[row])


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
        path: the folder. It may be an address, gs://bucket/folder, s3://, az:// or
            hf://, where each image is read as it is needed; gcsfs, s3fs, adlfs or
            TensorFlow must be installed for that.
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
    settings = decoding(canvas, channels, range, max_megapixels)
    fields = settings.fields
    root, name = folder_of(path, split)
    files, numbers = files_in(root, EXTENSIONS, "image"), None
    classes: dict[str, int] = {}
    if labels == "folders":
        known, fields["label"] = classes_of(files, root, "image")
        classes = dict(zip(files, known.tolist(), strict=True))
    if only:
        files = tuple(files[row] for row in listed_in(only, files))
        name = f"{name}, listed in {os.path.basename(only)}"
    seen = files
    if pages == "first":
        seen = tuple(files[row] for row in spread(len(files), LOOKED_AT))
    found = _pages_of(root, seen, settings.check)
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
            len(seen),
            seen[several[0]],
            len(found[several[0]]),
        )
    label = np.array([classes[file] for file in files], np.int32) if classes else None
    source = Folder(
        name,
        fields,
        len(files),
        settings,
        label,
        root=root,
        files=files,
        pages=numbers,
    )
    return cached(source, cache_gib)


def _pages_of(
    root: str, files: Sequence[str], check: Callable[[BinaryIO], None]
) -> list[list[int]]:
    """The pages of each file; of one that is broken, which its reader will say, one.

    Raises:
        ValueError: if the settings do not read a file that is whole.
    """

    def look(file: BinaryIO) -> list[int]:
        check(file)
        return pages_in(file)

    def pages_of(file_name: str) -> list[int]:
        path = os.path.join(root, file_name)
        (found,) = looked(path, lambda: open_file(path), look) or [[0]]
        return found

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(pages_of, files))
