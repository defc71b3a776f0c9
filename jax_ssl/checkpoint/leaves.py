"""Leaves of a TrainState as they lie on disk, and back again."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.checkpoint.names import is_key, key_impl
from jax_ssl.core.types import Array, PyTree

PIECE = 2**20  # Words that are added up at a time.


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
    if "cpu" not in platforms:
        return leaf
    return jax.device_put(leaf, leaf.sharding, may_alias=False)  # Compiles nothing.


def placed(leaf: Any) -> jax.ShapeDtypeStruct:
    """The abstract leaf with a sharding, the first local device's for want of one."""
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    sharding = getattr(leaf, "sharding", None) or first
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def digest(leaf: Any) -> int:
    """A number of 32 bits that tells an array from one in which a bit has flipped.

    The sum of its words, each times an odd number of its place, modulo 2^32. An element
    that differs always changes it, and it is the same however the array is sharded.
    """
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return int(_sum_of_words(leaf))
    words = np.ascontiguousarray(leaf).reshape(-1)
    words = words.view(f"u{min(words.itemsize, 4)}")
    total = 0
    for start in range(0, len(words), PIECE):
        piece = words[start : start + PIECE].astype(np.uint32)
        places = np.arange(start, start + len(piece), dtype=np.uint64)
        total += int(np.dot(piece, (2 * places + 1).astype(np.uint32)))
    return total % 2**32


@jax.jit
def _sum_of_words(x: Array) -> Array:
    words = x.astype(jnp.uint8) if x.dtype == bool else x
    unsigned = jnp.dtype(f"uint{8 * words.dtype.itemsize}")
    words = jax.lax.bitcast_convert_type(words, unsigned).astype(jnp.uint32)
    places = jnp.zeros(words.shape, jnp.uint32)
    for axis, length in enumerate(words.shape):
        along = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        places = places * jnp.uint32(length) + along
    return jnp.sum(words * (2 * places + 1), dtype=jnp.uint32)


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
