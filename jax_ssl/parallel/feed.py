"""From rows on the host to arrays on the mesh.

`to_global` and `Prefetch` feed a run whose images come from the host; `resident` puts a
data set that fits in the memory of every device there, and `take` gathers its batches.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from jax_ssl.core import checks
from jax_ssl.core.types import Array, Batch
from jax_ssl.parallel.mesh import check_batch_size, replicated, row_sharding
from jax_ssl.parallel.rows import map_shards

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


class Prefetch(AbstractContextManager, Iterator[U]):
    """Runs `put(item)` for the coming items in a thread of its own.

    An iterator of what `put` returns, in order. An error of the items or of `put` is
    raised by the `next` that reaches it, and ends it. Close it, or use it in `with`.

    Attributes:
        waited: seconds that the consumer has spent waiting in `next` so far.
    """

    def __init__(
        self, items: Iterable[T], put: Callable[[T], U], depth: int = 2
    ) -> None:
        """Starts the thread.

        Args:
            items: of host batches; closed with this iterator if they can be.
            put: sends one item to the devices, as `to_global` does.
            depth: items, at least 1, that may be put and not yet consumed; 2 is double
                buffering.

        Raises:
            ValueError: if depth < 1.
        """
        checks.at_least(1, depth=depth)
        self.waited = 0.0
        self._items, self._put = iter(items), put
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="jax_ssl-feed")
        self._coming: deque[Future[U]] = deque()
        for _ in range(depth):
            self._coming.append(self._pool.submit(self._next))

    def _next(self) -> U:
        return self._put(next(self._items))

    def __next__(self) -> U:
        if not self._coming:
            raise StopIteration
        begun = time.perf_counter()
        try:
            ready = self._coming.popleft().result()
        except BaseException:  # Also the StopIteration of the items.
            self.close()
            raise
        finally:
            self.waited += time.perf_counter() - begun
        self._coming.append(self._pool.submit(self._next))
        return ready

    def close(self) -> None:
        """Ends the thread, closes the items under it and drops what is ready."""
        self._coming.clear()
        self._pool.shutdown(cancel_futures=True)
        if isinstance(self._items, Generator):
            self._items.close()

    def __exit__(self, *error: object) -> None:
        self.close()


def resident(
    arrays: Mapping[str, np.ndarray], mesh: Mesh, *, max_share: float = 0.5
) -> Batch:
    """Places a whole data set in the memory of every device.

    Args:
        arrays: {name: [N, ...]}, the whole set in every process.
        mesh: whose devices shall hold it.
        max_share: of a device's memory that the set may fill, where the device tells
            its memory (CPUs do not).

    Returns:
        {name: [N, ...]}, replicated. Give it to `jit` as an argument: closed over, it
        would be compiled in as a constant.

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
    return {
        name: jax.make_array_from_process_local_data(where, x, x.shape)
        for name, x in arrays.items()
    }


def take(data: Batch, rows: Array) -> Batch:
    """Gathers a batch of a resident data set without communication.

    Args:
        data: from `resident`.
        rows: [B] integers below N, sharded over the mesh's rows.

    Returns:
        {name: [B, ...]}, sharded like `rows`: every device gathers its own. The
        partitioner would probably do the same; here it has no choice.
    """

    def mine(rows: Array, data: Batch) -> Batch:
        return {name: x.at[rows].get(mode="clip") for name, x in data.items()}

    return map_shards(mine, rows, data)
