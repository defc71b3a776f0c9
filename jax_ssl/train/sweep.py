"""Every example of a data set through a function, its results staying on the mesh.

Every device takes a run of consecutive examples, so that the results lie in data-set
order without moving. The stage between epochs and all evaluation stand on it.
"""

from collections import deque
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jax_ssl.core.compiling import jit
from jax_ssl.core.fields import spec_of
from jax_ssl.core.types import Array, Batch, PyTree
from jax_ssl.parallel.mesh import BATCH_AXES, row_sharding
from jax_ssl.parallel.rows import on_shards
from jax_ssl.parallel.together import together
from jax_ssl.train.feeds import Feed

# Examples that a device takes at a time, at most.
AT_ONCE = 128
# Batches dispatched ahead of the devices.
IN_FLIGHT = 4


class Sweep:
    """A function of the examples of a feed; call it with the mesh installed.

    Attributes:
        rows: [n'] int64, row of the data set of every result; -1 where a place is a
            filler, since every device has the same number of them.
        shapes: tree of `ShapeDtypeStruct`s [n', ...], of the results.
    """

    def __init__(
        self,
        fn: Callable[[PyTree, Batch], PyTree],
        whole: PyTree,
        feed: Feed,
        mesh: Mesh,
        *,
        rows: np.ndarray | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        """Prepares the sweep; nothing is compiled yet.

        Args:
            fn: (whole, batch) -> tree of [B, ...]; it must not look at other rows.
            whole: shapes of what it reads beside the batch, such as variables.
            feed: of the data set.
            mesh: the devices.
            rows: [n] of the data set, in the order of the results; all unless given.
            at_once: examples that a device takes at a time, at most.
        """
        rows = np.arange(feed.num_examples) if rows is None else rows
        self.feed, self.mesh = feed, mesh
        places = places_by_device(len(rows), mesh.size, at_once)
        self._places = rows[np.minimum(places, len(rows) - 1)]  # [steps, devices x b]
        steps, size = places.shape
        order = np.arange(steps * size)
        self.rows = np.where(order < len(rows), rows[order % len(rows)], -1)
        b, split = size // mesh.size, P(BATCH_AXES)

        def put(found: PyTree, new: PyTree, at: Array) -> PyTree:
            def leaf(old: Array, rows: Array) -> Array:
                return lax.dynamic_update_slice_in_dim(old, rows, at * b, 0)

            return jax.tree.map(leaf, found, new)

        with jax.set_mesh(mesh):
            keep = on_shards(put, (split, split, P()), split)
            self.shapes = jax.tree.map(
                lambda leaf: leaf.update(shape=(steps * size, *leaf.shape[1:])),
                jax.eval_shape(fn, whole, spec_of(feed.fields, size)),
            )

        def one(whole: PyTree, data: PyTree, piece: PyTree) -> PyTree:
            return fn(whole, feed.batch(data, piece))

        def start() -> PyTree:
            return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), self.shapes)

        rows_over = row_sharding(mesh)
        self._start = jit(start, mesh=mesh, out_shardings=rows_over)
        self._keep = together(keep, donate_argnums=0, out_shardings=rows_over)
        self._one = together(one, out_shardings=rows_over)

    def __call__(
        self, whole: PyTree, advance: Callable[[int], None] = lambda rows: None
    ) -> PyTree:
        """The results [n', ...], rows sharded over the mesh.

        Args:
            whole: what the function reads beside the batch.
            advance: told the rows of every batch.

        Raises:
            TooManyCorrupt: if too few of the examples can be read.
        """
        found = self._start()
        for at, batch in enumerate(self.batches(whole, advance)):
            found = self._keep(found, batch, np.int32(at))
        return found

    def batches(
        self, whole: PyTree, advance: Callable[[int], None] = lambda rows: None
    ) -> Iterator[PyTree]:
        """The results batch by batch, [devices x b, ...], as they are ready.

        Batch s holds of the n' / devices places of every device those from s b on.

        Raises:
            TooManyCorrupt: if too few of the examples can be read.
        """
        waiting: deque[PyTree] = deque()
        with self.feed.sweep(self._places) as pieces:
            for piece in pieces:
                waiting.append(self._one(whole, self.feed.data, piece))
                advance(self._places.shape[1])
                if len(waiting) > IN_FLIGHT:
                    yield jax.block_until_ready(waiting.popleft())
        yield from waiting


def places_by_device(count: int, devices: int, at_once: int) -> np.ndarray:
    """Places of every batch of a pass in which each device has consecutive ones.

    Device d has n of them, from d n on: b in each of the batches, the columns d b to
    (d + 1) b - 1.

    Args:
        count: of places.
        devices: of the mesh.
        at_once: places that a device takes in a batch, at most.

    Returns:
        [batches, devices x b] int64. The last of the devices x n may be `count` or
        more: fillers.
    """
    each = -(-count // devices)
    batches = -(-each // max(1, min(AT_ONCE, at_once)))
    b = -(-each // batches)
    by_device = np.arange(devices * batches * b).reshape(devices, batches, b)
    return by_device.swapaxes(0, 1).reshape(batches, devices * b)
