"""Where the loop's batches come from: the host, or the device's own memory."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.core.fields import Fields
from jax_ssl.core.types import Batch, PyTree
from jax_ssl.data.cache import load
from jax_ssl.data.corrupt import MAX_CORRUPT_SHARE, Reader
from jax_ssl.data.order import batches, decoded, rows_of_step
from jax_ssl.data.source import Rows, Source
from jax_ssl.parallel.feed import prefetch, resident, to_global
from jax_ssl.parallel.mesh import BATCH_AXES, row_sharding

Calls = Sequence[tuple[int, int]]  # (first step, number of steps) of every call.


class Pieces(Protocol):
    """The payloads of the calls, in order.

    Attributes:
        waited: seconds that the consumer has waited for data so far.
    """

    waited: float

    def __iter__(self) -> Iterator[PyTree]:
        """Yields one payload per call."""


class Feed(Protocol):
    """Gives the loop batch s of the run, a pure function of (seed, s).

    Attributes:
        name: of the data set.
        fields: of one example.
        batch_size: of the global batch.
        num_examples: of the data set.
        data: what stays in device memory all along; `()` if nothing.
    """

    name: str
    fields: Fields
    batch_size: int
    num_examples: int
    data: PyTree

    def pieces(self, calls: Calls) -> Any:
        """Context manager that gives the `Pieces` of `calls`."""

    def sweep(self, rows: np.ndarray) -> Any:
        """Context manager that gives one piece for each of `rows` [batches, B].

        A corrupt row gives way to the next good one of the data set.
        """

    def corrupt(self) -> int:
        """Examples found so far that could not be decoded."""

    def read_ms(self) -> float | None:
        """Milliseconds that one example takes one reading thread, so far."""

    def steps(self, payload: PyTree) -> PyTree:
        """The payload with the call's steps as axis 0 of every leaf, inside `jit`."""

    def batch(self, data: PyTree, piece: PyTree) -> Batch:
        """One step's batch from `data` and one step's piece, inside `jit`."""


class HostFeed:
    """Reads, decodes and sends every batch ahead of its step, in the background."""

    data: PyTree = ()

    def __init__(
        self,
        source: Source,
        *,
        mesh: Mesh,
        seed: int,
        batch_size: int,
        workers: int = 0,
        max_corrupt: float = MAX_CORRUPT_SHARE,
    ) -> None:
        self.source, self.mesh, self.seed = source, mesh, seed
        self.name, self.fields = source.name, source.fields
        self.batch_size, self.workers = batch_size, workers
        self.num_examples = len(source)
        self.reader = Reader(source, max_corrupt)

    @contextmanager
    def pieces(self, calls: Calls) -> Iterator[Pieces]:
        """Tuples of global batches, one batch per step of the call."""
        with prefetch(self._groups(calls), self._put) as fed:
            yield fed

    @contextmanager
    def sweep(self, rows: np.ndarray) -> Iterator[Iterable[Batch]]:
        """The global batch of each of `rows` [batches, B]."""
        mine = np.split(rows, jax.process_count(), axis=1)[jax.process_index()]
        order = np.arange(self.num_examples)
        lists = ((order, places) for places in mine)
        host = decoded(self.reader, lists, mine.shape[1], self.workers)
        with prefetch(host, lambda batch: to_global(batch, self.mesh)) as fed:
            yield fed

    def corrupt(self) -> int:
        """Examples found so far that could not be decoded."""
        return len(self.reader.bad)

    def read_ms(self) -> float | None:
        """Milliseconds that one example takes one reading thread, so far."""
        return self.reader.read_ms()

    def steps(self, payload: PyTree) -> PyTree:
        """Stacks the call's batches."""
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *payload)

    def batch(self, data: PyTree, piece: PyTree) -> Batch:
        """The piece is the batch."""
        del data
        return piece

    def _groups(self, calls: Calls) -> Iterator[tuple[Rows, ...]]:
        if not calls:
            return
        (first, _), (last, k) = calls[0], calls[-1]
        with closing(
            batches(
                self.source,
                seed=self.seed,
                batch_size=self.batch_size,
                start=first,
                stop=last + k,
                process=jax.process_index(),
                count=jax.process_count(),
                workers=self.workers,
                reader=self.reader,
            )
        ) as host:
            for _, count in calls:
                yield tuple(islice(host, count))

    def _put(self, group: tuple[Rows, ...]) -> tuple[Batch, ...]:
        return tuple(to_global(batch, self.mesh) for batch in group)


class ResidentFeed:
    """Keeps every example in device memory; a step sends only its row numbers."""

    def __init__(
        self,
        source: Source,
        *,
        mesh: Mesh,
        seed: int,
        batch_size: int,
        workers: int = 0,
    ) -> None:
        self.reader = Reader(source)
        arrays = load(source, workers=workers, reader=self.reader)
        self.resident = resident(arrays, mesh)
        self.mesh, self.seed, self.batch_size = mesh, seed, batch_size
        self.name, self.fields = source.name, source.fields
        self.data = self.resident.data
        self.num_examples = len(self.resident)

    @contextmanager
    def pieces(self, calls: Calls) -> Iterator[Pieces]:
        """Row numbers [steps, B] of every call."""
        yield _Rows(self, calls)

    @contextmanager
    def sweep(self, rows: np.ndarray) -> Iterator[Iterable[jax.Array]]:
        """Each of `rows` [batches, B], sharded like a batch."""
        where = row_sharding(self.mesh)
        yield (
            jax.make_array_from_callback(one.shape, where, one.__getitem__)
            for one in rows.astype(np.int32)
        )

    def corrupt(self) -> int:
        """Examples that could not be decoded, and were replaced."""
        return len(self.reader.bad)

    def read_ms(self) -> float | None:
        """Nothing is read while the run goes on."""
        return None

    def steps(self, payload: PyTree) -> PyTree:
        """They are axis 0 already."""
        return payload

    def batch(self, data: PyTree, piece: PyTree) -> Batch:
        """Gathers the piece's rows on the device that needs them."""
        return self.resident.take(data, piece)

    def rows(self, first: int, count: int) -> jax.Array:
        """Rows of `count` steps from step `first`, [count, B] int32."""
        rows = np.stack(
            [
                rows_of_step(self.seed, step, self.batch_size, self.num_examples)
                for step in range(first, first + count)
            ]
        ).astype(np.int32)
        where = NamedSharding(self.mesh, P(None, BATCH_AXES))
        return jax.make_array_from_callback(rows.shape, where, lambda at: rows[at])


class _Rows:
    waited = 0.0

    def __init__(self, feed: ResidentFeed, calls: Calls) -> None:
        self.feed, self.calls = feed, calls

    def __iter__(self) -> Iterator[PyTree]:
        for first, count in self.calls:
            yield self.feed.rows(first, count)
