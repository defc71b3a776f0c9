"""What a data set is: random access to rows of examples, and nothing more.

A source answers `source[rows]` for any rows in any order, so the order of a run is a
pure function of its seed and step (`jax_ssl.data.order`) and resuming costs nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from jax_ssl.core.fields import Fields

Rows = dict[str, np.ndarray]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Source:
    """Random access to a data set in host memory or on disk.

    Nothing asks for the type: whatever has these attributes, `len`, `source[rows]` and
    `keep` is a source. Its kinds here say how long they are and how rows are read.

    Attributes:
        name: the data set in words, for messages and reports.
        fields: what an example holds; "index" always. Where pictures lie on a canvas,
            "size" and "scale" say how.
    """

    name: str
    fields: Fields

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, rows: np.ndarray) -> Rows:
        """The kept fields of rows [n] int64 that are inside; "index" is not asked."""
        raise NotImplementedError

    def __getitem__(self, rows: np.ndarray) -> Rows:
        """Returns the examples `rows` [n], stacked: {name: [n, ...]}, fresh arrays.

        Raises:
            IndexError: if a row is negative or not below `len(self)`.
            CorruptExamples: if some of the rows cannot be decoded.
        """
        rows = check_rows(rows, len(self), self.name)
        return {**self.read(rows), "index": rows.astype(np.int32)}

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


def check_rows(rows: np.ndarray, num_examples: int, name: str) -> np.ndarray:
    """Returns `rows` as [n] int64, refusing what is outside the source.

    Raises:
        IndexError: naming the first row outside 0 ... num_examples - 1, or the shape or
            dtype of something that is not a list of rows.
    """
    rows = np.asarray(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise IndexError(
            f"{name}: rows must be a one-dimensional array of integers, not "
            f"{rows.dtype} of shape {rows.shape}."
        )
    rows = rows.astype(np.int64)
    outside = rows[(rows < 0) | (rows >= num_examples)]
    if outside.size:
        raise IndexError(
            f"{name}: row {outside[0]} is outside 0 ... {num_examples - 1}."
        )
    return rows


def empty(source: Source, num_rows: int) -> Rows:
    """Zeros for so many examples; the system gives the memory when it is written."""
    return {
        name: np.zeros((num_rows, *field.shape), field.dtype)
        for name, field in source.fields.items()
    }


def num_bytes(source: Source) -> int:
    """Bytes of all decoded examples together."""
    return len(source) * sum(rows.nbytes for rows in empty(source, 1).values())


@dataclass(frozen=True, eq=False)
class Subset(Source):
    """Some rows of a source, renumbered from 0; made by `subset`."""

    source: Source
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, names: Iterable[str]) -> "Subset":
        """The same rows with these fields alone, and "index"."""
        return subset(self.source.keep(names), self.rows)

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        try:
            return self.source[self.rows[rows]]
        except CorruptExamples as error:
            bad = {
                int(row): error.reasons[int(inner)]
                for row, inner in zip(rows, self.rows[rows], strict=True)
                if int(inner) in error.reasons
            }
            raise CorruptExamples(bad) from error


def subset(source: Source, rows: np.ndarray) -> Subset:
    """The given rows of a source as a source, for held-out parts and few labels.

    Args:
        source: any source.
        rows: [n] integers, in the order wanted; may repeat.

    Returns:
        Source of n examples. "index" counts from 0 to n - 1 in it, so that memory banks
        can be sized by its length.
    """
    rows = check_rows(rows, len(source), source.name)
    name = f"{source.name}, {len(rows)} of {len(source)} rows"
    return Subset(name, source.fields, source, rows)


class CorruptExamples(Exception):  # noqa: N818 - an account of rows, not one error
    """Some of the rows asked for cannot be decoded.

    Attributes:
        reasons: row -> file name and what is wrong with it.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__(
            f"{len(self.reasons)} corrupt examples: " + "; ".join(self.reasons.values())
        )


def collect(
    rows: np.ndarray, read: Callable[[int], T], where: Callable[[int], str]
) -> list[T]:
    """`read(row)` for all rows, with one account of all those that fail.

    Args:
        rows: [n] integers.
        read: decodes one row.
        where: names the file of a row.

    Raises:
        CorruptExamples: if `read` raised for some rows.
    """
    found, reasons = [], {}
    for row in rows.tolist():
        try:
            found.append(read(row))
        except (ImportError, MemoryError):  # Faults of the machine, not of a file.
            raise
        except Exception as error:  # Decoders fail in every way on broken files.
            reasons[row] = f"{where(row)}: {type(error).__name__}: {error}"
    if reasons:
        raise CorruptExamples(reasons)
    return found
