"""Small functions over trees of arrays: the EMA teacher, norms, casts, counts."""

import jax
import jax.numpy as jnp
import optax

from jax_ssl.core.types import Array, PyTree


def ema(old: PyTree, new: PyTree, momentum: float | Array) -> PyTree:
    """Exponential moving average, momentum * old + (1 - momentum) * new.

    The teacher update of MoCo (equation 2), BYOL (equation 1) and DINO. Computed in
    float32 as old + (1 - momentum) * (new - old), which leaves `old` exactly unchanged
    where the two agree; leaves keep the dtype of `old`. Integer leaves (counters) are
    taken from `new`.

    Args:
        old: tree of arrays.
        new: tree of the same structure and shapes.
        momentum: weight of the OLD value, in [0, 1]; a scalar array under `jit`.

    Returns:
        Tree like `old`; no gradient flows into `new`.
    """

    def leaf(a: Array, b: Array) -> Array:
        if not jnp.issubdtype(a.dtype, jnp.inexact):
            return b
        a32, b32 = a.astype(jnp.float32), b.astype(jnp.float32)
        # At momentum 0 the rounded sum would miss `new` by an ulp; it is exact here.
        mixed = jnp.where(momentum == 0, b32, a32 + (1 - momentum) * (b32 - a32))
        return mixed.astype(a.dtype)

    return jax.tree.map(leaf, old, jax.lax.stop_gradient(new))


def global_norm(tree: PyTree) -> Array:
    """Euclidean norm of all leaves together, [] float32."""
    return optax.global_norm(cast(tree, jnp.float32))


def cast(tree: PyTree, dtype: jax.typing.DTypeLike) -> PyTree:
    """Casts floating leaves to `dtype` and leaves the others alone."""

    def leaf(x: Array) -> Array:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(leaf, tree)


def count(tree: PyTree) -> int:
    """Number of scalars in all leaves; works on abstract leaves too."""
    return sum(int(leaf.size) for leaf in jax.tree.leaves(tree))
