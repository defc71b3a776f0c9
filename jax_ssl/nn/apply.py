"""Three functions between linen variables and the (params, stats) pair of a method."""

from typing import Any

import flax.linen as nn

from jax_ssl.core.types import Array, Params, PyTree, Variables


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
    rngs: dict[str, Array] | None = None,
) -> tuple[Any, PyTree]:
    """Applies `network` and returns (output, next stats).

    With `train=False` the statistics are used, not moved, and returned as given.
    """
    variables = {"params": params, **stats}
    if not train:
        return network.apply(variables, *args, train=False, rngs=rngs), stats
    # A dict, not a FrozenDict, so that the state keeps one structure ("closed").
    output, moved = network.apply(
        variables, *args, train=True, mutable=list(stats), rngs=rngs
    )
    return output, {**stats, **moved}


def part(params: Params, stats: PyTree, name: str) -> Variables:
    """Variables of the sub-module `name` alone.

    Collections in which the sub-module has nothing are left out, so that the result
    has the structure of the sub-module's own `init`.
    """
    collections = {"params": params, **stats}
    return {
        collection: tree[name]
        for collection, tree in collections.items()
        if name in tree
    }
