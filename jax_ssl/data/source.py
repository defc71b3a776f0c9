"""What a data set is: random access to rows of examples, and nothing more.

A source answers `source[rows]` for any rows in any order, so the order of a run is a
pure function of its seed and step (`jax_ssl.data.order`) and resuming costs nothing.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from jax_ssl.core.fields import Fields

Rows = dict[str, np.ndarray]


def absent(setting: str, path: str, kind: str) -> str:
    """What is said of a path at which there is no such thing, with the remedy."""
    if "://" in path or path.startswith("gs:/"):
        return (
            f"{setting} = {path!r} is an address, and no {kind} that is read from "
            "there; copy the data here, or mount the bucket (gcsfuse) and name the "
            "folder that it is mounted at."
        )
    said = f"{setting} = {path!r} is not a {kind}"
    if os.path.isabs(path):
        return f"{said}."
    return (
        f"{said} in {os.getcwd()}, where this command was given; a relative path is "
        f"read from there. Give the whole path, --config.{setting}=/..."
    )


@dataclass(frozen=True, eq=False)
class Source:
    """Random access to a data set in host memory or on disk.

    Nothing asks for the type: whatever has these attributes, `len`, `source[rows]`,
    `keep`, `listed`, `stored` and `raw` is a source. Its kinds here say how rows are
    read.

    Attributes:
        name: the data set in words, for messages and reports.
        fields: what an example holds; "index" always. Where pictures lie on a canvas,
            "size" and "scale" say how.
        num_examples: N, its length.
        numbers: by field of kind label (the numbers that are read, rising; the int32
            numbers that they become), see `data.classes.renumbered`.
    """

    name: str
    fields: Fields
    num_examples: int
    numbers: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(
        default_factory=dict, kw_only=True
    )

    def __len__(self) -> int:
        return self.num_examples

    def read(self, rows: np.ndarray) -> Rows:
        """The kept fields of rows [n] int64 that are inside; "index" is not asked."""
        raise NotImplementedError

    def listed(self) -> Iterable[bytes | memoryview]:
        """What is known of all rows without reading them, such as names of files."""
        return ()

    def stored(self, row: int) -> bytes | memoryview:
        """What tells the content of a row from another, such as a file's first MiB.

        Empty if it cannot be read, or `listed` says it all.
        """
        try:
            found = self[np.array([row])]
        except CorruptExamples:
            return b""
        return b"".join(values.tobytes() for values in found.values())

    def raw(self, count: int) -> list[np.ndarray]:
        """Numbers of some images as they are stored, where `data.range` maps them.

        Args:
            count: of images, at most.

        Returns:
            Arrays of any shape and dtype; none where the source cannot tell.
        """
        del count
        return []

    def __getitem__(self, rows: np.ndarray) -> Rows:
        """Returns the examples `rows` [n], stacked: {name: [n, ...]}, fresh arrays.

        Raises:
            IndexError: if a row is negative or not below `len(self)`, naming the first,
                or for something that is not a list of rows.
            CorruptExamples: if some of the rows cannot be decoded.
        """
        rows = np.asarray(rows)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise IndexError(
                f"{self.name}: rows must be a one-dimensional array of integers, not "
                f"{rows.dtype} of shape {rows.shape}."
            )
        rows = rows.astype(np.int64)
        outside = rows[(rows < 0) | (rows >= len(self))]
        if outside.size:
            raise IndexError(
                f"{self.name}: row {outside[0]} is outside 0 ... {len(self) - 1}."
            )
        found = {**self.read(rows), "index": rows.astype(np.int32)}
        for name in self.numbers.keys() & found.keys():
            old, new = self.numbers[name]
            found[name] = new[np.searchsorted(old, found[name])]
        return found

    def keep(self, names: Iterable[str]) -> "Source":
        """The same data with these fields alone, and "index".

        A field that is not kept is never read or decoded.

        Raises:
            ValueError: if there is no such field.
        """
        wanted = {*names, "index"}
        if unknown := sorted(wanted - set(self.fields)):
            raise ValueError(
                f"{self.name} has no field {unknown[0]!r}; it has {list(self.fields)}."
            )
        kept = {name: self.fields[name] for name in self.fields if name in wanted}
        return replace(self, fields=kept)


def empty(source: Source, num_rows: int) -> Rows:
    """Zeros for so many examples; the system gives the memory when it is written."""
    return {
        name: np.zeros((num_rows, *field.shape), field.dtype)
        for name, field in source.fields.items()
    }


def num_bytes(source: Source) -> int:
    """Bytes of all decoded examples together."""
    return len(source) * sum(rows.nbytes for rows in empty(source, 1).values())


class UnsetError(ValueError):
    """A whole file that the settings do not read; it says what would."""


class CorruptExamples(Exception):  # noqa: N818 - an account of rows, not one error
    """Some of the rows asked for cannot be decoded.

    Attributes:
        reasons: row -> file name and what is wrong with it.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__(
            f"{len(self.reasons)} examples cannot be read: "
            + "; ".join(self.reasons.values())
        )
