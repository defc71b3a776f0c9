"""Functions over the rows of the global batch, each device having a run of them.

They work on whatever mesh `jax.set_mesh` has installed, and without any.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jax_ssl.core.types import Array, Example, PyTree
from jax_ssl.parallel.mesh import BATCH_AXES


def shard_count(axes: Sequence[str] = BATCH_AXES) -> int:
    """Shards that these axes of the ambient mesh make; 1 without a mesh.

    Args:
        axes: by default those that cut the batch.
    """
    mesh = jax.sharding.get_abstract_mesh()
    return math.prod(mesh.shape.get(axis, 1) for axis in axes)


def on_shards(
    fn: Callable[..., Any], in_specs: Any, out_specs: Any, *, check_vma: bool = False
) -> Callable[..., Any]:
    """`fn` on every device of the ambient mesh; `fn` itself where there is one shard.

    Args:
        fn: called with each device's shards of the arguments, and for the whole of them
            where there is one shard.
        in_specs: of the arguments, as `jax.shard_map` takes them.
        out_specs: of the results, likewise.
        check_vma: whether jax tracks what is the same on all devices. It then refuses
            loops that start with a constant and end with a device's own value.
    """
    if shard_count() == 1:
        return fn
    return jax.shard_map(
        fn, in_specs=in_specs, out_specs=out_specs, check_vma=check_vma
    )


def everyone(rows: PyTree, axes: Sequence[str] = BATCH_AXES) -> PyTree:
    """The rows of all shards along `axes`, inside `on_shards`, from those of each."""
    if shard_count(axes) == 1:
        return rows
    return jax.lax.all_gather(rows, tuple(axes), axis=0, tiled=True)


def first_row(n: int, axes: Sequence[str] = BATCH_AXES) -> Array:
    """Number of a shard's first row, inside `on_shards`, where each shard has n."""
    if shard_count(axes) == 1:
        return jnp.zeros((), jnp.int32)
    return jax.lax.axis_index(tuple(axes)) * n


def rows_here(numbers: Array, piece: Array, start: Array) -> Array:
    """Rows of a piece by their numbers; zeros for those that are in other pieces.

    Args:
        numbers: integers [...].
        piece: [n, ...], rows start ... start + n - 1 of a longer array.
        start: [] int32.
    """
    here = (numbers >= start) & (numbers < start + len(piece))
    rows = piece[jnp.where(here, numbers - start, 0)]
    return jnp.where(jnp.expand_dims(here, tuple(range(here.ndim, rows.ndim))), rows, 0)


def pass_on(tree: PyTree) -> PyTree:
    """Sends a shard's arrays, inside `on_shards`, to the next one around the ring."""
    count = shard_count()
    if count == 1:
        return tree
    ring = [(i, (i + 1) % count) for i in range(count)]
    return jax.lax.ppermute(tree, BATCH_AXES, ring)


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
        if len(rows) % chunks:
            turn = -(-len(rows) // chunks)
            return jax.lax.map(lambda row: fn(*row), (keys, batch), batch_size=turn)
        return in_turns(jax.vmap(fn), (keys, batch), chunks)

    split = P(BATCH_AXES)
    mapped = on_shards(mine, (P(), split, split), split, check_vma=True)
    return mapped(key, rows, batch)


def in_turns(
    fn: Callable[[Array, PyTree], PyTree], rows: tuple[Array, PyTree], turns: int
) -> PyTree:
    """Applies `fn(keys, rows)` to equal runs of rows, one after the other.

    Results lie on a single axis until the last turn is made, as `map_chunks` reads
    them: nothing in between gives the compiler a reason to copy or pad them.

    Args:
        fn: tree of [n / turns, ...] -> tree of the same number of rows.
        rows: keys [n] and a tree of [n, ...] arrays.
        turns: which divides n.

    Returns:
        Tree of [n, ...] arrays.
    """
    shapes: list[tuple[int, ...]] = []

    def flat(piece: tuple[Array, PyTree]) -> PyTree:
        made = fn(*piece)
        shapes[:] = [leaf.shape for leaf in jax.tree.leaves(made)]
        return jax.tree.map(jnp.ravel, made)

    pieces = jax.tree.map(lambda leaf: leaf.reshape(turns, -1, *leaf.shape[1:]), rows)
    leaves, kind = jax.tree.flatten(jax.lax.map(flat, pieces))
    pairs = zip(leaves, shapes, strict=True)
    whole = [leaf.reshape(-1, *shape[1:]) for leaf, shape in pairs]
    return jax.tree.unflatten(kind, whole)


def mean_over_rows(
    row_loss: Callable[[PyTree, PyTree, Array], PyTree], x: PyTree
) -> PyTree:
    """Mean over the rows of `x` of a loss in which each row looks at every row.

    `row_loss(mine [b, ...], everyone [B, ...], start [] int32)` is called once per
    shard with that shard's rows, all rows, and the global number of its first row. `x`
    crosses the wires once forward (all-gather) and once backward (reduce-scatter); the
    largest intermediate is b x B. Outside any mesh it is one call with b == B.

    Args:
        row_loss: the loss of each of a shard's rows, or a tree of such numbers; every
            leaf is [b].
        x: [B, ...], or a tree of such arrays, rows sharded over the mesh.

    Returns:
        [] float32 for every leaf, the mean over the global batch.
    """

    def mine(x: PyTree) -> PyTree:
        return row_loss(x, everyone(x), first_row(len(jax.tree.leaves(x)[0])))

    rows = on_shards(mine, P(BATCH_AXES), P(BATCH_AXES), check_vma=True)(x)
    return jax.tree.map(jnp.mean, rows)


def map_shards(
    fn: Callable[[PyTree, PyTree], PyTree], rows: PyTree, whole: PyTree = ()
) -> PyTree:
    """Applies `fn(rows of one shard, whole)` on every device.

    Nothing is communicated unless `fn` asks for it, by `everyone` for instance.

    Args:
        fn: (tree of [n, ...], whole) -> tree of [n, ...].
        rows: tree of [N, ...] arrays, rows sharded over the mesh.
        whole: the same on every device.

    Returns:
        Tree of [N, ...] arrays, sharded like `rows`.
    """
    return on_shards(fn, (P(BATCH_AXES), P()), P(BATCH_AXES))(rows, whole)


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
        rows = rows_here(numbers, piece, first_row(len(piece)))
        return jax.lax.psum(rows, BATCH_AXES)

    return on_shards(mine, (P(BATCH_AXES), P()), P(), check_vma=True)(x, numbers)
