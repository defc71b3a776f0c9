"""k-means by Lloyd's iterations, over rows that may be sharded over a mesh."""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core import checks
from jax_ssl.core.precise import matmul
from jax_ssl.core.types import Array
from jax_ssl.ops.normalize import l2_normalize

Pair: TypeAlias = tuple[Array, Array]

# A centre in place of that of an empty cluster is off its donor, along each axis, by up
# to this share of the rows' root mean square.
NUDGE = 1 / 1024


def kmeans(
    key: Array,
    x: Array,
    num_clusters: int,
    *,
    iterations: int,
    num_rows: int | None = None,
    spherical: bool = False,
    empty: Literal["split", "keep"] = "split",
    block: int = 4096,
) -> tuple[Array, Array]:
    """Clusters rows around `num_clusters` centres, the means of their rows.

    The first centres are rows drawn without replacement. An iteration assigns each row
    to its nearest centre, the lower number of two as near, and moves the centres.
    Distances exist for `block` rows at a time. Where the rows are sharded over a mesh,
    each block takes an equal share from every device, so that the rows stay where they
    are and only sums [K, D] travel; the result is that of one device, to rounding.

    Args:
        key: of the first centres and of the replacements of empty clusters.
        x: [N, D].
        num_clusters: K, from 1 to the rows that count.
        iterations: at least 0.
        num_rows: rows that count, the first; the others get labels too, and move
            nothing. All N unless given.
        spherical: for unit rows: centres are scaled to unit length as well, which makes
            the nearest the one of largest cosine.
        empty: "split" puts the centre of an empty cluster beside that of another one,
            drawn with a probability that grows with its size, so that the two share
            its rows (Caron et al., 2018, arXiv:1807.05520); "keep" leaves
            it where it is.
        block: rows whose distances exist at a time, over all devices. Best a multiple
            of their number.

    Returns:
        (labels [N] int32, the nearest of the final centres; centres [K, D] float32).

    Raises:
        ValueError: if there are fewer rows than clusters, or a number is out of range.

    Note:
        The paper draws the cluster to split from all that are not empty; its released
        code uses the rule of Faiss, in proportion to its size less one, which is the
        one here. Splits of one iteration are drawn at once and may fall together.
    """
    count = len(x) if num_rows is None else num_rows
    if not 1 <= num_clusters <= count <= len(x):
        raise ValueError(
            f"num_clusters = {num_clusters} of {count} rows out of {len(x)}; there "
            "must be at least 1 cluster, and as many rows as clusters."
        )
    checks.at_least(0, iterations=iterations)
    checks.at_least(1, block=block)
    checks.one_of(("split", "keep"), empty=empty)
    x = x.astype(jnp.float32)
    blocks, counts = _blocks(x, count, block)
    first_key, key = jax.random.split(key)
    draw = jax.random.uniform(first_key, (len(x),))
    draw = jnp.where(jnp.arange(len(x)) < count, draw, -1.0)
    centers = x[lax.top_k(draw, num_clusters)[1]]
    real = counts[..., None]
    power = jnp.sum(jnp.square(jnp.where(real, blocks, 0.0))) / (count * x.shape[1])

    def assigned(centers: Array) -> tuple[Array, Pair]:
        """Labels [N], and of every cluster the sum of its rows [D] and their number."""
        half = 0.0 if spherical else 0.5 * jnp.sum(jnp.square(centers), axis=1)

        def one(sums: Pair, rows: Pair) -> tuple[Pair, Array]:
            x, counts = rows
            # ‖x - c‖² / 2 without ‖x‖² / 2, which is the same for all centres.
            labels = jnp.argmin(half - matmul(x, centers.T), axis=1)
            # As a product, for a sum at scattered places has no order on a GPU.
            mine = (labels[:, None] == jnp.arange(num_clusters)) & counts[:, None]
            total = sums[0] + matmul(mine.astype(jnp.float32).T, x)
            sizes = sums[1] + mine.sum(0, dtype=jnp.int32)
            return (total, sizes), labels.astype(jnp.int32)

        nothing = jnp.zeros_like(centers), jnp.zeros(num_clusters, jnp.int32)
        found, labels = lax.scan(one, nothing, (blocks, counts))
        return labels.T.reshape(-1)[: len(x)], found

    def moved(number: Array, centers: Array) -> Array:
        _, (total, sizes) = assigned(centers)
        means = total / jnp.maximum(sizes, 1)[:, None]
        if empty == "split":
            step_key = jax.random.fold_in(key, number)
            means = _split(step_key, means, sizes, NUDGE * jnp.sqrt(power))
        else:
            means = jnp.where(sizes[:, None] > 0, means, centers)
        return l2_normalize(means) if spherical else means

    centers = lax.fori_loop(0, iterations, moved, centers)
    return assigned(centers)[0], centers


def _blocks(x: Array, count: int, block: int) -> tuple[Array, Array]:
    """Rows as [T, b, D], and which count [T, b]; row i is in block i mod T.

    Consecutive rows go to different blocks: a device's share of the rows is then a
    share of every block.
    """
    b = min(block, len(x))
    turns = -(-len(x) // b)
    wide = jnp.pad(x, [(0, b * turns - len(x)), (0, 0)])
    counts = jnp.arange(b * turns) < count
    return wide.reshape(b, turns, -1).swapaxes(0, 1), counts.reshape(b, turns).T


def _split(key: Array, means: Array, sizes: Array, nudge: Array) -> Array:
    """Means, those of empty clusters put beside those of others."""
    draw = jax.random.uniform(key, (len(sizes), 1 + means.shape[1]))
    # Of a cluster of one row there is nothing to share.
    tickets = jnp.cumsum(jnp.maximum(sizes - 1, 0))
    ticket = (draw[:, 0] * tickets[-1]).astype(jnp.int32)
    donor = jnp.searchsorted(tickets, ticket, side="right")
    beside = means[donor] + nudge * (2.0 * draw[:, 1:] - 1.0)
    return jnp.where(sizes[:, None] > 0, means, beside)
