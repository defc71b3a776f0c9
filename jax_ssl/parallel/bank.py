"""A memory bank: a row for every example of the data set, in pieces over "fsdp".

The bank is larger than anything that is asked of it, so questions and answers travel
and its rows do not. The pieces are those of `rules.shape_rule`: rows over "fsdp", and
the whole bank on every device where that axis is 1. Nothing here differentiates it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P

from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array, PyTree
from jax_ssl.parallel import tiles
from jax_ssl.parallel.mesh import BATCH_AXES
from jax_ssl.parallel.ring import different
from jax_ssl.parallel.rows import (
    everyone,
    first_row,
    on_shards,
    rows_here,
    shard_count,
)

# Banks are filled up to a multiple of this, so that any usual mesh can cut them.
MULTIPLE = 1024
# Rows of the bank that are scored at a time.
BLOCK = 4096
# Numbers gathered from the bank at a time: 64 MiB.
GATHERED = 2**24


def bank_size(num_examples: int) -> int:
    """Rows of a bank for so many examples: the next multiple of `MULTIPLE`."""
    return -(-num_examples // MULTIPLE) * MULTIPLE


def bank_rows(index: Array, bank: Array) -> Array:
    """Rows of a bank by their numbers.

    Args:
        index: [B] int32 in 0 ... N - 1, sharded over the mesh.
        bank: [N, D].

    Returns:
        [B, D], sharded like `index`.
    """
    return _ask(_rows_here, index, bank).sum(1)


def bank_scores(v: Array, slots: Array, bank: Array) -> Array:
    """Products of each row of v with rows of its own choice, v_i · f_slots[i, j].

    The gathered rows are not held; the gradient gathers them anew.

    Args:
        v: [B, D], rows sharded over the mesh.
        slots: [B, m] int32 in 0 ... N - 1, sharded likewise.
        bank: [N, D].

    Returns:
        [B, m] float32, sharded likewise.
    """

    def answer(questions: PyTree, piece: Array, start: Array) -> Array:
        def of_row(row: PyTree) -> Array:
            v, slots = row
            rows = _rows_here(slots, piece, start)
            return einsum("md,d->m", rows, v)

        v, slots = questions
        at_once = max(1, min(len(v), GATHERED // (slots.shape[1] * v.shape[1])))
        of_row = jax.checkpoint(of_row, prevent_cse=False)
        return lax.map(of_row, (v, slots), batch_size=at_once)

    return _ask(answer, (v, slots), bank).sum(1)


def logsumexp_over_bank(
    v: Array,
    shift: Array,
    index: Array,
    bank: Array,
    *,
    scale: float,
    num_examples: int,
) -> tuple[Array, Array]:
    """Logs of sums of exponentials of scores against all other rows of a bank.

    lse_i = log Σ_j exp(scale (v_i · f_j - shift_i)) over j ≠ index_i. The scores are
    made block by block, forward and again backward.

    Args:
        v: [B, D], rows sharded over the mesh.
        shift: [B], sharded likewise.
        index: [B] int32, sharded likewise: the row that is not summed over.
        bank: [N, D].
        scale: an inverse temperature, positive.
        num_examples: rows of the bank that count, 2 or more; the first.

    Returns:
        [B] float32, lse; [B] float32, the largest scale (v_i · f_j - shift_i), which
        has no gradient. Both sharded like `v`.
    """

    def answer(questions: PyTree, piece: Array, start: Array) -> tuple[Array, Array]:
        v, shift, index = questions
        number = start + jnp.arange(len(piece))
        own = tiles.Own(v, shift, index)
        others = tiles.Others(*tiles.cut((piece, number, number < num_examples), BLOCK))
        return tiles.add_exponentials(different, scale, own, others, tiles.empty(own))

    tops, totals = _ask(answer, (v, shift, index), bank)  # [B, F]
    tops = lax.stop_gradient(tops)
    top = tops.max(1)
    total = jnp.sum(totals * jnp.exp(tops - top[:, None]), axis=1)
    return top + jnp.log(total), top


def write_bank(bank: Array, index: Array, rows: Array) -> Array:
    """The bank with some rows replaced; the others are not touched.

    The new rows are gathered by all devices, and each writes those of its piece.

    Args:
        bank: [N, D].
        index: [B] int32 in 0 ... N - 1, sharded over the mesh. Where one occurs twice,
            one of its rows is written.
        rows: [B, D], sharded likewise.

    Returns:
        [N, D] of the dtype and in the pieces of `bank`; no gradient flows into it.
    """
    bank, rows = lax.stop_gradient((bank, rows))
    axes = _axes(bank)

    def mine(index: Array, rows: Array, piece: Array) -> Array:
        index, rows = everyone((index, rows))
        start = first_row(len(piece), axes)
        # A negative place would count from the end; one past the end is dropped.
        here = (index >= start) & (index < start + len(piece))
        place = jnp.where(here, index - start, len(piece))
        return piece.at[place].set(rows.astype(piece.dtype), mode="drop")

    batch, split = P(BATCH_AXES), P(*axes)
    return on_shards(mine, (batch, batch, split), split)(index, rows, bank)


def _ask(
    answer: Callable[[PyTree, Array, Array], PyTree], questions: PyTree, bank: Array
) -> PyTree:
    """What every piece of the bank says to every question, tree of [B, F, ...].

    `answer(questions, piece, start)` is called once per device, with the questions of
    the devices that differ from it in "fsdp" alone, its piece and the number of the
    piece's first row. Questions are gathered and answers sent back over "fsdp"; where
    that axis is 1, nothing moves.
    """
    bank = lax.stop_gradient(bank)
    axes = _axes(bank)

    def sent_back(a: Array) -> Array:  # [F b, ...] -> [b, F, ...]
        if axes:
            a = lax.all_to_all(a, axes, split_axis=0, concat_axis=0, tiled=True)
        return jnp.moveaxis(a.reshape(shard_count(axes), -1, *a.shape[1:]), 0, 1)

    def mine(questions: PyTree, piece: Array) -> PyTree:
        start = first_row(len(piece), axes)
        answers = answer(everyone(questions, axes), piece, start)
        return jax.tree.map(sent_back, answers)

    batch = P(BATCH_AXES)
    return on_shards(mine, (batch, P(*axes)), batch)(questions, bank)


def _rows_here(numbers: Array, piece: Array, start: Array) -> Array:
    return rows_here(numbers, piece, start).astype(jnp.float32)


def _axes(bank: Array) -> tuple[str, ...]:
    """Axes of the ambient mesh that cut the bank into pieces; none for one piece."""
    count = shard_count(("fsdp",))
    return ("fsdp",) if count > 1 and len(bank) % count == 0 else ()
