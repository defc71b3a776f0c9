"""Plain two-dimensional convolutions as matrix products, in two forms.

"By taps": a row of the product is what an output pixel sees, so that the image is
written once for each tap. "By cells": every pair of an input and an output pixel has a
weight of its own, and the images are read as they lie; it is the smaller product where
an image has fewer pixels than the kernel has taps, most of which meet padding then.

All take x [B, H, W, C], kernel [h, w, C, O], and for gradients that of the output
[B, H', W', O], besides strides and pads of the two spatial axes and the
precision of the products. They sum in float32 at least, and return the type of x.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jax_ssl.core.types import Array
from jax_ssl.ops.platforms import made_once

Pads: TypeAlias = Sequence[tuple[int, int]]
Form: TypeAlias = Callable[[Array, Array], Array]

# Numbers of an image's gradient from which on it pays to write it down, measured in
# float32 on two cores: of 2**19 it does, of 2**17 it does not.
LARGE = 2**18


def to_x(form: Form, x: Array, kernel: Array, gradient: Array) -> Array:
    """The gradient of a convolution, in any form, with respect to its images."""
    return jax.linear_transpose(lambda x: form(x, kernel), x)(gradient)[0]


def to_kernel(form: Form, x: Array, kernel: Array, gradient: Array) -> Array:
    """The gradient of a convolution, in any form, with respect to its kernel."""
    return jax.linear_transpose(lambda kernel: form(x, kernel), kernel)(gradient)[0]


def output_sides(
    sides: Sequence[int], kernel: Sequence[int], strides: Sequence[int], pads: Pads
) -> tuple[int, int]:
    """Rows and columns of the output."""
    rows, columns = (
        (sides[i] + sum(pads[i]) - kernel[i]) // strides[i] + 1 for i in range(2)
    )
    return rows, columns


def by_taps(
    x: Array,
    kernel: Array,
    *,
    strides: Sequence[int],
    pads: Pads,
    precision: lax.PrecisionLike,
) -> Array:
    """The convolution as one product, pixels [B H' W', h w C] times [h w C, O]."""
    *size, _, outputs = kernel.shape
    rows, columns = output_sides(x.shape[1:3], size, strides, pads)
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    down, right = strides

    def seen(i: int, j: int) -> Array:
        below = padded[:, i : i + (rows - 1) * down + 1 : down]
        return below[:, :, j : j + (columns - 1) * right + 1 : right]

    taps = [seen(i, j) for i, j in np.ndindex(*size)]
    pixels = jnp.concatenate(taps, -1) if len(taps) > 1 else taps[0]
    # Sums over all pixels of the batch: float32 also for half-precision inputs.
    wide = jnp.promote_types(x.dtype, jnp.float32)
    made = jnp.dot(
        pixels.reshape(-1, pixels.shape[-1]).astype(wide),
        kernel.reshape(-1, outputs).astype(wide),
        precision=precision,
    )
    return made.reshape(-1, rows, columns, outputs).astype(x.dtype)


def by_taps_to_x(x: Array, kernel: Array, gradient: Array, **how: Any) -> Array:
    """The gradient of `by_taps` with respect to x.

    Of several taps it is a sum, and if large it is written to memory: what reads it
    would else add them up each time anew.
    """
    made = to_x(functools.partial(by_taps, **how), x, kernel, gradient)
    several = kernel.shape[0] * kernel.shape[1] > 1
    return made_once(made, kernel) if several and x.size >= LARGE else made


def by_cells(
    x: Array,
    kernel: Array,
    *,
    strides: Sequence[int],
    pads: Pads,
    precision: lax.PrecisionLike,
) -> Array:
    """The convolution as one dense layer, [B, H W C] times [H W C, H' W' O]."""
    sides = x.shape[1:3]
    shape = output_sides(sides, kernel.shape, strides, pads)
    weights = _weights(kernel, sides, strides, pads)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    rows = x.reshape(len(x), -1).astype(wide)
    made = jnp.dot(rows, weights.astype(wide), precision=precision)
    return made.reshape(len(x), *shape, kernel.shape[-1]).astype(x.dtype)


def by_cells_to_kernel(
    x: Array,
    kernel: Array,
    gradient: Array,
    *,
    strides: Sequence[int],
    pads: Pads,
    precision: lax.PrecisionLike,
) -> Array:
    """The gradient of `by_cells` with respect to the kernel.

    Transposed, each pair of pixels would write a kernel of its own; this adds their
    weights up tap by tap.
    """
    sides, (C, O) = x.shape[1:3], kernel.shape[2:]
    wide = jnp.promote_types(x.dtype, jnp.float32)
    rows, given = (a.reshape(len(x), -1).astype(wide) for a in (x, gradient))
    made = jnp.dot(rows.T, given, precision=precision)
    met = _taps_met(sides, kernel.shape, strides, pads)
    taps = []
    for number in range(kernel.shape[0] * kernel.shape[1]):
        blocks = [
            made[C * i : C * (i + 1), O * j : O * (j + 1)]
            for i, j in zip(*np.nonzero(met == number), strict=True)
        ]
        taps.append(sum(blocks[1:], blocks[0]) if blocks else jnp.zeros((C, O), wide))
    return jnp.stack(taps).reshape(kernel.shape).astype(kernel.dtype)


def _weights(
    kernel: Array, sides: Sequence[int], strides: Sequence[int], pads: Pads
) -> Array:
    """The kernel as the weights of a dense layer, [H W C, H' W' O]."""
    taps = kernel.reshape(-1, *kernel.shape[2:])
    zeros = jnp.zeros(kernel.shape[2:], kernel.dtype)
    met = _taps_met(sides, kernel.shape, strides, pads)
    rows = [
        jnp.concatenate([zeros if tap < 0 else taps[tap] for tap in row], axis=1)
        for row in met
    ]
    return jnp.concatenate(rows, axis=0)


def _taps_met(
    sides: Sequence[int], kernel: Sequence[int], strides: Sequence[int], pads: Pads
) -> np.ndarray:
    """By which tap an input pixel is seen from an output pixel, or -1: [H W, H' W']."""
    axes = []
    for i, cells in enumerate(output_sides(sides, kernel, strides, pads)):
        pixels, seen = np.arange(sides[i]), strides[i] * np.arange(cells)
        tap = pixels[:, None] + pads[i][0] - seen
        axes.append(np.where((tap >= 0) & (tap < kernel[i]), tap, -1))
    down, right = axes[0][:, None, :, None], axes[1][None, :, None, :]
    met = np.where((down < 0) | (right < 0), -1, kernel[1] * down + right)
    return met.reshape(sides[0] * sides[1], -1)
