"""From rows on the host to arrays on the mesh.

`to_global` and `prefetch` feed a run whose images come from the host; `Resident` keeps
a data set that fits in the memory of every device and gathers its batches there.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jax_ssl.core.types import Array, Batch
from jax_ssl.parallel.mesh import (
    BATCH_AXES,
    check_batch_size,
    replicated,
    row_sharding,
)
from jax_ssl.parallel.rows import shard_count

T = TypeVar("T")
U = TypeVar("U")


def to_global(host_batch: Mapping[str, np.ndarray], mesh: Mesh) -> Batch:
    """Makes global arrays, rows over all devices, from this process's rows.

    Args:
        host_batch: {name: [B / P, ...]}, this process's share of the global batch.
        mesh: of all P processes.

    Returns:
        {name: [B, ...]}, rows sharded over both mesh axes.

    Note:
        Process p's rows become rows p B / P, ... of the global batch, since the mesh
        lists the devices process by process (see `make_mesh`).

    Raises:
        ValueError: if the devices cannot share the rows equally.
    """
    sharding = row_sharding(mesh)
    processes = len({device.process_index for device in mesh.devices.flat})
    check_batch_size(len(next(iter(host_batch.values()))) * processes, mesh.size)
    return {
        name: jax.make_array_from_process_local_data(sharding, rows)
        for name, rows in host_batch.items()
    }


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


_END = object()


class Prefetch(Generic[U]):
    """An iterator that stays ahead of its consumer; made by `prefetch`.

    Attributes:
        waited: seconds that the consumer has spent waiting in `next` so far.
    """

    def __init__(
        self, iterator: Iterable[T], put: Callable[[T], U], depth: int
    ) -> None:
        self.waited = 0.0
        self._free = threading.Semaphore(depth)
        self._ready: queue.SimpleQueue = queue.SimpleQueue()
        self._closed = threading.Event()
        self._ended = False
        self._thread = threading.Thread(
            target=self._work, args=(iterator, put), name="jax_ssl-feed", daemon=True
        )
        self._thread.start()

    def _work(self, iterator: Iterable[T], put: Callable[[T], U]) -> None:
        outcome: object = _END
        try:
            items = iter(iterator)
            while True:
                self._free.acquire()
                if self._closed.is_set():
                    break
                try:
                    item = next(items)
                except StopIteration:
                    break
                self._ready.put(put(item))
                del item  # Or it would stay alive until the next one is ready.
        except BaseException as error:  # Raised again in the consumer's thread.
            outcome = _Failed(error)
        finally:
            close = getattr(iterator, "close", None)
            try:
                if close is not None:
                    close()
            finally:
                self._ready.put(outcome)

    def __iter__(self) -> Iterator[U]:
        return self

    def __next__(self) -> U:
        if self._ended:
            raise StopIteration
        start = time.perf_counter()
        item = self._ready.get()
        self.waited += time.perf_counter() - start
        if item is _END:
            self._ended = True
            raise StopIteration
        if isinstance(item, _Failed):
            self._ended = True
            raise item.error
        self._free.release()
        return item

    def close(self) -> None:
        """Ends the thread, closes the iterator under it and drops what is ready."""
        self._ended = True
        self._closed.set()
        self._free.release()
        self._thread.join()
        while not self._ready.empty():
            self._ready.get()

    def __enter__(self) -> "Prefetch[U]":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def prefetch(
    iterator: Iterable[T], put: Callable[[T], U], depth: int = 2
) -> Prefetch[U]:
    """Runs `put(item)` for the coming items in a thread of its own.

    Args:
        iterator: of host batches; closed with the result if it has `close`.
        put: sends one item to the devices, as `to_global` does.
        depth: items, at least 1, that may be put and not yet consumed; 2 is double
            buffering.

    Returns:
        Iterator of what `put` returns, in order. An error of `iterator` or `put` is
        raised by the `next` that reaches it. Close it, or use it in `with`.

    Raises:
        ValueError: if depth < 1.
    """
    if depth < 1:
        raise ValueError(
            f"prefetch depth = {depth}; at least 1 item must be under way."
        )
    return Prefetch(iterator, put, depth)


@dataclass(frozen=True, eq=False)
class Resident:
    """A data set in the memory of every device; made by `resident`.

    Attributes:
        data: {name: [N, ...]}, replicated. Give it to `jit` as an argument: closed
            over, it would be compiled in as a constant.
        spec: of one example.
    """

    data: Batch
    spec: Mapping[str, jax.ShapeDtypeStruct]

    def __len__(self) -> int:
        return len(next(iter(self.data.values())))

    def take(self, data: Batch, rows: Array) -> Batch:
        """Gathers a batch without communication, under `jit` or outside.

        Args:
            data: `self.data`.
            rows: [B] integers below N, sharded over the mesh's rows.

        Returns:
            {name: [B, ...]}, sharded like `rows`: every device gathers its own.
        """

        def mine(data: Batch, rows: Array) -> Batch:
            return {name: x.at[rows].get(mode="clip") for name, x in data.items()}

        if shard_count() == 1:
            return mine(data, rows)
        # The partitioner would probably do the same; here it has no choice.
        return jax.shard_map(
            mine, in_specs=(P(), P(BATCH_AXES)), out_specs=P(BATCH_AXES)
        )(data, rows)


def resident(
    arrays: Mapping[str, np.ndarray], mesh: Mesh, *, max_share: float = 0.5
) -> Resident:
    """Places a whole data set in the memory of every device.

    Args:
        arrays: {name: [N, ...]}, the whole set in every process.
        mesh: whose devices shall hold it.
        max_share: of a device's memory that the set may fill, where the device tells
            its memory (CPUs do not).

    Raises:
        ValueError: if the set is larger, naming both sizes.
    """
    need = sum(x.nbytes for x in arrays.values())
    device = mesh.local_devices[0]
    have = (device.memory_stats() or {}).get("bytes_limit")
    if have is not None and need > max_share * have:
        raise ValueError(
            f"feed.resident: the images need {need / 2**30:.2f} GiB on every device, "
            f"more than {max_share:.0%} of the {have / 2**30:.2f} GiB of {device}; set "
            "feed.resident=False or store smaller images (data.canvas)."
        )
    where = replicated(mesh)
    data = {
        name: jax.make_array_from_process_local_data(where, x, x.shape)
        for name, x in arrays.items()
    }
    spec = {
        name: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for name, x in arrays.items()
    }
    return Resident(data, spec)
