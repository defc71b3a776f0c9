"""Exact large batches on few devices: the network sees the rows chunk by chunk.

The activations of one chunk are alive at a time, while the loss still reads every
embedding of the global batch; differentiation then gives the gradient of the whole
batch's loss, at the price of a second forward pass. For contrastive losses Gao et al.
(2021, arXiv:2101.06983) do the same by hand.

The train step opens `in_chunks`, `nn.apply.forward` calls `map_chunks`; methods know
of neither.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jax_ssl.core import checks
from jax_ssl.core.context import holding
from jax_ssl.core.types import Array, PyTree
from jax_ssl.parallel.mesh import BATCH_AXES
from jax_ssl.parallel.rows import on_shards, shard_count

_count: ContextVar[int] = ContextVar("chunk_count", default=1)
# Numbers in the global batch of the rows of the chunk that is being traced, int32.
_rows: ContextVar[Array | None] = ContextVar("chunk_rows", default=None)


def in_chunks(count: int) -> AbstractContextManager[None]:
    """Makes the networks applied inside run over `count` chunks of rows; 1 for none.

    Raises:
        ValueError: if count < 1.
    """
    checks.at_least(1, **{"run.chunks": count})
    return holding(_count, count)


def chunk_count() -> int:
    """Number of chunks that the surrounding `in_chunks` asks for; 1 outside."""
    return _count.get()


def parts_of_rows() -> int:
    """Of how many equal parts of the rows the network being traced sees one.

    1 outside `map_chunks`; inside, chunks x devices.
    """
    return 1 if _rows.get() is None else chunk_count() * shard_count()


def row_numbers(n: int) -> Array:
    """Numbers in the global batch of the n rows that a network sees, [n] int32.

    What a network draws for a row must depend on this number, not on the row's place
    in its chunk: `fold_in(key, number)`.

    Raises:
        ValueError: if, inside a chunk, n is not the chunk's number of rows.
    """
    rows = _rows.get()
    if rows is None:
        return jnp.arange(n, dtype=jnp.int32)
    if n != len(rows):
        raise ValueError(
            f"a network draws random numbers for {n} rows, but its chunk has "
            f"{len(rows)}; draw them before the rows are merged or split."
        )
    return rows


def along_rows(x: Array) -> Array:
    """The array x [n, ...], whose rows lie on the devices as those of a batch do.

    For what a method draws by itself and a network reads. Without it the compiler
    chooses a layout by the parameters; where these are split (fsdp), XLA for CPUs has
    then made wrong numbers of a decoder (seen with jax 0.10.2). Rows that the devices
    cannot share equally are whole on each.
    """
    if shard_count() == 1 or jax.sharding.get_abstract_mesh().manual_axes:
        return x
    shared = len(x) % shard_count() == 0
    return jax.lax.with_sharding_constraint(x, P(BATCH_AXES) if shared else P())


def map_chunks(
    fn: Callable[[PyTree, PyTree], PyTree], whole: PyTree, rows: PyTree
) -> PyTree:
    """Applies `fn(whole, chunk)` to one chunk of rows after the other.

    Every chunk takes an equal run of consecutive rows from every device, so that
    nothing moves between devices inside; `fn` is recomputed in the backward pass, and
    the gradient of `whole` is summed over the devices once, after the last chunk.

    Args:
        fn: (whole, tree of [r, ...]) -> tree of [k, ...]; r = n / (chunks x devices).
        whole: what every chunk reads, such as parameters; where it is split over
            devices (fsdp) it is gathered once for all chunks.
        rows: tree of [n, ...] arrays, rows sharded over the mesh; scalars are given to
            every chunk.

    Returns:
        Tree of [n k / r, ...] arrays: the results in the order of the rows.

    Raises:
        ValueError: if chunks x devices does not divide n.
    """
    chunks, shards = chunk_count(), shard_count()
    sizes = {leaf.shape[0] for leaf in jax.tree.leaves(rows) if leaf.ndim}
    if len(sizes) != 1:
        raise ValueError(
            f"the arrays cut into chunks have {sorted(sizes)} rows, not one number."
        )
    (n,) = sizes
    if n % (chunks * shards):
        raise ValueError(
            f"run.chunks = {chunks} on {shards} devices cannot share {n} rows equally; "
            f"choose run.chunks so that {shards} x run.chunks divides {n}."
        )

    # Between the chunks all that one of them reads lies on a single axis: the compiler
    # chooses and pads the layout of images by the convolutions that read them, here
    # then for one chunk and not for all.
    def cut(leaf: Array) -> Array:
        return leaf.reshape(chunks, -1) if leaf.ndim else jnp.broadcast_to(leaf, chunks)

    def uncut(piece: Array, leaf: Array) -> Array:
        return piece.reshape(-1, *leaf.shape[1:]) if leaf.ndim else piece

    def one(whole: PyTree, number: Array, chunk: PyTree) -> PyTree:
        with holding(_rows, number):
            return fn(whole, jax.tree.map(uncut, chunk, rows))

    one = jax.checkpoint(one, prevent_cse=False)  # Inside a loop nothing is merged.

    def mine(whole: PyTree, numbers: Array, rows: PyTree) -> PyTree:
        pieces = jax.tree.map(cut, (numbers, rows))
        # The loops of `lax.map` are slow for convolutions on CPU, and nowhere else.
        results = jax.lax.map(lambda piece: one(whole, *piece), pieces)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), results)

    # Unchecked, each device sums its own gradient of `whole` over its chunks, and the
    # devices are summed over once, behind the loop; jax 0.12's check, moreover, refuses
    # the error function in here.
    split = P(BATCH_AXES)
    where = jax.tree.map(lambda leaf: split if leaf.ndim else P(), rows)
    mapped = on_shards(mine, (P(), split, where), split)
    return mapped(whole, jnp.arange(n, dtype=jnp.int32), rows)
