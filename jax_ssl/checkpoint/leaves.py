"""Leaves of a TrainState as they lie on disk, and back again."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.checkpoint.names import is_key, key_impl
from jax_ssl.core.types import Array, PyTree


def stored(named: Mapping[str, Any]) -> dict[str, Any]:
    """What of the leaves goes to disk: the words of keys, nothing of empty arrays."""
    return {
        name: _words(leaf) if is_key(leaf) else leaf
        for name, leaf in named.items()
        if leaf.size
    }


def owned(leaf: Array) -> Array:
    """A copy of `leaf`, if writing in the background would read its own memory."""
    # On CPU "device to host" makes a view; elsewhere it is a copy already.
    platforms = {device.platform for device in leaf.devices()}
    return jnp.copy(leaf) if "cpu" in platforms else leaf


def placed(leaf: Any) -> jax.ShapeDtypeStruct:
    """The abstract leaf with a sharding, the first local device's for want of one."""
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    sharding = getattr(leaf, "sharding", None) or first
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def rebuilt(
    structure: PyTree, named: Mapping[str, Any], found: Mapping[str, Array]
) -> PyTree:
    """Tree like `structure` with what was found on disk for its leaves.

    Args:
        structure: tree whose structure is wanted.
        named: its leaves by name, abstract or not.
        found: restored leaves by name, as `stored` left them.
    """

    def leaf(name: str, like: Any) -> Array:
        if not like.size:
            empty = np.zeros(like.shape, like.dtype)
            return jax.device_put(empty, placed(like).sharding)
        if is_key(like):
            return jax.random.wrap_key_data(found[name], impl=key_impl(like))
        return found[name]

    leaves = [leaf(name, like) for name, like in named.items()]
    return jax.tree.unflatten(jax.tree.structure(structure), leaves)


def _words(keys: Any) -> Any:
    """The uint32 words of a key array; abstract, and as sharded, where `keys` is."""
    if isinstance(keys, jax.Array):
        return jax.random.key_data(keys)
    words = jax.eval_shape(jax.random.key_data, keys)
    return jax.ShapeDtypeStruct(words.shape, words.dtype, sharding=keys.sharding)
