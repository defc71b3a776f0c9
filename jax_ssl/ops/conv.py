"""Convolution that is fast on a CPU too; on TPU and GPU it is lax's own.

And what doubles the sides of a grid: without the zeros that lax's dilated inputs have.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jax_ssl.core.context import holding
from jax_ssl.core.types import Array
from jax_ssl.ops import conv_products as products
from jax_ssl.ops.platforms import made_once

Pair: TypeAlias = tuple[Array, Array]
# A convolution, and its gradients to the images and to the kernel.
Forms: TypeAlias = tuple[Callable[..., Array], ...]

_LAYOUT = ("NHWC", "HWIO", "NHWC")
# Images that make up for the weights of all pairs of pixels, times the taps that are
# spared for each pixel.
WRITTEN = 40
# Written one after the other where a convolution is mapped over kernels, at most.
FEW_KERNELS = 32
_by_turns: ContextVar[bool] = ContextVar("kernels_in_turn", default=False)


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

    Two things are slow where XLA compiles for a CPU. A grid with fewer cells than the
    kernel is convolved by plain loops, at a hundredth of the speed; there, and for
    kernels of 1 x 1, the convolution and both of its gradients are matrix products. And
    the gradient with respect to the kernel reads its operands in another order, which
    costs much more if they are computed on the way; there they are written to memory
    first. The choice is made by static shapes, and for CPU alone; values are lax's to
    rounding, and so is everything else.

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
        The function has a custom reverse-mode rule and therefore no forward mode
        (`jax.jvp`), on any platform, unless the call is handed to lax whole.
    """
    plain: Callable[..., Array] = partial(
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
    if not usual or manual:
        return plain(lhs, rhs)

    pads = padding
    if isinstance(pads, str):
        pads = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], window_strides, pads)
    product = _is_product(lhs.shape, rhs.shape, window_strides, pads)
    how: dict[str, Any] = {
        "strides": window_strides,
        "pads": pads,
        "precision": precision,
    }
    taps, cells = (
        partial(form, **how) for form in (products.by_taps, products.by_cells)
    )

    def chosen(there: Callable[..., Array], here: Callable[..., Array]) -> Any:
        """The form of lax, or on a CPU the product, mapped over kernels in turn."""
        if not product:
            return _in_turn(there)
        return _in_turn(
            lambda *args: lax.platform_dependent(*args, cpu=here, default=there)
        )

    once = (lambda x, kernel: x) if product else _in_turn(made_once)
    here: Forms = (
        (
            cells,
            partial(products.to_x, cells),
            partial(products.by_cells_to_kernel, **how),
        )
        if _has_few_cells(lhs.shape, rhs.shape)
        else (
            taps,
            partial(products.by_taps_to_x, **how),
            partial(products.to_kernel, taps),
        )
    )
    there: Forms = (
        plain,
        partial(products.to_x, plain),
        partial(products.to_kernel, plain),
    )
    forward, to_x, to_kernel = map(chosen, there, here)

    def residuals(x: Array, kernel: Array) -> tuple[Array, Pair]:
        x = once(x, kernel)
        return forward(x, kernel), (x, kernel)

    def backward(kept: Pair, gradient: Array) -> Pair:
        x, kernel = kept
        gradient = once(gradient, kernel)
        # Apart, so that one that nobody reads is left out: images have no gradient.
        return to_x(x, kernel, gradient), to_kernel(x, kernel, gradient)

    conv = jax.custom_vjp(forward)
    conv.defvjp(residuals, backward)
    return conv(lhs, rhs)


def transposed_conv(x: Array, kernel: Array) -> Array:
    """The transposed convolution of 4 x 4 taps and stride 2, which doubles the sides.

    y[o] = Σ_i x[i] k[o + 1 - 2 i] along both axes, as torch's with padding 1. An output
    reads two cells an axis, and which two taps depends on whether it is even: one
    convolution of 2 x 2 taps makes all four cases as channels, which are then woven
    into a grid.

    Args:
        x: [B, H, W, C] float.
        kernel: [4, 4, C, O], of the type of x.

    Returns:
        [B, 2 H, 2 W, O].
    """
    B, H, W, C = x.shape
    order = np.array([3, 1, 2, 0])  # y[2m]: x[m - 1], x[m]; y[2m + 1]: x[m], x[m + 1].
    taps = kernel[order][:, order].reshape(2, 2, 2, 2, C, -1)
    taps = taps.transpose(1, 3, 4, 0, 2, 5).reshape(2, 2, C, -1)
    y = conv_general_dilated(x, taps, (1, 1), [(1, 1)] * 2, dimension_numbers=_LAYOUT)
    y = y.reshape(B, H + 1, W + 1, 2, 2, -1)
    rows = jnp.stack([y[:, :-1, :, 0], y[:, 1:, :, 1]], axis=2)
    cells = jnp.stack([rows[..., :-1, 0, :], rows[..., 1:, 1, :]], axis=4)
    return cells.reshape(B, 2 * H, 2 * W, -1)


def nearest_conv(x: Array, kernel: Array) -> Array:
    """Doubles a grid, every cell four times, and convolves it by 3 x 3 taps.

    The doubled grid has equal neighbours, so that this is a transposed convolution
    whose taps are sums, at less than half of the work.

    Args:
        x: [B, H, W, C] float.
        kernel: [3, 3, C, O], of the type of x.

    Returns:
        [B, 2 H, 2 W, O]; outside of the doubled grid there are zeros.
    """
    sums = jnp.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], kernel.dtype)
    return transposed_conv(x, jnp.einsum("ai,bj,ijco->abco", sums, sums, kernel))


def kernels_in_turn() -> AbstractContextManager[None]:
    """Traces what is inside for a `vmap` over kernels, as of several seeds' networks.

    On a CPU a convolution of groups, which `vmap` over kernels makes of one, takes many
    times as long, and one inside a loop longer still: a few kernels are written one
    after the other.
    """
    return holding(_by_turns, True)


def _in_turn(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` of images, a kernel and more, inside `kernels_in_turn` with its own rule."""
    if not _by_turns.get():
        return fn
    mapped = jax.custom_batching.custom_vmap(fn)

    def rule(count: int, batched: Sequence[bool], *args: Array) -> tuple[Any, Any]:
        wide = jax.vmap(fn, [0 if each else None for each in batched])

        def in_turn(*args: Array) -> Any:
            pairs = [*zip(args, batched, strict=True)]
            turns = [
                fn(*(arg[i] if each else arg for arg, each in pairs))
                for i in range(count)
            ]
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *turns)

        if batched[1] and count <= FEW_KERNELS:
            made = lax.platform_dependent(*args, cpu=in_turn, default=wide)
        else:
            made = wide(*args)
        return made, jax.tree.map(lambda _: True, made)

    mapped.def_vmap(rule)

    # A mapping rule has no derivative of its own; losses with a gradient inside, such
    # as a contractive penalty, need the second and higher ones.
    def forward(*args: Array) -> tuple[Any, tuple[Array, ...]]:
        return mapped(*args), args

    def backward(args: tuple[Array, ...], gradient: Any) -> tuple[Array, ...]:
        leaves, structure = jax.tree.flatten(gradient)

        def pulled(*given: Array) -> tuple[Array, ...]:
            own = jax.tree.unflatten(structure, given[len(args) :])
            return jax.vjp(fn, *given[: len(args)])[1](own)

        return _in_turn(pulled)(*args, *leaves)

    differentiable = jax.custom_vjp(mapped)
    differentiable.defvjp(forward, backward)
    return differentiable


def _is_product(
    image: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: products.Pads,
) -> bool:
    """Whether matrix products beat lax on a CPU, measured in float32 on two cores.

    Args:
        image: [B, H, W, C].
        kernel: [h, w, C, O].
        strides: per spatial axis.
        pads: per spatial axis.
    """
    sides = image[1:3]
    cells = products.output_sides(sides, kernel, strides, pads)
    small = any(min(sides[i], cells[i]) < kernel[i] for i in range(2))
    return small or tuple(kernel[:2]) == (1, 1)


def _has_few_cells(image: Sequence[int], kernel: Sequence[int]) -> bool:
    """Whether images have so few pixels that each pair of them may have its own weight.

    Where there are fewer pixels than taps, most taps meet padding, and the product by
    cells leaves those out; but it first writes the weights of all pairs, which pays for
    many images. Measured in float32 on two cores, forward and back.
    """
    pixels, taps = image[1] * image[2], kernel[0] * kernel[1]
    return image[0] * (taps - pixels) >= WRITTEN * pixels
