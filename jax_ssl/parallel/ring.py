"""Sums over the rows of the global batch whose pairs are never all held.

The scores of n rows against m are made in tiles, used and forgotten, forward and again
backward, so memory grows with the rows and not with their pairs. Rows of other devices
arrive by an all-gather, or travel around a ring.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P

from jax_ssl.core import checks
from jax_ssl.core.types import Array, PyTree
from jax_ssl.parallel import tiles
from jax_ssl.parallel.mesh import BATCH_AXES
from jax_ssl.parallel.rows import everyone, on_shards, pass_on, shard_count

# How the rows of `y` reach every device: from one to the next, gathered, or they are
# there already.
Reach: TypeAlias = Literal["ring", "gather", "whole"]

# Rows of a tile, whose scores take 4 MiB. On CPU 256 to 1024 take the same time; on an
# accelerator every tile is a few launches.
BLOCK = 1024


def different(x_ids: Array, y_ids: Array) -> Array:
    """Pairs with different ids; by default all but a row with itself."""
    return x_ids != y_ids


def every(x_ids: PyTree, y_ids: PyTree) -> Array:
    """All pairs."""
    del x_ids, y_ids
    return jnp.ones((1, 1), bool)


def logsumexp_over_rows(
    x: Array,
    y: Array,
    shift: Array,
    *,
    scale: float | Array,
    allowed: tiles.AllowedFn = different,
    x_ids: PyTree = None,
    y_ids: PyTree = None,
    reach: Reach = "ring",
    block: int = BLOCK,
) -> tuple[Array, Array]:
    """Logs of sums of exponentials of scores against rows of the global batch.

    lse_i = log Σ_j exp(scale (x_i·y_j - shift_i)), over all j with allowed(i, j) of the
    global batch. On a device with n rows of x and m of y, memory is
    O((n + m) D + block²); the gradient makes the scores anew. Products are full
    float32. There is no second derivative.

    With the positive's score as shift, softplus(lse_i) is the cross-entropy of row i.

    Args:
        x: [n, D], rows sharded over the mesh.
        y: [m, D]; see `reach`.
        shift: [n], sharded like x.
        scale: [], positive, an inverse temperature; may be traced and has a gradient.
        allowed: which pairs count. Called in every tile with its ids as [b, 1, ...] and
            [1, c, ...], it returns bool that broadcasts to [b, c]. It closes over no
            array, and calls with the same function share a compilation.
        x_ids: integers [n, ...] or a tree of them, sharded like x; the number of the
            row in the global batch unless given.
        y_ids: the same for the rows of y, [m, ...].
        reach: how every device comes by the rows of y. "ring": they are sharded like x
            and each device passes what it has to the next, once around forward, and
            once more backward with their gradient. "gather": they are sharded like x
            and gathered in forward and backward, their gradient reduce-scattered.
            "whole": every device has all of them; their gradient is all-reduced.
        block: most rows in a tile.

    Returns:
        [n] float32, lse, -inf where no pair is allowed; [n] float32, the largest
        allowed scale (x_i·y_j - shift_i) or -inf, which has no gradient.

    Raises:
        AssertionError: if the shapes do not fit.
        ValueError: if `reach` is unknown, or the devices cannot share the rows equally.
    """
    checks.one_of(get_args(Reach), reach=reach)
    chex.assert_rank([x, y, shift], [2, 2, 1])
    chex.assert_equal_shape_suffix([x, y], 1)
    chex.assert_equal_shape_prefix([x, shift], 1)
    for name, n in {"x": len(x), "y": 0 if reach == "whole" else len(y)}.items():
        if n % shard_count():
            raise ValueError(
                f"{shard_count()} devices cannot share the {n} rows of {name} equally; "
                f"make them a multiple of {shard_count()}, or for y use 'whole'."
            )
    x, y, shift = (a.astype(jnp.float32) for a in (x, y, shift))
    x_ids = jnp.arange(len(x)) if x_ids is None else x_ids
    y_ids = jnp.arange(len(y)) if y_ids is None else y_ids
    scale = jnp.asarray(scale, jnp.float32)
    plan = _Plan(allowed, reach, block)
    return _over_rows(plan, (x, shift, x_ids), (y, y_ids), scale)


def sums_over_rows(
    x: Array,
    ids: PyTree,
    *,
    allowed: tiles.AllowedFn = different,
    block: int = BLOCK,
) -> Array:
    """Sums of the rows that belong to each row: Σ_j x_j over all j with allowed(i, j).

    The rows pass once around the ring forward, and their cotangents once backward. With
    n rows on a device memory is O(n D + block²). Sums are full float32.

    Args:
        x: [n, D], rows sharded over the mesh.
        ids: integers [n, ...] or a tree of them, sharded like x.
        allowed: which pairs count, see `logsumexp_over_rows`; it must be symmetric.
        block: most rows in a tile.

    Returns:
        [n, D] float32.
    """
    return _sums(_Plan(allowed, "ring", block), x.astype(jnp.float32), ids)


@dataclass(frozen=True)
class _Plan:
    """What is fixed before compilation."""

    allowed: tiles.AllowedFn
    reach: Reach
    block: int

    def on_shards(
        self, fn: Callable[..., tuple[Array, Array]], *, also_y: bool = False
    ) -> Callable[[PyTree, PyTree, Array], tuple[Array, Array]]:
        """`fn(self, x_side, y_side, scale)` on every shard, as a function of the rest.

        It returns two arrays of x's rows, or, with `also_y`, one of x's and one of y's.
        """
        mine = P(BATCH_AXES)
        y = P() if self.reach == "whole" else mine
        # Row numbers are made where they are needed, and labels are small.
        y_ids = mine if self.reach == "ring" else P()
        answers = mine, y if also_y else mine
        own = functools.partial(fn, self)
        return on_shards(own, (mine, (y, y_ids), P()), answers)

    @property
    def hops(self) -> int:
        """Meetings after which every row of x has met every row of y."""
        return shard_count() if self.reach == "ring" else 1

    def onward(self, tree: PyTree) -> PyTree:
        """What belongs to rows of y, where they go after a meeting."""
        return pass_on(tree) if self.reach == "ring" else tree

    def arrived(self, y: Array) -> Array:
        """The rows of y that are there before the first meeting."""
        return everyone(y) if self.reach == "gather" else y

    def returned(self, dy: Array) -> Array:
        """Their gradient after the last meeting, back where the rows came from."""
        if self.reach == "ring" or shard_count() == 1:
            return pass_on(dy)
        if self.reach == "gather":
            return lax.psum_scatter(dy, BATCH_AXES, tiled=True)
        return lax.psum(dy, BATCH_AXES)

    def others(self, y: Array, ids: PyTree) -> tiles.Others:
        others = tiles.Others(y, ids, jnp.ones(len(y), bool))
        return tiles.cut(others, self.block)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _over_rows(
    plan: _Plan, x_side: PyTree, y_side: PyTree, scale: Array
) -> tuple[Array, Array]:
    return plan.on_shards(_forward)(x_side, y_side, scale)


def _over_rows_fwd(plan: _Plan, *args: Any) -> tuple[tuple[Array, Array], tuple]:
    lse, top = _over_rows(plan, *args)
    return (lse, top), (*args, lse)


def _over_rows_bwd(
    plan: _Plan, saved: tuple, cotangents: tuple[Array, Array]
) -> tuple[PyTree, PyTree, Array]:
    x_side, y_side, scale, lse = saved
    x, shift, _ = x_side
    # Rows without a pair have nothing to move, and -inf - -inf is not a number.
    g = jnp.where(lse == -jnp.inf, 0, cotangents[0])
    lse = jnp.where(lse == -jnp.inf, 0, lse)
    gradients = plan.on_shards(_backward, also_y=True)
    dx, dy = gradients((*x_side, lse, g), y_side, scale)
    # The difference first: its terms are close, row by row.
    dscale = jnp.sum(jnp.sum(x * dx, axis=1) - g * shift)
    return (scale * dx, -scale * g, None), (scale * dy, None), dscale


_over_rows.defvjp(_over_rows_fwd, _over_rows_bwd)


def _forward(
    plan: _Plan, x_side: PyTree, y_side: PyTree, scale: Array
) -> tuple[Array, Array]:
    own = tiles.cut(tiles.Own(*x_side), plan.block)

    def hop(state: PyTree, _: None) -> tuple[PyTree, None]:
        visitors, sums = state
        # On their way before the work on them, so that the two can overlap.
        coming, others = plan.onward(visitors), plan.others(*visitors)
        add = functools.partial(tiles.add_exponentials, plan.allowed, scale)
        sums = lax.map(lambda row: add(row[0], others, row[1]), (own, sums))
        return (coming, sums), None

    y, y_ids = y_side
    start = (plan.arrived(y), y_ids), tiles.empty(own)
    (_, sums), _ = lax.scan(hop, start, length=plan.hops)
    lse, top = tiles.join((sums.log(), sums.top), len(x_side[0]))
    return lse, top


def _backward(
    plan: _Plan, x_side: PyTree, y_side: PyTree, scale: Array
) -> tuple[Array, Array]:
    """Gradients in x and y, without their factor `scale`."""
    x, shift, x_ids, lse, g = x_side
    own, lse, g = tiles.cut((tiles.Own(x, shift, x_ids), lse, g), plan.block)

    def hop(state: PyTree, _: None) -> tuple[PyTree, None]:
        visitors, dy, dx = state
        # The gradient follows its rows one hop behind and takes along what the last
        # meeting gave it, so that no transfer waits for the work of this one.
        coming, following = plan.onward((visitors, dy))
        others = plan.others(*visitors)
        dx, more = tiles.add_gradients(plan.allowed, scale, own, others, lse, g, dx)
        return (coming, following + tiles.join(more, len(dy)), dx), None

    y, y_ids = y_side
    y = plan.arrived(y)
    start = (y, y_ids), jnp.zeros_like(y), jnp.zeros_like(own.x)
    (_, dy, dx), _ = lax.scan(hop, start, length=plan.hops)
    return tiles.join(dx, len(x)), plan.returned(dy)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sums(plan: _Plan, x: Array, ids: PyTree) -> Array:
    def mine(x: Array, ids: PyTree) -> Array:
        own = tiles.cut(ids, plan.block)

        def hop(state: PyTree, _: None) -> tuple[PyTree, None]:
            visitors, total = state
            coming, others = plan.onward(visitors), plan.others(*visitors)
            add = functools.partial(tiles.add_rows, plan.allowed)
            total = lax.map(lambda row: add(row[0], others, row[1]), (own, total))
            return (coming, total), None

        start = (x, ids), tiles.cut(jnp.zeros_like(x), plan.block)
        (_, total), _ = lax.scan(hop, start, length=plan.hops)
        return tiles.join(total, len(x))

    rows = P(BATCH_AXES)
    return on_shards(mine, (rows, rows), rows)(x, ids)


def _sums_fwd(plan: _Plan, x: Array, ids: PyTree) -> tuple[Array, PyTree]:
    return _sums(plan, x, ids), ids


def _sums_bwd(plan: _Plan, ids: PyTree, g: Array) -> tuple[Array, None]:
    # The matrix of what is allowed is its own transpose.
    return _sums(plan, g, ids), None


_sums.defvjp(_sums_fwd, _sums_bwd)
