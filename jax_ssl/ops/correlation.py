"""How well each place of one map of features agrees with those around it in another."""

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array


def correlation(a: Array, b: Array, max_displacement: int, stride: int = 1) -> Array:
    """Inner products of features, divided by their length, over a window of places.

    Entry (dy, dx) at (y, x) is the mean over channels of a[y, x] · b[y + dy, x + dx],
    and 0 where that place lies outside of b.

    Args:
        a: [B, H, W, C].
        b: [B, H, W, C].
        max_displacement: the largest |dy| and |dx|, in places.
        stride: between the displacements, which are its multiples.

    Returns:
        [B, H, W, (2 k + 1)²] float32, k = max_displacement // stride; displacements run
        from -k to k strides, dx fastest.
    """
    reach = max_displacement // stride
    height, width = a.shape[1:3]
    pad, steps = reach * stride, 2 * reach + 1
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    wide = jnp.pad(b, ((0, 0), (pad, pad), (pad, pad), (0, 0)))

    # Nothing is kept for the gradient but the maps: windows are cheap to cut anew.
    @jax.checkpoint
    def row(dy: Array) -> Array:
        """All displacements of one dy, [B, H, W, 2 k + 1]."""
        strip = jax.lax.dynamic_slice_in_dim(wide, dy, height, axis=1)
        shifted = (
            jax.lax.slice_in_dim(strip, dx * stride, dx * stride + width, axis=2)
            for dx in range(steps)
        )
        return jnp.stack([(a * part).mean(axis=-1) for part in shifted], axis=-1)

    rows = jax.lax.map(row, stride * jnp.arange(steps))
    return jnp.moveaxis(rows, 0, -2).reshape(*a.shape[:3], steps**2)
