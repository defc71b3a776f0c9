"""Sums over pairs of rows, made in tiles that are used and forgotten.

Rows lie as [T, b, ...], T tiles of b rows, or without T as one tile; a tile of pairs is
[b, c]. Everything here happens on one device; `ring` brings it the rows of others, and
`bank` the questions of others.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array, PyTree

# (ids [b, 1, ...], ids [1, c, ...]) -> which pairs count, bool, broadcast to [b, c].
AllowedFn: TypeAlias = Callable[[PyTree, PyTree], Array]


class Own(NamedTuple):
    """The rows that sum.

    Attributes:
        x: [T, b, D].
        shift: [T, b], subtracted from every score.
        ids: tree of [T, b, ...].
    """

    x: Array
    shift: Array
    ids: PyTree


class Others(NamedTuple):
    """The rows that are summed over.

    Attributes:
        y: [U, c, D].
        ids: tree of [U, c, ...].
        real: [U, c] bool, false for rows that only fill up a tile.
    """

    y: Array
    ids: PyTree
    real: Array


class Sums(NamedTuple):
    """Σ exp(difference) = total exp(top), as far as summed.

    Attributes:
        top: [T, b], the largest difference; -inf where none was allowed.
        total: [T, b]; 0 where none was allowed.
    """

    top: Array
    total: Array

    def log(self) -> Array:
        """Log of the sum; -inf where it is empty."""
        return jnp.log(self.total) + jnp.where(self.total == 0, 0, self.top)


def cut(tree: PyTree, block: int) -> PyTree:
    """[n, ...] to [T, b, ...] with the fewest tiles of b <= block, zeros at the end."""

    def one(a: Array) -> Array:
        n = a.shape[0]
        count = max(1, -(-n // block))
        b = -(-n // count)
        a = jnp.pad(a, [(0, count * b - n)] + [(0, 0)] * (a.ndim - 1))
        return a.reshape(count, b, *a.shape[1:])

    return jax.tree.map(one, tree)


def join(tree: PyTree, n: int) -> PyTree:
    """The first n rows, [T, b, ...] to [n, ...]."""
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:n], tree)


def empty(own: Own) -> Sums:
    """Sums over nothing."""
    return Sums(jnp.full_like(own.shift, -jnp.inf), jnp.zeros_like(own.shift))


def add_exponentials(
    allowed: AllowedFn, scale: float | Array, own: Own, others: Others, sums: Sums
) -> Sums:
    """Adds exp(scale (x_i·y_j - shift_i)) over the allowed j to row i's sum.

    May be differentiated, once; the scores are then made anew and not kept.

    Args:
        allowed: which pairs count.
        scale: [].
        own: one tile of the rows that sum, [b, ...].
        others: all tiles of the others.
        sums: of that tile so far, [b].
    """

    def tile(sums: Sums, others: Others) -> tuple[Sums, None]:
        difference = _differences(allowed, scale, own, others)
        highest = lax.stop_gradient(jnp.max(difference, axis=1))
        top = jnp.maximum(sums.top, highest)
        # Where nothing is allowed so far, every term is exp(-inf - 0).
        origin = jnp.where(top == -jnp.inf, 0, top)
        total = sums.total * jnp.exp(sums.top - origin)
        total += jnp.sum(jnp.exp(difference - origin[:, None]), axis=1)
        return Sums(top, total), None

    return lax.scan(jax.checkpoint(tile, prevent_cse=False), sums, others)[0]


def add_gradients(
    allowed: AllowedFn,
    scale: Array,
    own: Own,
    others: Others,
    lse: Array,
    g: Array,
    dx: Array,
) -> tuple[Array, Array]:
    """Gradients of Σ_i g_i lse_i, without their factor `scale`.

    Args:
        allowed: as in the sums.
        scale: [].
        own: the rows that sum.
        others: some of the rows that they summed over.
        lse: [T, b], log of the whole sums, finite.
        g: [T, b].
        dx: [T, b, D].

    Returns:
        `dx` plus what these others give to it; [U, c, D], the gradient in `others.y`.
    """

    def row_of_tiles(carry: PyTree, args: PyTree) -> tuple[PyTree, None]:
        i, own, lse, g = args

        def tile(carry: PyTree, args: PyTree) -> tuple[PyTree, None]:
            dx_i, dy = carry
            j, others = args
            difference = _differences(allowed, scale, own, others)
            # The scores' gradient: a share of each pair, at most 1, times g.
            w = g[:, None] * jnp.exp(difference - lse[:, None])
            dx_i += einsum("bc,cd->bd", w, others.y)
            return (dx_i, dy.at[j].add(einsum("bc,bd->cd", w, own.x))), None

        dx, dy = carry
        columns = jnp.arange(others.y.shape[0])
        (dx_i, dy), _ = lax.scan(tile, (dx[i], dy), (columns, others))
        return (dx.at[i].set(dx_i), dy), None

    # Both are carried and written in place; as inputs and outputs of the loops there
    # would be two of each.
    start = (dx, jnp.zeros_like(others.y))
    return lax.scan(row_of_tiles, start, (jnp.arange(dx.shape[0]), own, lse, g))[0]


def add_rows(allowed: AllowedFn, ids: PyTree, others: Others, sums: Array) -> Array:
    """Adds Σ_j y_j over the allowed j.

    Args:
        allowed: which pairs count.
        ids: of one tile of the rows that sum, [b, ...].
        others: all tiles of the others.
        sums: of that tile so far, [b, D].
    """

    def tile(sums: Array, others: Others) -> tuple[Array, None]:
        counts = _pairs(allowed, ids, others).astype(sums.dtype)
        return sums + einsum("bc,cd->bd", counts, others.y), None

    return lax.scan(tile, sums, others)[0]


def _pairs(allowed: AllowedFn, ids: PyTree, others: Others) -> Array:
    """[b, c] bool, pairs that count."""
    pairs = allowed(
        jax.tree.map(lambda a: a[:, None], ids),
        jax.tree.map(lambda a: a[None], others.ids),
    )
    return pairs & others.real


def _differences(
    allowed: AllowedFn, scale: float | Array, own: Own, others: Others
) -> Array:
    """[b, c]; -inf for pairs that do not count."""
    # Subtracted before scaling: close scores then differ by what they differ.
    difference = scale * (einsum("bd,cd->bc", own.x, others.y) - own.shift[:, None])
    return jnp.where(_pairs(allowed, own.ids, others), difference, -jnp.inf)
