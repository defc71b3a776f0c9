"""Linen variables as the (params, stats) pair of a method, and networks on rows."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

from jax_ssl.core.types import Array, Params, PyTree
from jax_ssl.nn.norm import MOMENTS, after_chunks
from jax_ssl.parallel.chunks import along_rows, chunk_count, map_chunks

__all__ = ["along_rows", "forward", "initialize", "permuted"]


def initialize(network: nn.Module, key: Array, *args: Any) -> tuple[Params, PyTree]:
    """First variables of `network`.

    Args:
        network: a module whose `__call__` takes `*args` and `train`.
        key: [] typed PRNG key.
        *args: inputs of the run's shapes.

    Returns:
        (params, stats); stats holds every other collection, `{}` if there is none.
    """
    variables = dict(network.init(key, *args, train=False))
    return variables.pop("params", {}), variables


def forward(
    network: nn.Module,
    params: Params,
    stats: PyTree,
    *args: Any,
    train: bool = True,
    rngs: Mapping[str, Array] | None = None,
    whole: bool = False,
) -> tuple[Any, PyTree]:
    """Applies `network` to the rows of the global batch; (output, next stats).

    Inside `parallel.chunks.in_chunks` it does so chunk by chunk, with the same result.

    Args:
        network: a module of which every output has the rows as its first axis.
        params: its parameters.
        stats: its other collections.
        *args: trees of [n, ...] arrays or scalars.
        train: False uses the statistics and returns them as given.
        rngs: keys of what the network draws.
        whole: it sees all rows at once, also inside chunks: for heads, whose
            activations are small and whose batch norm may then span the batch.

    Raises:
        ValueError: if chunks and batch-norm groups or rows do not fit.
    """

    def apply(everything: PyTree, args: Sequence[Any], mutable: list[str]) -> PyTree:
        params, stats, rngs = everything
        variables = {"params": params, **stats}
        if not train:
            return network.apply(variables, *args, train=False, rngs=rngs), {}
        return network.apply(variables, *args, train=True, mutable=mutable, rngs=rngs)

    everything = (params, stats, rngs)
    if whole or chunk_count() == 1:
        output, moved = apply(everything, args, list(stats))
        # A dict, not a FrozenDict, so that the state keeps one structure ("closed").
        return output, {**stats, **moved} if moved else stats
    # The statistics move once, from the moments of all chunks together.
    in_chunk = functools.partial(apply, mutable=[MOMENTS])
    output, moved = map_chunks(in_chunk, everything, args)
    if MOMENTS not in moved:
        return output, stats
    running = after_chunks(stats["batch_stats"], moved[MOMENTS])
    return output, {**stats, "batch_stats": running}


def permuted(tree: PyTree, order: Array) -> PyTree:
    """The rows of all arrays in another order; scalars stay."""
    return jax.tree.map(lambda leaf: leaf[order] if leaf.ndim else leaf, tree)
