"""Sources whose examples are image files: in a folder, an archive or a table.

They differ in where the bytes of a row lie. How these are checked, decoded, laid on a
canvas, told from others and named when they are broken is the same.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import INDEX, ON_CANVAS, Field
from jax_ssl.data.bands import Channels, Sides, count_of
from jax_ssl.data.canvas import decode, needed_for, shrink, sides_of, stack
from jax_ssl.data.corrupt import spread
from jax_ssl.data.files import known_by
from jax_ssl.data.images import opened
from jax_ssl.data.ranges import Range, check_range
from jax_ssl.data.source import Rows, Source, UnsetError

LOOKED_AT = 64  # Files whose headers are read before anything else.

Found = TypeVar("Found")


@dataclass(frozen=True)
class Decoding:
    """The settings by which image files are decoded; made by `decoding`.

    Attributes:
        canvas: (height, width) of the frame, in pixels.
        channels: how many, or which bands.
        range: what is black and white, see `ranges.Range`.
        max_megapixels: that may be decoded at once.
    """

    canvas: Sides
    channels: Channels
    range: Range | None
    max_megapixels: float

    @functools.cached_property
    def fields(self) -> dict[str, Field]:
        """The fields of a picture on a canvas, and "index"."""
        shape = (*self.canvas, count_of(self.channels))
        image = Field("image", shape, np.dtype("uint8"))
        return {"image": image, **ON_CANVAS, "index": INDEX}

    def check(self, file: BinaryIO) -> None:
        """Reads the header of a file.

        Raises:
            UnsetError: if the settings do not read what it says.
            Exception: of many types, if the file is broken.
        """
        self._opened(file, 0).check(self.channels, self.range)

    def numbers(self, file: BinaryIO, page: int = 0) -> np.ndarray:
        """The numbers of a page as they are stored, of any shape and dtype."""
        return np.asarray(self._opened(file, page).read())

    def example(self, file: BinaryIO, page: int = 0) -> dict[str, np.ndarray]:
        """The picture of a page as "image", "size" and "scale".

        Raises:
            UnsetError: if the file is whole, but these settings do not read it.
            Exception: of many types, if the file is broken.
        """
        pixels, full = decode(
            file,
            canvas=self.canvas,
            channels=self.channels,
            range=self.range,
            max_megapixels=self.max_megapixels,
            page=page,
        )
        return shrink({"image": pixels}, self.fields, full, self.canvas)

    def _opened(self, file: BinaryIO, page: int) -> Any:
        needed = functools.partial(needed_for, self.canvas)
        return opened(file, page, needed=needed, megapixels=self.max_megapixels)


def decoding(
    canvas: int | Sides,
    channels: Channels,
    range: Range | None,
    max_megapixels: float,
) -> Decoding:
    """The settings of section `data` by which image files are decoded, checked.

    Raises:
        ValueError: for one that cannot be, naming it.
    """
    checks.positive(**{"data.max_megapixels": max_megapixels})
    check_range(range)
    count_of(channels)
    return Decoding(sides_of(canvas), channels, range, max_megapixels)


@dataclass(frozen=True, eq=False)
class Pictures(Source):
    """Image files; its kinds say in `file` and `where` how a row is found."""

    decoding: Decoding
    labels: np.ndarray | None = None  # [N] int32

    def file(self, row: int) -> BinaryIO:
        """The file of a row, open, which the caller closes.

        Raises:
            Exception: of many types, if it cannot be read.
        """
        raise NotImplementedError

    def where(self, row: int) -> str:
        """Names the file of a row, for messages."""
        raise NotImplementedError

    def page(self, row: int) -> int:
        """The page of the file that the row is, counted from 0."""
        return 0

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        return stack(rows, self._example, self.where, self.fields)

    def stored(self, row: int) -> bytes:  # noqa: D102
        try:
            with self.file(row) as file:
                return known_by(file, self.page(row))
        except (OSError, ValueError):
            return b""

    def raw(self, count: int) -> list[np.ndarray]:  # noqa: D102
        found = []
        for row in spread(len(self), count).tolist():
            # What is broken is said where it is read.
            with contextlib.suppress(Exception), self.file(row) as file:
                found.append(self.decoding.numbers(file, self.page(row)))
        return found

    def _example(self, row: int) -> Mapping[str, np.ndarray]:
        label = {} if self.labels is None else {"label": self.labels[row]}
        if self.fields.keys() <= {"index", "label"}:
            return label  # No file need be opened.
        with self.file(row) as file:
            return label | self.decoding.example(file, self.page(row))


def looked_at(source: Pictures, look: Callable[[BinaryIO], Found]) -> list[Found]:
    """What the files of some rows say, evenly spread; broken ones say nothing.

    Args:
        source: of any number of rows.
        look: reads the header of a file.

    Raises:
        ValueError: if the settings do not read a file that is whole, naming both.
    """

    def one(row: int) -> list[Found]:
        return looked(source.where(row), lambda: source.file(row), look)

    with ThreadPoolExecutor(16) as pool:
        each: Iterable[list[Found]] = pool.map(
            one, spread(len(source), LOOKED_AT).tolist()
        )
        return [found for founds in each for found in founds]


def looked(
    where: str, open_: Callable[[], BinaryIO], look: Callable[[BinaryIO], Found]
) -> list[Found]:
    """What a file says, in a list; an empty one if it is broken.

    Raises:
        ValueError: if the settings do not read it, though it is whole.
    """
    try:
        with open_() as file:
            return [look(file)]
    except UnsetError as error:
        raise ValueError(f"{where}: {error}.") from error
    except (ImportError, MemoryError):  # Faults of the machine, not of a file.
        raise
    except Exception:  # Decoders fail in every way on broken files.
        return []
