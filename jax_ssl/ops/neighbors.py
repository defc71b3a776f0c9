"""Exact nearest neighbours by inner product, in blocks of the bank."""

from typing import TypeAlias

import jax.numpy as jnp
from jax import lax

from jax_ssl.core.types import Array

Best: TypeAlias = tuple[Array, Array]  # (scores, rows), [Q, k] each


def top_k(
    queries: Array, bank: Array, k: int, *, block: int = 4096
) -> tuple[Array, Array]:
    """The k bank rows of largest inner product with each query.

    Rows of unit length give cosine similarity. The bank is read `block` rows at a time
    into a running list of the best k, so the largest intermediate is [Q, block + k] and
    the [Q, N] similarities never exist. Products are float32 at the highest precision.
    Equal scores are ordered by bank row, the lower row first, whatever the block.

    Queries and bank may be replicated or sharded by rows over a mesh; the answer is the
    same, but the partitioner gathers what it sorts. To split the queries over a mesh
    without communication, call it inside `parallel.rows.map_examples` with the bank
    replicated, as `evaluate.knn` does.

    Args:
        queries: [Q, D].
        bank: [N, D].
        k: neighbours of each query, in [1, N].
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
    if not 1 <= k <= num_rows:
        raise ValueError(
            f"k = {k} neighbours of a bank of {num_rows} rows; choose k from 1 to "
            f"{num_rows}."
        )
    if block < 1:
        raise ValueError(f"block = {block} bank rows at once; choose at least 1.")
    block = min(max(block, k), num_rows)
    queries = queries.astype(jnp.float32)

    def similarities(start: Array | int, size: int) -> Array:
        part = lax.dynamic_slice_in_dim(bank, start, size).astype(jnp.float32)
        return jnp.matmul(queries, part.T, precision=lax.Precision.HIGHEST)

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
