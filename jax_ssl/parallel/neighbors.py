"""Exact nearest neighbours by inner product: in blocks of a bank, and around a ring."""

from typing import TypeAlias

import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P

from jax_ssl.core import checks
from jax_ssl.core.precise import matmul
from jax_ssl.core.types import Array
from jax_ssl.parallel.mesh import BATCH_AXES
from jax_ssl.parallel.rows import first_row, on_shards, pass_on, shard_count
from jax_ssl.parallel.tiles import cut, join

Best: TypeAlias = tuple[Array, Array]  # (scores, rows), [Q, k] each
ABSENT = 2**31 - 1  # Row of a neighbour that there is not; its score is -inf.


def top_k(
    queries: Array,
    bank: Array,
    k: int,
    *,
    counts: Array | None = None,
    block: int = 4096,
) -> Best:
    """The k bank rows of largest inner product with each query.

    Rows of unit length give cosine similarity. The bank is read `block` rows at a time
    into a running list of the best k, so the largest intermediate is [Q, block + k] and
    the [Q, N] similarities never exist. Products are float32 at the highest precision.
    Equal scores are ordered by bank row, the lower row first, whatever the block.

    Works on one device; for arrays that are sharded over a mesh there is `nearest`.

    Args:
        queries: [Q, D].
        bank: [N, D].
        k: neighbours of each query, in [1, N].
        counts: [N] bool, rows of the bank that may be found; all unless given. Others
            have the score -inf and come last.
        block: bank rows compared at once, raised to `k` where it is smaller; a last
            partial block is allowed.

    Returns:
        (scores [Q, k] float32 in falling order, rows [Q, k] int32 of the bank).

    Raises:
        ValueError: if the widths differ, `k` is outside [1, N] or `block` is below 1.

    Note:
        A backend may tile the products of two blocks differently, so real-valued scores
        of one row can differ in the last bit between two choices of `block`.
    """
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise ValueError(
            f"queries {queries.shape} and bank {bank.shape} must be [Q, D] and [N, D] "
            "with one D."
        )
    num_rows = bank.shape[0]
    checks.within(f"[1, {num_rows}]", k=k)
    checks.at_least(1, block=block)
    block = min(max(block, k), num_rows)
    queries = queries.astype(jnp.float32)

    def similarities(start: Array | int, size: int) -> Array:
        part = lax.dynamic_slice_in_dim(bank, start, size).astype(jnp.float32)
        scores = matmul(queries, part.T)
        if counts is None:
            return scores
        real = lax.dynamic_slice_in_dim(counts, start, size)
        return jnp.where(real, scores, -jnp.inf)

    def merge(best: Best, start: Array, size: int) -> Best:
        scores, rows = best
        new = similarities(start, size)  # [Q, size]
        new_rows = start + jnp.arange(size, dtype=jnp.int32)
        # Earlier rows lie left, and `lax.top_k` prefers the left of two equals.
        scores, places = lax.top_k(jnp.concatenate([scores, new], axis=1), k)
        rows = jnp.concatenate([rows, jnp.broadcast_to(new_rows, new.shape)], axis=1)
        return scores, jnp.take_along_axis(rows, places, axis=1)

    full, rest = divmod(num_rows, block)
    scores, rows = lax.top_k(similarities(0, block), k)
    starts = jnp.arange(1, full, dtype=jnp.int32) * block
    best, _ = lax.scan(
        lambda best, start: (merge(best, start, block), None), (scores, rows), starts
    )
    return merge(best, jnp.int32(full * block), rest) if rest else best


def nearest(
    queries: Array, bank: Array, k: int, counts: Array, *, block: int = 1024
) -> Best:
    """`top_k` of arrays whose rows are shared by the devices of the ambient mesh.

    The queries travel around the ring of devices and collect the best rows of every
    device's share of the bank, which stays where it is. The answer does not depend on
    the number of devices: equal scores are ordered by bank row.

    Args:
        queries: [Q, D], rows sharded over the mesh.
        bank: [N, D], rows sharded likewise.
        k: neighbours of each query, at least 1.
        counts: [N] bool, sharded likewise: rows of the bank that may be found.
        block: queries of a device that travel at once; memory grows with it.

    Returns:
        (scores [Q, k] float32 in falling order, rows [Q, k] int32 of the bank), sharded
        by queries; where the bank has fewer rows that count, the score is -inf.
    """

    def mine(queries: Array, bank: Array, counts: Array) -> Best:
        n = len(bank)
        start = first_row(n)

        def hop(carry: tuple[Array, Best], _: None) -> tuple[tuple[Array, Best], None]:
            visiting, best = carry
            scores, rows = top_k(visiting, bank, min(k, n), counts=counts)
            rows = jnp.where(scores == -jnp.inf, ABSENT, start + rows)
            return pass_on((visiting, merged(best, (scores, rows)))), None

        def ask(queries: Array) -> Best:
            none = (
                jnp.full((len(queries), k), -jnp.inf, jnp.float32),
                jnp.full((len(queries), k), ABSENT, jnp.int32),
            )
            # After as many hops as there are devices every query is at home again.
            return lax.scan(hop, (queries, none), length=shard_count())[0][1]

        asked = cut(queries.astype(jnp.float32), block)  # [T, b, D]
        return join(lax.map(ask, asked), len(queries))

    split = P(BATCH_AXES)
    return on_shards(mine, (split, split, split), split)(queries, bank, counts)


def merged(best: Best, more: Best) -> Best:
    """The k best of two lists, the first [Q, k]: by score, then by the lower row."""
    k = best[0].shape[1]
    scores, rows = (
        jnp.concatenate(both, axis=1) for both in zip(best, more, strict=True)
    )
    falling, rows = lax.sort((-scores, rows), dimension=1, num_keys=2)
    return -falling[:, :k], rows[:, :k]
