"""Losses of monocular scene flow (Hur & Roth, 2020, arXiv:2004.04143).

Pictures are [B, H, W, 3] in [0, 1], disparities [B, H, W] in their pixels, scene flows
[B, H, W, 3] in metres. Every loss is [B], of each row by itself: the mean over the
pixels that count.

Note:
    The released code takes these means, and asks whether most pixels are visible, over
    all rows of a batch together. Here a row has the same loss in any batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.losses.photometric import masked_mean, splat_visibility, ssim_distance
from jax_ssl.losses.smoothness import smoothness
from jax_ssl.ops.cameras import project
from jax_ssl.ops.warp import flow_pixels, stereo_pixels, warp

SHARPNESS = 10.0  # Of the weight at edges of the picture.
SSIM_WEIGHT = 0.85


def photometric(a: Array, b: Array) -> Array:
    """0.85 (1 - SSIM) / 2, a mean over channels, + 0.15 |a - b|, a sum, [B, H, W].

    At the border, where windows are not whole, the first term is 0.
    """
    distance = ssim_distance(a, b, "zero").mean(axis=-1)
    return SSIM_WEIGHT * distance + (1 - SSIM_WEIGHT) * jnp.abs(a - b).sum(axis=-1)


def bend(values: Array, image: Array) -> Array:
    """How a field [B, H, W, C] bends where the picture has no edges, like the field."""
    along = smoothness(values, image, order=2, sharpness=SHARPNESS, padding="edge")
    return along.x + along.y


def visible_in_left(right_disparity: Array) -> Array:
    """The pixels of the left picture that the right camera sees, [B, H, W] bool.

    Args:
        right_disparity: of the right picture; no gradient flows back.
    """
    across = jax.lax.stop_gradient(right_disparity)
    moved = jnp.stack([across, jnp.zeros_like(across)], axis=-1)
    return splat_visibility(moved)


class DisparityTerms(NamedTuple):
    """Losses of a disparity, [B] each: see `disparity_terms`."""

    data: Array
    smoothness: Array


def disparity_terms(
    left: Array, right: Array, disparity: Array, visible: Array
) -> DisparityTerms:
    """How little the right picture, moved by the disparity, looks like the left one.

    Args:
        left: pictures.
        right: pictures.
        disparity: of the left.
        visible: [B, H, W] bool, see `visible_in_left`.

    Returns:
        The photometric error of visible pixels, and the second-order smoothness of the
        disparity as a share of the width.
    """
    warped = warp(right, stereo_pixels(disparity, "left"), border="zero").values
    error = photometric(left, warped)
    share = disparity[..., None] / disparity.shape[-1]
    return DisparityTerms(
        masked_mean(error, visible), bend(share, left).mean((1, 2, 3))
    )


class SceneFlowTerms(NamedTuple):
    """Losses of a scene flow, [B] each: see `scene_flow_terms`."""

    data: Array
    points: Array
    smoothness: Array
    visible: Array


class Moving(NamedTuple):
    """One frame, and how what it shows moves until the other one.

    Attributes:
        image: pictures.
        points: [B, H, W, 3] metres, in the camera's coordinates.
        flow: scene flows.
        intrinsics: [B, 3, 3] in pixels of the pictures.
        visible: [B, H, W] bool, see `visible_in_left`.
    """

    image: Array
    points: Array
    flow: Array
    intrinsics: Array
    visible: Array

    @property
    def pixels(self) -> Array:
        """Where the points are seen in the other frame, [B, H, W, 2]."""
        return project(self.points + self.flow, self.intrinsics).pixels


def scene_flow_terms(
    own: Moving, other: Moving, *, occlusion: bool = True
) -> SceneFlowTerms:
    """The losses of the scene flow of `own`.

    Args:
        own: the frame of whose points the flow is judged.
        other: the frame to which it leads.
        occlusion: whether pixels do not count to which nothing of the other frame
            comes back by its flow.

    Returns:
        The photometric error, and the distance of the moved points from those that the
        other frame shows there, by the distance from the camera, both of visible
        pixels; the second-order smoothness of the flow by the same distance, a mean
        over the three axes; and the share of the pixels that count.
    """
    pixels = own.pixels
    visible = own.visible
    if occlusion:
        there = jax.lax.stop_gradient(other.pixels)
        back = there - flow_pixels(jnp.zeros_like(there))
        visible = visible & splat_visibility(back)
    seen = warp(other.image, pixels, border="zero").values
    error = photometric(own.image, seen)
    found = warp(other.points, pixels, border="zero").values
    away = jnp.linalg.norm(own.points, axis=-1)  # At least as far as the camera's 1 mm.
    missed = jnp.sqrt(jnp.square(own.points + own.flow - found).sum(-1) + 1e-12) / away
    bent = bend(own.flow, own.image).mean(axis=-1) / away
    return SceneFlowTerms(
        masked_mean(error, visible),
        masked_mean(missed, visible),
        bent.mean((1, 2)),
        visible.mean((1, 2)),
    )


def balanced(first: Array, second: Array) -> Array:
    """The sum of two losses [], the smaller one scaled to the larger.

    The value is twice the larger one; the gradient is that of both, each by the ratio
    of the larger to itself. Both must be above 0.
    """
    values = jax.lax.stop_gradient(jnp.stack([first, second]))
    scale = values.max() / values
    return scale[0] * first + scale[1] * second
