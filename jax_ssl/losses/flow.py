"""UnFlow's losses of a flow and of the flow back (Meister et al., 2018).

arXiv:1711.07837. Pictures are [B, H, W, C] in [0, 1], flows [B, H, W, 2] are
(u, v) in their pixels.
"""

from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.losses.photometric import (
    border_mask,
    census_distance,
    charbonnier,
    forward_backward_occlusion,
    masked_mean,
    outgoing_mask,
)
from jax_ssl.losses.smoothness import flow_smoothness
from jax_ssl.ops.warp import flow_pixels, warp

DataTerm: TypeAlias = Literal["census", "brightness"]


class FlowTerms(NamedTuple):
    """The losses of one direction, [B] each, means over all pixels of each picture.

    Attributes:
        data: how little the second picture, warped, looks like the first.
        smoothness: how the flow bends.
        consistency: how far a pixel is from itself that follows the flow there and
            back.
        occlusion: penalty on pixels that do not count. It has no gradient, since
            whether a pixel counts is a yes or a no.
        occluded: share of the pixels that do not count.
    """

    data: Array
    smoothness: Array
    consistency: Array
    occlusion: Array
    occluded: Array


def data_error(
    first: Array, second: Array, flow: Array, mask: Array, term: DataTerm, radius: int
) -> Array:
    """The data term, [B]: pixels that do not count have none, and the area is shared.

    Args:
        first: pictures.
        second: pictures.
        flow: from the first to the second.
        mask: [B, H, W] bool, the pixels that count.
        term: "census" of windows of the radius, or "brightness", the difference in grey
            levels of 255; each through `charbonnier`.
        radius: of the census; pixels as near to the border do not count.
    """
    warped = warp(second, flow_pixels(flow), border="edge").values
    if term == "brightness":
        error = charbonnier(255 * (first - warped)).mean(axis=-1)
    else:
        error = charbonnier(census_distance(first, warped, radius))
        mask = mask & border_mask(mask.shape[1], mask.shape[2], radius)
    return masked_mean(error, mask, by="area")


def flow_terms(
    first: Array,
    second: Array,
    flow: Array,
    back: Array,
    *,
    term: DataTerm = "census",
    radius: int = 1,
    margin: int | None = None,
    occlusion: bool = True,
) -> FlowTerms:
    """The losses of a flow.

    Args:
        first: pictures.
        second: pictures.
        flow: from the first to the second.
        back: from the second to the first.
        term: see `data_error`.
        radius: likewise.
        margin: pixels as near to the border do not count; None for those that the flow
            leads out of the picture.
        occlusion: whether pixels that do not come back to themselves do not count.
    """
    trip = forward_backward_occlusion(flow, back)
    if margin is None:
        mask = outgoing_mask(flow)
    else:
        mask = border_mask(flow.shape[1], flow.shape[2], margin)[None]
    if occlusion:
        mask = mask & ~trip.occluded
    mask = jax.lax.stop_gradient(jnp.broadcast_to(mask, flow.shape[:3]))
    return FlowTerms(
        data=data_error(first, second, flow, mask, term, radius),
        smoothness=masked_mean(flow_smoothness(flow)),
        consistency=masked_mean(charbonnier(trip.difference).mean(-1), mask, by="area"),
        occlusion=masked_mean(charbonnier(1.0 - mask)),
        occluded=1 - mask.mean(axis=(1, 2)),
    )
