"""Positions on a grid of patches: sine-cosine, rotations, and resampling to a grid."""

from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array

Form: TypeAlias = Literal["timm", "mae", "dino"]


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


def rotations(
    height: int, width: int, channels: int, *, base: float = 100.0
) -> np.ndarray:
    """Angles by which DINOv3 (arXiv:2508.10104) turns the channels of a head.

    A cell's middle has coordinates from -1 to 1 along each axis, whatever the number of
    cells. Angle i of an axis is 2π times the coordinate over base^(i / (channels / 4)).

    Args:
        height: cells along the vertical.
        width: cells along the horizontal.
        channels: of a head, a multiple of 4.
        base: the longest period, in units of half a side.

    Returns:
        [height * width, channels / 2] float32, in radians, cells row by row, the angles
        of the row before those of the column.
    """
    quarter = channels // 4
    periods = base ** (np.arange(quarter) / quarter)
    y, x = np.divmod(np.arange(height * width), width)
    places = np.stack([(y + 0.5) / height, (x + 0.5) / width], axis=1) * 2 - 1
    angles = 2 * np.pi * places[:, :, None] / periods
    return angles.reshape(height * width, -1).astype(np.float32)


def resample_positions(
    positions: Array,
    old: tuple[int, int],
    new: tuple[int, int],
    *,
    form: Form = "timm",
) -> Array:
    """Positions of one grid interpolated to another, bicubically.

    Args:
        positions: [h * w, D], cells row by row.
        old: (h, w) of `positions`.
        new: (h, w) wanted; at `old` the positions are returned untouched.
        form: "timm": its `resample_abs_pos_embed`, with Keys' kernel of a = -0.5 that
            is widened when shrinking. "mae": torch's bicubic interpolation, a = -0.75
            and never widened. "dino": the same with a step of old / (new + 0.1) cells,
            as the released code of DINO and DINOv2 has it against rounding; features
            of its weights at other sizes are off by some per cent without.

    Returns:
        [new h * new w, D].

    Raises:
        ValueError: if the form is unknown.
    """
    checks.one_of(get_args(Form), form=form)
    if tuple(new) == tuple(old):
        return positions
    dim = positions.shape[-1]
    grid = positions.reshape(*old, dim).astype(jnp.float32)
    if form != "timm":
        more = 0.1 if form == "dino" else 0.0
        rows, columns = (
            _torch_cubic(before, after, before / (after + more))
            for before, after in zip(old, new, strict=True)
        )
        grid = einsum("ai,bj,ijd->abd", rows, columns, grid)
        return grid.reshape(-1, dim).astype(positions.dtype)
    highest = jax.lax.Precision.HIGHEST
    grid = jax.image.resize(grid, (*new, dim), "cubic", precision=highest)
    return grid.reshape(-1, dim).astype(positions.dtype)


def _torch_cubic(old: int, new: int, step: float) -> np.ndarray:
    """[new, old] weights of torch's bicubic interpolation; the border is repeated."""
    place = (np.arange(new) + 0.5) * step - 0.5
    first = np.floor(place).astype(int)
    weights, a = np.zeros((new, old), np.float32), -0.75
    for tap in range(-1, 3):
        t = np.abs(place - first - tap)
        near = ((a + 2) * t - (a + 3)) * t**2 + 1
        far = a * (((t - 5) * t + 8) * t - 4)
        cells = np.clip(first + tap, 0, old - 1)
        np.add.at(weights, (np.arange(new), cells), np.where(t <= 1, near, far))
    return weights
