"""Triplet learning after FaceNet (Schroff et al., 2015, arXiv:1503.03832).

The two views of an image must be closer to each other than to the views of any other
image in the global batch, by a margin. FaceNet's positives are faces of one person;
here, without labels, they are views of one image.

Views: [B, 2, H, W, C] float.
"""

from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax

from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params, Variables
from jax_ssl.losses.prediction import output_std
from jax_ssl.losses.triplet import Mining, check_triplet
from jax_ssl.losses.triplet import triplet as triplet_loss
from jax_ssl.nn.apply import forward, initialize, part
from jax_ssl.nn.mlp import Projected, mlp_after


class TripletState(NamedTuple):
    """State that triplet learning carries beside its params."""

    stats: Any  # Running statistics of encoder and projector.


def triplet(
    encoder: nn.Module,
    views: ViewFn,
    *,
    margin: float = 0.2,
    mining: Mining = "semi-hard",
    hidden_dim: int = 2048,
    output_dim: int = 128,
    head_layers: int = 1,
) -> Method:
    """Builds triplet learning around `encoder`; settings as in sections 3.1 and 3.2.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the projector.
        views: one example -> [2, H, W, C].
        margin: α of equation 1, in squared distance of unit vectors.
        mining: "semi-hard" or "all", the negatives that an anchor is compared with.
        hidden_dim: width of the projector's inner layers.
        output_dim: D, width of the projections.
        head_layers: 1, a linear map, as in the paper; 2 for the head of later methods.

    Raises:
        ValueError: if the margin is not positive, the mining unknown, or there is no
            layer.

    Note:
        Batch norm sees both views together, as in SimCLR.
    """
    check_triplet(margin, mining)
    if head_layers < 1:
        raise ValueError(f"head_layers = {head_layers} must be at least 1.")
    widths = (hidden_dim,) * (head_layers - 1) + (output_dim,)
    network = Projected(encoder, mlp_after(encoder, widths))

    def flat(views: Array) -> Array:  # [B, V, ...] -> [B * V, ...]
        return views.reshape(-1, *views.shape[2:])

    def init(key: Array, views: Array) -> tuple[Params, TripletState]:
        chex.assert_shape(views, (None, 2, None, None, None))
        params, stats = initialize(network, key, flat(views))
        return params, TripletState(stats)

    def loss(
        params: Params, state: TripletState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[TripletState, Metrics]]:
        del key, step
        z, stats = forward(network, params, state.stats, flat(views))
        z = z.reshape(*views.shape[:2], -1)  # [B, 2, D]
        value, metrics = triplet_loss(z, margin=margin, mining=mining)
        spread = output_std(jax.lax.stop_gradient(z))
        return value, (TripletState(stats), {**metrics, "output_std": spread})

    def export(params: Params, state: TripletState) -> Variables:
        return part(params, state.stats, "encoder")

    def project(params: Params, state: TripletState, images: Array) -> Array:
        return forward(network, params, state.stats, images, train=False)[0]

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        export=export,
        project=project,
        chance=lambda batch_size: margin,
    )
