"""Convolution whose weight gradient is fast on CPU; on TPU and GPU it is lax's own."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jax_ssl.core.types import Array

Pair: TypeAlias = tuple[Array, Array]

_LAYOUT = ("NHWC", "HWIO", "NHWC")
# Fewer input channels than this make products too thin to pay for cutting out the taps.
_THIN = 16


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    dimension_numbers: Any = None,
    precision: lax.PrecisionLike = None,
    **others: Any,
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
        dimension_numbers: as in lax.
        precision: as in lax.
        **others: lax's further settings: dilations, numbers of groups and the type of
            the output.

    Returns:
        [B, H', W', O]. What is not a plain two-dimensional NHWC convolution (dilation,
        groups, other layouts), or stands inside a `shard_map`, is handed to lax whole.

    Note:
        Where the products are used, the function has a custom reverse-mode rule and
        therefore no forward mode (`jax.jvp`), on any platform.
    """
    plain: Callable[..., Array] = functools.partial(
        lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        dimension_numbers=dimension_numbers,
        precision=precision,
        **others,
    )
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    usual = (
        lhs.ndim == 4
        and numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, _LAYOUT)
        and all(value in (None, 1, (1, 1)) for value in others.values())
        and lhs.dtype == rhs.dtype
        and (isinstance(padding, str) or all(n >= 0 for pad in padding for n in pad))
    )
    # A custom gradient would have to sum a replicated kernel's over the shards itself.
    manual = bool(jax.sharding.get_abstract_mesh().manual_axes)
    if not usual or manual or not _pays(rhs.shape, window_strides):
        return plain(lhs, rhs)

    pads = padding
    if isinstance(pads, str):
        pads = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], window_strides, pads)

    def by_taps(x: Array, gradient: Array) -> Array:
        _, rows, columns, _ = gradient.shape
        down, right = window_strides
        # Sums over all pixels of the batch: float32 also for half-precision inputs.
        wide = jnp.promote_types(x.dtype, jnp.float32)
        padded = jnp.pad(x.astype(wide), ((0, 0), *pads, (0, 0)))
        gradient = gradient.astype(wide)

        def tap(i: int, j: int) -> Array:
            seen = padded[:, i : i + rows * down : down]
            seen = seen[:, :, j : j + columns * right : right]
            return jnp.einsum("bhwc,bhwo->co", seen, gradient, precision=precision)

        taps = [tap(i, j) for i, j in np.ndindex(*rhs.shape[:2])]
        return jnp.stack(taps).reshape(rhs.shape).astype(x.dtype)

    def backward(inputs: Pair, gradient: Array) -> Pair:
        x, kernel = inputs
        _, pull_x = jax.vjp(lambda x: plain(x, kernel), x)

        def by_lax(x: Array, gradient: Array) -> Array:
            _, pull_kernel = jax.vjp(lambda kernel: plain(x, kernel), kernel)
            return pull_kernel(gradient)[0]

        to_kernel = lax.platform_dependent(x, gradient, cpu=by_taps, default=by_lax)
        return pull_x(gradient)[0], to_kernel

    conv = jax.custom_vjp(lambda x, kernel: plain(x, kernel))
    conv.defvjp(lambda x, kernel: (plain(x, kernel), (x, kernel)), backward)
    return conv(lhs, rhs)


def _pays(kernel: tuple[int, ...], strides: Sequence[int]) -> bool:
    """Whether products per tap beat lax on CPU, for a kernel [h, w, C, O].

    Measured in float32 on two cores at the shapes of ResNet-18 and ResNet-50. At 3 x 3
    with stride 1 the products are slower than lax, up to three times.
    """
    height, width, channels, _ = kernel
    return channels >= _THIN and (height == width == 1 or max(strides) > 1)
