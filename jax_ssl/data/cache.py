"""Decoded images kept in host memory, so that files are decoded once."""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from jax_ssl.data.corrupt import Reader
from jax_ssl.data.order import sweep
from jax_ssl.data.source import Rows, Source, empty, num_bytes

# Of the machine's memory, what one cache may take.
MAX_SHARE = 0.5
DEFAULT_CACHE_GIB = 1.0


@dataclass(frozen=True, eq=False)
class Cached(Source):
    """A source that decodes every row once, when it is first read; see `cached`."""

    source: Source
    decoded: Rows  # Of all rows, those that are not known still 0.
    known: np.ndarray  # [N] bool

    def keep(self, names: Iterable[str]) -> Source:
        """The same data with these fields alone, in a memory of their own."""
        kept = cached(self.source.keep(names), math.inf)
        own = {name: self.fields[name] for name in kept.fields}
        return replace(kept, fields=own, numbers=self.numbers)

    def listed(self) -> Iterable[bytes | memoryview]:  # noqa: D102
        return self.source.listed()

    def stored(self, row: int) -> bytes | memoryview:  # noqa: D102
        return self.source.stored(row)

    def raw(self, count: int) -> list[np.ndarray]:  # noqa: D102
        return self.source.raw(count)

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        missing = np.unique(rows[~self.known[rows]])
        if missing.size:
            for name, values in self.source[missing].items():
                self.decoded[name][missing] = values
            # Last: threads may decode a row twice, but never read a half-written one.
            self.known[missing] = True
        return {name: values[rows] for name, values in self.decoded.items()}


def cached(source: Source, gib: float) -> Source:
    """A source that keeps in memory what it has decoded, if all of it fits in `gib`.

    Nothing is decoded up front: the first epoch fills the memory, later ones copy.

    Args:
        source: any source.
        gib: GiB that the decoded images may take; above it, `source` itself returns.

    Raises:
        ValueError: if they would take more than half of the machine's memory.
    """
    need, have = num_bytes(source), _machine_bytes()
    if need > gib * 2**30:
        return source
    if have is not None and need > MAX_SHARE * have:
        raise ValueError(
            f"{source.name}: {need / 2**30:.1f} GiB of decoded images do not fit "
            f"{MAX_SHARE:.0%} of the machine's {have / 2**30:.1f} GiB; do not cache "
            "them, or choose a smaller data.canvas."
        )
    memory, known = empty(source, len(source)), np.zeros(len(source), bool)
    return Cached(source.name, source.fields, len(source), source, memory, known)


def load(source: Source, *, workers: int = 0, reader: Reader | None = None) -> Rows:
    """All examples in data-set order, {name: [N, ...]}, for `feed.resident`.

    Args:
        source: of N examples; corrupt ones are replaced as in `sweep`.
        workers: threads that read and decode; 0 for one per core.
        reader: of the same source, which counts what is corrupt.

    Raises:
        TooManyCorrupt: as `sweep` does.
    """
    out, size = empty(source, len(source)), 256
    read = sweep(source, batch_size=size, workers=workers, reader=reader)
    for start, batch in zip(range(0, len(source), size), read, strict=True):
        for name, values in batch.items():
            out[name][start : start + size] = values
    return out


def _machine_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Not on every system.
        return None
