"""How well one picture explains another, and which pixels may be asked to.

Pictures are [..., H, W, C] float32 in [0, 1], channels last; flows [..., H, W, 2] are
(u, v) in pixels, disparities [..., H, W] in pixels. What is returned are maps, an error
at each pixel: who calls decides which pixels count and takes the mean, for which there
is `masked_mean`. What makes fields smooth is in `losses.smoothness`.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.ops.color import luma
from jax_ssl.ops.warp import contains, flow_pixels, splat, stereo_pixels, warp

Padding = Literal["reflect", "valid", "zero"]
PADDINGS = ("reflect", "valid", "zero")
C1, C2 = 0.01**2, 0.03**2  # Of SSIM, for values in [0, 1].


def charbonnier(x: Array, epsilon: float = 1e-3, exponent: float = 0.45) -> Array:
    """(x² + ε²)^α of every value; the defaults are UnFlow's. At 0 it is ε^(2α)."""
    return (jnp.square(x) + epsilon**2) ** exponent


def masked_mean(
    x: Array, mask: Array | None = None, by: Literal["count", "area"] = "count"
) -> Array:
    """The mean of each map over the pixels of a mask, [...].

    Args:
        x: [..., H, W].
        mask: [..., H, W] bool, or weights in [0, 1]; None for all pixels.
        by: what the sum is divided by: "count" the sum of the mask, or 1 if that is
            less; "area" H W, so that a small mask makes a small mean.

    Raises:
        ValueError: if `by` is neither.
    """
    checks.one_of(("count", "area"), by=by)
    if mask is None:
        return x.mean(axis=(-2, -1))
    mask = jnp.broadcast_to(mask, x.shape).astype(jnp.float32)
    # Not a product with the mask: what is masked may be infinite.
    total = jnp.where(mask > 0, x * mask, 0.0).sum(axis=(-2, -1))
    if by == "area":
        return total / (x.shape[-2] * x.shape[-1])
    return total / jnp.maximum(mask.sum(axis=(-2, -1)), 1.0)


def ssim_distance(a: Array, b: Array, padding: Padding = "reflect") -> Array:
    """(1 - SSIM) / 2 of windows of 3 x 3 pixels, in [0, 1], [..., h, w, C].

    Means of nine pixels, not Gaussian ones, and their biased variances.

    Args:
        a: [..., H, W, C] in [0, 1].
        b: [..., H, W, C].
        padding: what is at the border, where windows are not whole: "reflect" mirrors
            the pictures, "valid" leaves it out, so that h is H - 2, and "zero" puts
            distances of 0.

    Raises:
        ValueError: if `padding` is none of these.
    """
    checks.one_of(PADDINGS, padding=padding)
    border = [(0, 0)] * (a.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
    if padding == "reflect":
        a, b = (jnp.pad(x, border, mode="reflect") for x in (a, b))
    # Of a + b and a - b: 2 cov(a, b) is half the difference of their variances, and
    # var(a) + var(b) half the sum. Where a = b the distance is exactly 0.
    mean = jnp.stack([a + b, a - b])
    variance = jnp.zeros_like(mean)
    # Three pixels down, then three of these across. From deviations: a mean of squares
    # less a square would lose its last digits.
    for axis in (-3, -2):
        means, within = _three(mean, axis), _three(variance, axis)
        mean = _mean(means)
        variance = _mean(within) + _mean([jnp.square(x - mean) for x in means])
    (mean_sum, mean_difference), (plus, minus) = jnp.square(mean) / 2, variance / 2
    likeness = (mean_sum - mean_difference + C1) / (mean_sum + mean_difference + C1)
    likeness = likeness * (plus - minus + C2) / (plus + minus + C2)
    distance = jnp.clip((1 - likeness) / 2, 0.0, 1.0)
    return jnp.pad(distance, border) if padding == "zero" else distance


def _three(x: Array, axis: int) -> list[Array]:
    """Every pixel but the last two along an axis, the next, and the next but one."""
    length = x.shape[axis] - 2
    return [jax.lax.slice_in_dim(x, i, i + length, axis=axis) for i in range(3)]


def _mean(values: list[Array]) -> Array:
    return sum(values[1:], start=values[0]) / len(values)


def photometric_error(
    a: Array, b: Array, ssim_weight: float = 0.85, padding: Padding = "reflect"
) -> Array:
    """The mean over channels of w (1 - SSIM) / 2 + (1 - w) |a - b|, [..., h, w].

    Args:
        a: [..., H, W, C] in [0, 1].
        b: [..., H, W, C].
        ssim_weight: w.
        padding: see `ssim_distance`; "valid" leaves the border out of both terms.

    Raises:
        ValueError: if `padding` is not known.
    """
    distance = ssim_distance(a, b, padding)
    difference = jnp.abs(a - b)
    if padding == "valid":
        difference = difference[..., 1:-1, 1:-1, :]
    error = ssim_weight * distance + (1 - ssim_weight) * difference
    return error.mean(axis=-1)


def census_distance(a: Array, b: Array, radius: int) -> Array:
    """How differently two pictures compare each pixel with those around it.

    UnFlow's soft ternary census: t = d / sqrt(0.81 + d²) of the differences d between a
    neighbour and the pixel, in grey levels of 255; the distance is the sum of
    e² / (0.1 + e²) over the window, e the difference of the two pictures' t. Adding a
    constant to a picture changes nothing.

    Args:
        a: [..., H, W, C] in [0, 1], C = 3 for colours or 1 for grey.
        b: [..., H, W, C].
        radius: r of the window of (2 r + 1)² pixels.

    Returns:
        [..., H, W]. Beyond the pictures all is black, so that the outermost `radius`
        pixels are to be masked: see `border_mask`.
    """
    height, width = a.shape[-3:-1]
    side = 2 * radius + 1
    border = [(0, 0)] * (a.ndim - 3) + [(radius, radius)] * 2
    grey = [255 * (luma(x) if x.shape[-1] == 3 else x[..., 0]) for x in (a, b)]
    wide = [jnp.pad(x, border) for x in grey]

    def ternary(center: Array, wide: Array, place: Array) -> Array:
        rows = jax.lax.dynamic_slice_in_dim(wide, place // side, height, axis=-2)
        there = jax.lax.dynamic_slice_in_dim(rows, place % side, width, axis=-1)
        d = there - center
        return d / jnp.sqrt(0.81 + jnp.square(d))

    # A loop that keeps nothing for its gradient: written out, a window of 7 x 7 took
    # half a minute to compile and twenty times as long to run on a CPU.
    @jax.checkpoint
    def add(total: Array, place: Array) -> tuple[Array, None]:
        one, other = (ternary(*x, place) for x in zip(grey, wide, strict=True))
        e = jnp.square(one - other)
        return total + e / (0.1 + e), None

    return jax.lax.scan(add, jnp.zeros_like(grey[0]), jnp.arange(side**2))[0]


class MinimumError(NamedTuple):
    """The least of several errors at each pixel.

    Attributes:
        error: [..., H, W].
        moving: [..., H, W] bool, where a warped source is better than all that were
            left as they are: monodepth2's automatic mask.
    """

    error: Array
    moving: Array


def minimum_reprojection(
    reprojections: Array,
    identities: Array | None = None,
    key: Array | None = None,
    noise: float = 1e-5,
) -> MinimumError:
    """The least error over sources, so that a pixel hidden in some counts in others.

    Where a source explains the target better as it is than warped, nothing moves
    against the camera; the error there does not depend on what is predicted.

    Args:
        reprojections: [..., S, H, W] errors of the sources warped onto the target.
        identities: [..., R, H, W] errors of the sources as they are; None for none, and
            then all pixels count as moving.
        key: [] of the noise that breaks ties between the two; None for no noise, and
            then an equal error counts as not moving.
        noise: standard deviation, added to `identities`.
    """
    best = jax.lax.stop_gradient(reprojections).argmin(axis=-3)
    # Not `min`, whose gradient divides by how many are equal to it: where a compiler
    # computes the errors anew, and rounds another way, that is none.
    error = jnp.zeros(best.shape)
    for s in range(reprojections.shape[-3]):
        error = jnp.where(best == s, reprojections[..., s, :, :], error)
    if identities is None:
        return MinimumError(error, jnp.ones(error.shape, bool))
    if key is not None:
        identities = identities + noise * jax.random.normal(key, identities.shape)
    still = jax.lax.stop_gradient(identities).min(axis=-3)
    moving = error < still
    return MinimumError(jnp.where(moving, error, still), moving)


def explainability(logits: Array) -> Array:
    """SfMLearner's probability that a pixel can be explained, [..., H, W].

    Args:
        logits: [..., H, W, 2], of "cannot" and "can".
    """
    return jax.nn.softmax(logits)[..., 1]


def explainability_penalty(logits: Array) -> Array:
    """-log of `explainability`: the cross-entropy to 1, [..., H, W]."""
    return -jax.nn.log_softmax(logits)[..., 1]


def left_right_error(disparity: Array, other: Array, side: str = "left") -> Array:
    """|d(p) - d'(p')|, the disparities that two cameras give one point, [..., H, W].

    Args:
        disparity: d, [..., H, W] in pixels.
        other: d' of the other camera, [..., H, W].
        side: whose d is: p' is p - d for the "left" and p + d for the "right". Outside
            of the picture d' is that of its edge.

    Raises:
        ValueError: if `side` is neither.
    """
    pixels = stereo_pixels(disparity, side)
    return jnp.abs(disparity - warp(other[..., None], pixels, "edge").values[..., 0])


class RoundTrip(NamedTuple):
    """Where a pixel comes to that follows a flow there and another back.

    Attributes:
        difference: [..., H, W, 2] in pixels, 0 where it comes back to itself.
        occluded: [..., H, W] bool, where it does not, so that it is probably hidden.
    """

    difference: Array
    occluded: Array


def forward_backward_occlusion(
    flow: Array, back: Array, relative: float = 0.01, absolute: float = 0.5
) -> RoundTrip:
    """The difference w + w'(p + w), and whether it is too large.

    Occluded is where |w + w'|² > relative (|w|² + |w'|²) + absolute, as in UnFlow.

    Args:
        flow: w, [..., H, W, 2] in pixels.
        back: w' [..., H, W, 2], from the other picture to this one. Outside of the
            picture it is that of its edge.
        relative: share of the squared lengths.
        absolute: in squared pixels.

    Note:
        The released code of UnFlow has |w'|² at p itself in the limit.
    """
    returned = warp(back, flow_pixels(flow), "edge").values
    difference = flow + returned

    def squared(w: Array) -> Array:
        return jnp.square(w).sum(axis=-1)

    limit = relative * (squared(flow) + squared(returned)) + absolute
    return RoundTrip(difference, squared(difference) > limit)


def splat_visibility(back: Array, least_share: float = 0.5) -> Array:
    """The pixels where something of the other picture arrives, [..., H, W] bool.

    Self-Mono-SF's check of what is hidden in the other picture: ones are moved along
    the other picture's flow, and a pixel is visible where more than a half arrives.

    Args:
        back: [..., H, W, 2] in pixels, from the other picture to this one.
        least_share: if fewer pixels than this share of a picture are visible, the flow
            is no good yet and all of them count.
    """
    visible = splat(back, jnp.ones_like(back[..., 0])) > 0.5
    share = visible.mean(axis=(-2, -1), keepdims=True)
    return visible | (share < least_share)


def border_mask(height: int, width: int, margin: int) -> Array:
    """The pixels at least `margin` away from the border, [height, width] bool."""
    rows, columns = (
        (jnp.arange(side) >= margin) & (jnp.arange(side) < side - margin)
        for side in (height, width)
    )
    return rows[:, None] & columns


def outgoing_mask(flow: Array) -> Array:
    """The pixels that a flow [..., H, W, 2] keeps in the picture, [..., H, W] bool."""
    return contains(flow_pixels(flow), *flow.shape[-3:-1])
