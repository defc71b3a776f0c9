"""Tables of positions on a grid of patches: sine-cosine, and resampling to a grid."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array


def sincos_positions(height: int, width: int, dim: int) -> np.ndarray:
    """Fixed two-dimensional sine-cosine positions, as in MAE and MoCo v3.

    With ω_i = 10000^(-i / (dim / 4)), the row of the cell in column x and row y is
    [sin(x ω), cos(x ω), sin(y ω), cos(y ω)], each a quarter of `dim`.

    Args:
        height: cells along the vertical.
        width: cells along the horizontal.
        dim: width of the table, a multiple of 4.

    Returns:
        [height * width, dim] float32 in [-1, 1], cells row by row; computed in float64.

    Raises:
        ValueError: if `dim` is not a multiple of 4.

    Note:
        The column comes first, as in the weights of MAE (facebookresearch/mae:
        util/pos_embed.py). MoCo v3 puts the row first, which is the same up to an
        exchange of the two halves of the channels.
    """
    if dim % 4:
        raise ValueError(
            f"sine-cosine positions need a width that is a multiple of 4, not {dim}."
        )
    quarter = dim // 4
    omega = 10000.0 ** (-np.arange(quarter) / quarter)
    y, x = np.divmod(np.arange(height * width), width)
    angles = [x[:, None] * omega, y[:, None] * omega]
    table = [f(angle) for angle in angles for f in (np.sin, np.cos)]
    return np.concatenate(table, axis=1).astype(np.float32)


def resample_positions(
    positions: Array, old: tuple[int, int], new: tuple[int, int]
) -> Array:
    """Positions of one grid interpolated to another, bicubically and antialiased.

    Args:
        positions: [h * w, D], cells row by row.
        old: (h, w) of `positions`.
        new: (h, w) wanted; at `old` the positions are returned untouched.

    Returns:
        [new h * new w, D].

    Note:
        This is timm's `resample_abs_pos_embed` (Keys' kernel with a = -0.5, widened
        when shrinking). The code of DINO and MAE uses a = -0.75 without antialiasing.
    """
    if tuple(new) == tuple(old):
        return positions
    dim = positions.shape[-1]
    grid = positions.reshape(*old, dim).astype(jnp.float32)
    highest = jax.lax.Precision.HIGHEST
    grid = jax.image.resize(grid, (*new, dim), "cubic", precision=highest)
    return grid.reshape(-1, dim).astype(positions.dtype)
