"""One function in two forms: for a CPU, and for machines with matrix units.

An accelerator wants one wide program: a batch at a time, no branches, dense matrix
products. A CPU core wants one image at a time, which then stays in its cache; and
there a branch that is not taken costs nothing, where under `vmap` all branches run.
`one_by_one` makes both programs of a function, and the choice falls when it is lowered,
so that a program for a TPU can be compiled on a machine without one. Both give the same
numbers to rounding.
"""

import contextvars
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jax_ssl.core.context import holding
from jax_ssl.core.types import Array, PyTree

_LOOPED = contextvars.ContextVar("looped", default=False)


def looped() -> bool:
    """Whether what is being traced will run one example at a time, never mapped.

    Then branches and windows that depend on data are worth their while.
    """
    return _LOOPED.get()


# Sets what `looped` says within; `one_by_one` and tests need it, no one else.
looping = functools.partial(holding, _LOOPED)


def apply_if(flag: Array, fn: Callable[[Array], Array], image: Array) -> Array:
    """`fn(image)` where the flag is true, else the image itself.

    Args:
        flag: [] bool.
        fn: [H, W, C] -> the same shape and dtype.
        image: [H, W, C].
    """
    if not looped():
        return jnp.where(flag, fn(image), image)
    # What crosses a branch is laid out in planes, rows of which are contiguous.
    planes = jnp.moveaxis(image, -1, 0)
    planes = jax.lax.cond(flag, in_planes(fn), lambda planes: planes, planes)
    return jnp.moveaxis(planes, 0, -1)


def in_planes(fn: Callable[..., Array]) -> Callable[..., Array]:
    """`fn` of an image [H, W, C], and more, as a function of its planes [C, H, W]."""
    return lambda x, *more: jnp.moveaxis(fn(jnp.moveaxis(x, 0, -1), *more), -1, 0)


def one_by_one(fn: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """`fn`, which `vmap` makes a loop in programs for a CPU, and as ever elsewhere.

    Args:
        fn: a pure function of trees of arrays, written for one example.

    Returns:
        A function of the same arguments, by position. It may be mapped repeatedly, as
        over the views of each of many examples. It keeps its traces: called again with
        arrays of the same shapes, in another program too, it does not call `fn`.
    """
    # As decorators the contexts are entered anew at every call.
    loop = jax.custom_batching.sequential_vmap(jax.jit(looping(True)(fn)))
    wide = jax.jit(looping(False)(fn))
    return lambda *args: jax.lax.platform_dependent(*args, cpu=loop, default=wide)


def on_cpu() -> bool:
    """Whether what is being traced will run on a CPU: one in the mesh, or JAX's first.

    Where derivatives go through a choice, it must fall while tracing: those of
    `platform_dependent` keep what any of its branches would need.
    """
    # The mesh's, for a program may be compiled for a slice that is not here.
    device = jax.sharding.get_abstract_mesh().abstract_device or jax.devices()[0]
    return device.platform == "cpu"


def made_once(x: Array, witness: Array) -> Array:
    """The array x, which a program for a CPU writes to memory before it is read.

    XLA:CPU else computes a chain of elementwise operations anew in every place that
    reads its result, which for the residual stream of a network grows with its depth,
    and `optimization_barrier` does not keep it from that. Nothing is fused across a
    branch that depends on a number of the run.

    Args:
        x: of any shape.
        witness: float, something of which every device has all, such as a parameter.
            Where its first element is infinite, the result is not a number.
    """

    def branch(x: Array, witness: Array) -> Array:
        never = jnp.isinf(witness[(0,) * witness.ndim])
        return jax.lax.cond(never, lambda x: x * jnp.nan, lambda x: x, x)

    return jax.lax.platform_dependent(x, witness, cpu=branch, default=lambda x, _: x)


@jax.custom_vjp
def gradient_made_once(x: Array, witness: Array) -> Array:
    """The array x, whose gradient is `made_once`; its arguments are those of it."""
    del witness
    return x


def _gradient(witness: Array, gradient: Array) -> tuple[Array, None]:
    return made_once(gradient, witness), None


gradient_made_once.defvjp(lambda x, witness: (x, witness), _gradient)
