"""Penalties on fields that change from pixel to pixel: disparities, flows, motions.

Fields are [..., H, W, C] float32, channels last (a disparity has one), in whatever unit
they are given. What is returned are maps; who calls takes the means.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.losses.photometric import charbonnier

PADDINGS = ("valid", "edge")


class Along(NamedTuple):
    """Maps of what changes along the rows of a field, and down its columns.

    Attributes:
        x: [..., H, w, C].
        y: [..., h, W, C].
    """

    x: Array
    y: Array


def smoothness(
    values: Array,
    image: Array | None = None,
    order: Literal[1, 2] = 1,
    sharpness: float = 1.0,
    padding: Literal["valid", "edge"] = "valid",
) -> Along:
    """|∂ d| e^(-s |∂ I|) along x and along y, ∂ being a difference of pixels.

    Args:
        values: d, [..., H, W, C].
        image: I [..., H, W, K], whose edges may be edges of d: |∂ I| is a mean over its
            channels, of the difference to the next pixel. None for no such weight.
        order: 1 for the difference to the next pixel, 2 for that of both neighbours,
            d(x - 1) - 2 d(x) + d(x + 1), which is 0 on a slope.
        sharpness: s.
        padding: "valid" gives the differences that exist, w = W - order and
            h = H - order; "edge" repeats the outermost pixels of d and I, so that the
            maps have the size of d.

    Raises:
        ValueError: if `order` or `padding` is not known.
    """
    checks.one_of((1, 2), order=order)
    checks.one_of(PADDINGS, padding=padding)

    def along(axis: int) -> Array:
        before = order - 1  # Pixels in front of the one that a difference belongs to.

        def wide(x: Array) -> Array:
            border = [(0, 0)] * x.ndim
            border[axis] = (before, 1)
            return jnp.pad(x, border, mode="edge") if padding == "edge" else x

        slope = jnp.abs(jnp.diff(wide(values), n=order, axis=axis))
        if image is None:
            return slope
        edges = jnp.abs(jnp.diff(wide(image), axis=axis)).mean(axis=-1, keepdims=True)
        # The first one leads to the pixel of the first second difference.
        edges = jnp.take(edges, jnp.arange(before, edges.shape[axis]), axis=axis)
        return slope * jnp.exp(-sharpness * edges)

    return Along(along(-2), along(-3))


def second_differences(values: Array) -> tuple[Array, Array, Array, Array]:
    """∂xx, ∂xy, ∂yx and ∂yy of a field [..., H, W, C], signed.

    SfMLearner's smoothness is the sum of the means of their absolute values. The second
    and the third are the same [..., H - 1, W - 1, C]; the others are two columns or two
    rows smaller than the field.
    """
    x, y = jnp.diff(values, axis=-2), jnp.diff(values, axis=-3)
    mixed = jnp.diff(x, axis=-3)
    return jnp.diff(x, axis=-2), mixed, mixed, jnp.diff(y, axis=-3)


def mean_normalized(values: Array, epsilon: float = 1e-7) -> Array:
    """A field [..., H, W, C] by its mean over pixels, so that its scale is no matter.

    Monodepth2 takes the smoothness of disparities so divided.
    """
    return values / (values.mean(axis=(-3, -2), keepdims=True) + epsilon)


def flow_smoothness(
    flow: Array, epsilon: float = 1e-3, exponent: float = 0.45
) -> Array:
    """UnFlow's penalty on the second differences of a flow, [..., H, W].

    The differences of both neighbours along x, y and the two diagonals go through
    `charbonnier`; the map is their mean over the four directions, summed over u and v.
    It is 0 where a neighbour lies outside of the picture, and these places count in the
    mean over the map.

    Args:
        flow: [..., H, W, 2] in pixels.
        epsilon: of `charbonnier`.
        exponent: of it.
    """
    height, width = flow.shape[-3:-1]
    total = jnp.zeros_like(flow[..., 0])
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        rows, columns = height - 2 * dy, width - 2 * abs(dx)

        def part(i: int, j: int, rows: int = rows, columns: int = columns) -> Array:
            return flow[..., i : i + rows, j : j + columns, :]

        one, other = (0, 2 * dy) if dx >= 0 else (2 * dy, 0)
        bend = part(one, 0) - 2 * part(dy, abs(dx)) + part(other, 2 * abs(dx))
        penalty = charbonnier(bend, epsilon, exponent).sum(axis=-1)
        border = [(0, 0)] * (flow.ndim - 3) + [(dy, dy), (abs(dx), abs(dx))]
        total = total + jnp.pad(penalty, border) / 4
    return total
