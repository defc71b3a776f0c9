"""Functions over the rows of the global batch; one of the two users of `shard_map`.

Both work on whatever mesh `jax.set_mesh` has installed, and without any.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jax_ssl.core.types import Array, Example, PyTree
from jax_ssl.parallel.mesh import BATCH_AXES


def shard_count() -> int:
    """Number of shards that the ambient mesh cuts the batch into; 1 without a mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh is None or mesh.empty:
        return 1
    count = 1
    for axis in BATCH_AXES:
        count *= mesh.shape.get(axis, 1)
    return count


def map_examples(
    fn: Callable[[Array, Example], PyTree],
    key: Array,
    batch: PyTree,
    *,
    chunks: int = 1,
) -> PyTree:
    """Applies `fn(key, example)` to every row of the global batch.

    Row i gets the key `fold_in(key, i)`, i counted over the global batch, so the result
    does not depend on how many devices share the rows. Runs as a `vmap` inside a
    `shard_map`: no collective can appear.

    Args:
        fn: written for one example and one key.
        key: [] typed PRNG key.
        batch: tree of [B, ...] arrays, rows sharded over the mesh.
        chunks: every device applies `fn` to its rows in so many turns, which bounds the
            memory of what `fn` holds in between.

    Returns:
        Tree of [B, ...] arrays, sharded like `batch`.
    """
    rows = jnp.arange(jax.tree.leaves(batch)[0].shape[0], dtype=jnp.uint32)

    def mine(key: Array, rows: Array, batch: PyTree) -> PyTree:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
        if chunks == 1:
            return jax.vmap(fn)(keys, batch)
        turn = -(-len(rows) // chunks)
        return jax.lax.map(lambda row: fn(*row), (keys, batch), batch_size=turn)

    if shard_count() == 1:
        return mine(key, rows, batch)
    return jax.shard_map(
        mine, in_specs=(P(), P(BATCH_AXES), P(BATCH_AXES)), out_specs=P(BATCH_AXES)
    )(key, rows, batch)


def mean_over_rows(
    row_loss: Callable[[Array, Array, Array], PyTree], x: Array
) -> PyTree:
    """Mean over the rows of `x` of a loss in which each row looks at every row.

    `row_loss(mine [b, ...], everyone [B, ...], start [] int32)` is called once per
    shard with that shard's rows, all rows, and the global number of its first row. `x`
    crosses the wires once forward (all-gather) and once backward (reduce-scatter); the
    largest intermediate is b x B. Outside any mesh it is one call with b == B.

    Args:
        row_loss: the loss of each of a shard's rows, or a tree of such numbers; every
            leaf is [b].
        x: [B, ...], rows sharded over the mesh.

    Returns:
        [] float32 for every leaf, the mean over the global batch.
    """
    if shard_count() == 1:
        rows = row_loss(x, x, jnp.zeros((), jnp.int32))
    else:

        def mine(x: Array) -> PyTree:
            everyone = jax.lax.all_gather(x, BATCH_AXES, axis=0, tiled=True)
            start = jax.lax.axis_index(BATCH_AXES) * x.shape[0]
            return row_loss(x, everyone, start)

        rows = jax.shard_map(mine, in_specs=P(BATCH_AXES), out_specs=P(BATCH_AXES))(x)
    return jax.tree.map(jnp.mean, rows)


def map_shards(
    fn: Callable[[PyTree, PyTree], PyTree], rows: PyTree, whole: PyTree = ()
) -> PyTree:
    """Applies `fn(rows of one shard, whole)` on every device, without communication.

    Args:
        fn: (tree of [n, ...], whole) -> tree of [n, ...].
        rows: tree of [N, ...] arrays, rows sharded over the mesh.
        whole: the same on every device.

    Returns:
        Tree of [N, ...] arrays, sharded like `rows`.
    """
    if shard_count() == 1:
        return fn(rows, whole)
    split = P(BATCH_AXES)
    return jax.shard_map(fn, in_specs=(split, P()), out_specs=split, check_vma=False)(
        rows, whole
    )


def take_rows(x: Array, numbers: Array) -> Array:
    """Some rows of `x`, on every device: only these cross the wires.

    Args:
        x: [N, ...], rows sharded over the mesh.
        numbers: [n] int32 in 0 ... N - 1, the same on every device.

    Returns:
        [n, ...] of the dtype of `x`.
    """
    if shard_count() == 1:
        return x[numbers]

    def mine(piece: Array, numbers: Array) -> Array:
        start = jax.lax.axis_index(BATCH_AXES) * len(piece)
        here = (numbers >= start) & (numbers < start + len(piece))
        rows = piece[jnp.where(here, numbers - start, 0)]
        rows = jnp.where(here.reshape(-1, *(1,) * (piece.ndim - 1)), rows, 0)
        return jax.lax.psum(rows, BATCH_AXES)

    return jax.shard_map(mine, in_specs=(P(BATCH_AXES), P()), out_specs=P())(x, numbers)
