"""Products and broadcasts whose gradients are quick on a CPU too.

Elsewhere they are JAX's. The choice falls while tracing, by the devices of the mesh.
"""

import math

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.platforms import on_cpu


def dense(x: Array, kernel: Array) -> Array:
    """X @ kernel, [..., D] times [D, O] to [..., O], of one dtype.

    On a CPU the rows are laid out in one axis, for else XLA transposes the cotangents
    in memory before the gradient of the kernel, which then takes half as long again.
    Elsewhere they stay apart: to join them may move a batch whose rows do not lie one
    by one.
    """
    if not on_cpu():
        return x @ kernel
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return (rows @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def spread(vector: Array, shape: tuple[int, ...]) -> Array:
    """The vector [D] in all places of an array of this shape, [..., D].

    Its gradient is a sum over all axes but the last. XLA:CPU takes a fifth to a tenth
    of the time for it where the places are one axis between two others, which is a
    reverse-mode rule of its own and leaves no forward mode (`jax.jvp`) there.
    """
    # In a `shard_map` it would have to sum over the shards itself.
    manual = bool(jax.sharding.get_abstract_mesh().manual_axes)
    if manual or not on_cpu():
        return jnp.broadcast_to(vector, shape)

    def plain(vector: Array) -> Array:
        return jnp.broadcast_to(vector, shape)

    def backward(_: None, gradient: Array) -> tuple[Array]:
        return (gradient.reshape(1, math.prod(shape[:-1]), shape[-1]).sum(1)[0],)

    broadcast = jax.custom_vjp(plain)
    broadcast.defvjp(lambda vector: (plain(vector), None), backward)
    return broadcast(vector)
