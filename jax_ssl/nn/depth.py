"""What the depth of a network costs: recomputation, loops, and branches left out."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.parallel.chunks import row_numbers

# What a block keeps from the forward pass for the backward one.
POLICIES: dict[str, Any] = {
    "none": None,  # All that the backward pass reads.
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


def recomputed(
    block: type[nn.Module], remat: str, static: tuple[int, ...] = (2,)
) -> Any:
    """The class of a block that keeps what the policy `remat` says.

    It must be called without keywords. `static` numbers the arguments that are no
    arrays, the module itself being 0: `train` of `__call__(x, train)` unless told.
    """
    if POLICIES[remat] is None:
        return block
    return nn.remat(block, policy=POLICIES[remat], static_argnums=static)


def scanned(
    blocks: Sequence[nn.Module],
    x: Array,
    *,
    train: bool,
    remat: str,
    rates: Sequence[float] | None,
    key: Array | None,
    turn: Array | None = None,
) -> Array:
    """One traced block in a loop over the parameters of all; same as one by one.

    The program is that of a single block, which compiles in a fraction of the time.
    The parameters keep their places, block by block, and are stacked on the way.

    Args:
        blocks: bound, alike but for their parameters and rates.
        x: [B, n, D].
        train: as for the blocks.
        remat: policy of `POLICIES`.
        rates: drop path of every block where they differ, else None.
        key: [] of the drop paths, where there are any.
        turn: as for the blocks.
    """
    stacks = jax.tree.map(
        lambda *leaves: jnp.stack(leaves),
        *(block.variables["params"] for block in blocks),
    )
    alone = blocks[0].clone(parent=None, name=None)
    numbers = jnp.arange(len(blocks))
    each = jnp.zeros(len(blocks)) if rates is None else jnp.asarray(rates)

    def body(x: Array, piece: tuple[Any, Array, Array]) -> tuple[Array, None]:
        params, number, rate = piece
        block = alone if rates is None else alone.clone(drop_path=rate)
        rngs = None if key is None else {"drop_path": jax.random.fold_in(key, number)}
        moved: Any = block.apply({"params": params}, x, train, turn, rngs=rngs)
        return moved, None

    if POLICIES[remat] is not None:
        body = jax.checkpoint(body, policy=POLICIES[remat], prevent_cse=False)
    return jax.lax.scan(body, x, (stacks, numbers, each))[0]


def kept_rows(key: Array, n: int, rate: float, group: int) -> Array:
    """Of every `group` consecutive rows a random choice of a fixed number.

    DINOv2 (Oquab et al., 2023, arXiv:2304.07193, section 5) chooses among all rows of
    a device; groups make the choice independent of devices and chunks, and keep it on
    the device that has the rows.

    Args:
        key: [] folded with the number of the group.
        n: rows at hand, a multiple of `group`.
        rate: share to drop, rounded to a multiple of 1 / group.
        group: rows of a group.

    Returns:
        [n / group, kept] int32, places in the group.

    Raises:
        ValueError: if groups do not divide the rows.
    """
    if n % group:
        raise ValueError(
            f"encoder.drop_path_group = {group} does not divide the {n} rows that the "
            "network sees at once; choose a divisor of the rows of a chunk."
        )
    kept = max(1, round(group * (1 - rate)))
    first = row_numbers(n)[::group] // group
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, first)
    order = jax.vmap(lambda key: jax.random.permutation(key, group))(keys)
    return order[:, :kept].astype(jnp.int32)


def of_kept(x: Array, kept: Array, branch: Callable[[Array], Array]) -> Array:
    """Adds branch(x) to the kept rows of x; in the mean over draws, to all.

    Args:
        x: [n, ...].
        kept: [n / group, k] of `kept_rows`; the branch is made for these rows only, and
            multiplied by group / k.
        branch: [n k / group, ...] -> the same shape.
    """
    groups, k = kept.shape
    grouped = x.reshape(groups, -1, *x.shape[1:])
    at = kept.reshape(groups, k, *(1,) * (x.ndim - 1))
    rows = jnp.take_along_axis(grouped, at, axis=1)
    added = branch(rows.reshape(-1, *x.shape[1:])) * (grouped.shape[1] / k)
    added = added.reshape(rows.shape).astype(x.dtype)
    whole = jax.vmap(lambda group, at, added: group.at[at].add(added))(
        grouped, kept, added
    )
    return whole.reshape(x.shape)
