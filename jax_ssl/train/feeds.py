"""Where the loop's batches come from: the host, or the device's own memory."""

import copy
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.core.fields import spec_of
from jax_ssl.core.types import Batch, PyTree
from jax_ssl.data.cache import load
from jax_ssl.data.corrupt import MAX_CORRUPT_SHARE, Reader
from jax_ssl.data.order import ONE_KIND, Share, batches, decoded, rows_of_step
from jax_ssl.data.source import Rows, Source
from jax_ssl.parallel.feed import Prefetch, resident, take, to_global
from jax_ssl.parallel.mesh import BATCH_AXES, row_sharding


def calls(
    steps: range, stop_after: Callable[[int], int] | None = None
) -> Iterator[tuple[int, int]]:
    """(first step, number of steps) of every call, one after the other.

    A run has too many of them to be listed at its start.

    Args:
        steps: that are to be made.
        stop_after: the step before which a call that begins at this one ends; None for
            one call.
    """
    step = steps.start
    while step < steps.stop:
        stop = steps.stop if stop_after is None else stop_after(step)
        yield step, stop - step
        step = stop


class Feed:
    """Gives the loop batch s of the run, a pure function of (seed, s).

    It reads, decodes and sends every batch ahead of its step, in the background.

    Attributes:
        name: of the data set.
        fields: of one example.
        batch_size: of the global batch.
        num_examples: of the data set.
        share: of each batch that is labelled, where other rows are not.
        data: what stays in device memory all along; `()` if nothing.
    """

    def __init__(
        self,
        source: Source,
        *,
        mesh: Mesh,
        seed: int,
        batch_size: int,
        workers: int = 0,
        max_corrupt: float = MAX_CORRUPT_SHARE,
        share: Share = ONE_KIND,
    ) -> None:
        """Opens the feed.

        Args:
            source: of the examples.
            mesh: the devices.
            seed: of the order of examples.
            batch_size: of the global batch.
            workers: threads that read and decode; 0 for one per core.
            max_corrupt: share of examples that may be corrupt.
            share: of each batch that is labelled, where other rows are not.
        """
        self.source, self.mesh, self.seed = source, mesh, seed
        self.name, self.fields = source.name, source.fields
        self.batch_size, self.workers = batch_size, workers
        self.num_examples, self.share = len(source), share
        self.reader = Reader(source, max_corrupt)
        self.data = self._loaded()

    def with_seed(self, seed: int) -> "Feed":
        """The same examples in the order of another seed; all else is shared."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def corrupt(self) -> int:
        """Examples found so far that could not be decoded, and were replaced."""
        return len(self.reader.bad)

    def read_ms(self) -> float | None:
        """Milliseconds that one example takes one reading thread, so far."""
        return self.reader.read_ms()

    def pieces(
        self, steps: range, stop_after: Callable[[int], int] | None = None
    ) -> Prefetch[PyTree]:
        """The payload of each of `calls`: tuples of global batches, one a step."""
        return Prefetch(self._groups(steps, calls(steps, stop_after)), self._put)

    def abstract(self, steps: int) -> PyTree:
        """The payload of a call of so many steps, as `ShapeDtypeStruct`s."""
        batch = spec_of(self.fields, self.batch_size, row_sharding(self.mesh))
        return (batch,) * steps

    def sweep(self, rows: np.ndarray) -> Prefetch[PyTree]:
        """One piece for each of `rows` [batches, B].

        A corrupt row gives way to the next good one of the data set.
        """
        mine = np.split(rows, jax.process_count(), axis=1)[jax.process_index()]
        order = np.arange(self.num_examples)
        lists = ((order, places) for places in mine)
        host = decoded(self.reader, lists, mine.shape[1], self.workers)
        return Prefetch(host, lambda batch: to_global(batch, self.mesh))

    def steps(self, payload: PyTree) -> PyTree:
        """The payload with the call's steps as axis 0 of every leaf, inside `jit`."""
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *payload)

    def batch(self, data: PyTree, piece: PyTree) -> Batch:
        """One step's batch from `data` and one step's piece, inside `jit`."""
        del data
        return piece

    def _loaded(self) -> PyTree:
        return ()

    def _groups(
        self, steps: range, cut: Iterator[tuple[int, int]]
    ) -> Iterator[tuple[Rows, ...]]:
        with closing(
            batches(
                self.source,
                seed=self.seed,
                batch_size=self.batch_size,
                start=steps.start,
                stop=steps.stop,
                process=jax.process_index(),
                count=jax.process_count(),
                workers=self.workers,
                reader=self.reader,
                share=self.share,
            )
        ) as host:
            for _, count in cut:
                yield tuple(islice(host, count))

    def _put(self, group: tuple[Rows, ...]) -> tuple[Batch, ...]:
        return tuple(to_global(batch, self.mesh) for batch in group)


class ResidentFeed(Feed):
    """A feed with every example in device memory; a step sends only row numbers."""

    def pieces(
        self, steps: range, stop_after: Callable[[int], int] | None = None
    ) -> Prefetch[PyTree]:
        """Row numbers [steps, B] int32 of each of `calls`."""
        cut = calls(steps, stop_after)
        return Prefetch((self._rows(*call) for call in cut), self._placed)

    def abstract(self, steps: int) -> PyTree:
        """Row numbers [steps, B] int32."""
        shape = (steps, self.batch_size)
        return jax.ShapeDtypeStruct(shape, jnp.int32, sharding=self._where(len(shape)))

    def sweep(self, rows: np.ndarray) -> Prefetch[PyTree]:
        """Each of `rows` [batches, B], sharded like a batch."""
        return Prefetch(rows.astype(np.int32), self._placed)

    def read_ms(self) -> float | None:
        """Nothing is read while the run goes on."""
        return None

    def steps(self, payload: PyTree) -> PyTree:
        """They are axis 0 already."""
        return payload

    def batch(self, data: PyTree, piece: PyTree) -> Batch:
        """Gathers the piece's rows on the device that needs them."""
        return take(data, piece)

    def _loaded(self) -> PyTree:
        arrays = load(self.source, workers=self.workers, reader=self.reader)
        return resident(arrays, self.mesh)

    def _rows(self, first: int, count: int) -> np.ndarray:
        steps = range(first, first + count)
        settings = self.batch_size, self.num_examples, self.share
        rows = [rows_of_step(self.seed, step, *settings) for step in steps]
        return np.stack(rows).astype(np.int32)

    def _placed(self, rows: np.ndarray) -> jax.Array:
        """Row numbers [..., B], the last axis over all devices."""
        where = self._where(rows.ndim)
        return jax.make_array_from_callback(rows.shape, where, rows.__getitem__)

    def _where(self, rank: int) -> NamedSharding:
        return NamedSharding(self.mesh, P(*(None,) * (rank - 1), BATCH_AXES))
