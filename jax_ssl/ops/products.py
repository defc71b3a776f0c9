"""Products and broadcasts whose gradients are quick on a CPU too.

Elsewhere the gradients are JAX's. The functions have custom reverse-mode rules and
therefore no forward mode (`jax.jvp`), on any platform, unless they stand inside a
`shard_map`.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core.types import Array


def dense(x: Array, kernel: Array) -> Array:
    """X @ kernel, [..., D] times [D, O] to [..., O], of one dtype."""

    def joined(x: Array, kernel: Array) -> Array:
        rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        return (rows @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])

    return lax.platform_dependent(x, kernel, cpu=joined, default=jnp.matmul)


def spread(vector: Array, shape: tuple[int, ...]) -> Array:
    """The vector [D] in all places of an array of this shape, [..., D].

    Its gradient is a sum over all axes but the last. XLA:CPU takes a fifth to a tenth
    of the time for it where the places are one axis between two others. Elsewhere they
    stay apart: to join them may move a batch whose rows do not lie one by one.
    """

    def plain(vector: Array) -> Array:
        return jnp.broadcast_to(vector, shape)

    if _manual():
        return plain(vector)

    def joined(gradient: Array) -> Array:
        return gradient.reshape(1, math.prod(shape[:-1]), shape[-1]).sum(1)[0]

    def apart(gradient: Array) -> Array:
        return gradient.sum(range(len(shape) - 1))

    def backward(_: None, gradient: Array) -> tuple[Array]:
        return (lax.platform_dependent(gradient, cpu=joined, default=apart),)

    broadcast = jax.custom_vjp(plain)
    broadcast.defvjp(lambda vector: (plain(vector), None), backward)
    return broadcast(vector)


def _manual() -> bool:
    """Whether this stands inside a `shard_map`.

    There a custom gradient would have to sum that of a replicated array over the shards
    itself.
    """
    return bool(jax.sharding.get_abstract_mesh().manual_axes)
