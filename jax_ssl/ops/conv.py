"""Convolution whose weight gradient is fast on CPU; on TPU and GPU it is lax's own."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core.types import Array

_LAYOUT = ("NHWC", "HWIO", "NHWC")
# Fewer input channels than this make products too thin to pay for cutting out the taps.
_THIN = 16


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: lax.PrecisionLike = None,
    preferred_element_type: jax.typing.DTypeLike | None = None,
) -> Array:
    """`lax.conv_general_dilated`, to be given to `nn.Conv(conv_general_dilated=...)`.

    XLA:CPU computes the gradient with respect to the kernel more slowly than it
    multiplies matrices where the kernel is 1 x 1 (four times) or the stride above 1
    (up to 1.6 times). There it is one matrix product per kernel tap: the pixels that
    the tap has seen, transposed, times the gradient of the output. The choice is made
    by static shapes, and for CPU alone; values are lax's, and so is everything else.

    Args:
        lhs: [B, H, W, C] float.
        rhs: [h, w, C, O].
        window_strides: of the two spatial axes.
        padding: "SAME", "VALID", or (low, high) per spatial axis.
        lhs_dilation: as in lax.
        rhs_dilation: as in lax.
        dimension_numbers: as in lax.
        feature_group_count: as in lax.
        batch_group_count: as in lax.
        precision: as in lax.
        preferred_element_type: as in lax.

    Returns:
        [B, H', W', O]. What is not a plain two-dimensional NHWC convolution (dilation,
        groups, other layouts), or stands inside a `shard_map`, is handed to lax whole.

    Note:
        Where the products are used, the function has a custom reverse-mode rule and
        therefore no forward mode (`jax.jvp`), on any platform.
    """
    strides = tuple(window_strides)
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    plain = (
        lhs.ndim == 4
        and numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, _LAYOUT)
        and all(d == 1 for d in (*(lhs_dilation or ()), *(rhs_dilation or ())))
        and feature_group_count == batch_group_count == 1
        and preferred_element_type is None
        and lhs.dtype == rhs.dtype
        and (isinstance(padding, str) or all(n >= 0 for pad in padding for n in pad))
    )
    # A custom gradient would have to sum a replicated kernel's over the shards itself.
    manual = bool(jax.sharding.get_abstract_mesh().manual_axes)
    if not plain or manual or not _pays(rhs.shape, strides):
        return lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation=lhs_dilation,
            rhs_dilation=rhs_dilation,
            dimension_numbers=dimension_numbers,
            feature_group_count=feature_group_count,
            batch_group_count=batch_group_count,
            precision=precision,
            preferred_element_type=preferred_element_type,
        )
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], strides, padding)
    pads = tuple((int(low), int(high)) for low, high in padding)
    return _conv(lhs, rhs, strides, pads, precision)


def _pays(kernel: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether products per tap beat lax on CPU, for a kernel [h, w, C, O].

    Measured in float32 on two cores at the shapes of ResNet-18 and ResNet-50. At 3 x 3
    with stride 1 the products are slower than lax, up to three times.
    """
    height, width, channels, _ = kernel
    return channels >= _THIN and (height == width == 1 or max(strides) > 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv(
    x: Array, kernel: Array, strides: tuple, pads: tuple, precision: Any
) -> Array:
    return lax.conv_general_dilated(
        x, kernel, strides, pads, dimension_numbers=_LAYOUT, precision=precision
    )


def _forward(
    x: Array, kernel: Array, strides: tuple, pads: tuple, precision: Any
) -> tuple[Array, tuple[Array, Array]]:
    return _conv(x, kernel, strides, pads, precision), (x, kernel)


def _backward(
    strides: tuple,
    pads: tuple,
    precision: Any,
    residuals: tuple[Array, Array],
    gradient: Array,
) -> tuple[Array, Array]:
    x, kernel = residuals
    plain = functools.partial(
        lax.conv_general_dilated,
        window_strides=strides,
        padding=pads,
        dimension_numbers=_LAYOUT,
        precision=precision,
    )
    _, pull_x = jax.vjp(lambda x: plain(x, kernel), x)

    def by_lax(x: Array, gradient: Array) -> Array:
        _, pull_kernel = jax.vjp(lambda kernel: plain(x, kernel), kernel)
        return pull_kernel(gradient)[0]

    def by_taps(x: Array, gradient: Array) -> Array:
        return _by_taps(x, gradient, kernel.shape, strides, pads, precision)

    to_kernel = lax.platform_dependent(x, gradient, cpu=by_taps, default=by_lax)
    return pull_x(gradient)[0], to_kernel


_conv.defvjp(_forward, _backward)


def _by_taps(
    x: Array,
    gradient: Array,
    kernel: tuple[int, ...],
    strides: tuple[int, int],
    pads: tuple,
    precision: Any,
) -> Array:
    """Gradient [h, w, C, O] out of x [B, H, W, C] and gradient [B, H', W', O]."""
    height, width, C, O = kernel
    B, rows, columns, _ = gradient.shape
    down, right = strides
    # Sums over all pixels of the batch, so float32 also for half-precision inputs.
    wide = jnp.promote_types(x.dtype, jnp.float32)
    padded = jnp.pad(x.astype(wide), ((0, 0), *pads, (0, 0)))
    gradient = gradient.astype(wide)

    def tap(i: int, j: int) -> Array:
        seen = lax.slice(
            padded,
            (0, i, j, 0),
            (B, i + (rows - 1) * down + 1, j + (columns - 1) * right + 1, C),
            (1, down, right, 1),
        )
        return jnp.einsum("bhwc,bhwo->co", seen, gradient, precision=precision)

    taps = [tap(i, j) for i in range(height) for j in range(width)]
    return jnp.stack(taps).reshape(height, width, C, O).astype(x.dtype)
