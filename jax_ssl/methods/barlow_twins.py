"""Barlow Twins (Zbontar et al., 2021, arXiv:2103.03230).

The cross-correlation matrix between the features of two views, taken over the batch, is
drawn to the identity: equal features for both views, and no feature that repeats
another.

Views: [B, 2, H, W, C] float.
"""

from typing import Any, NamedTuple

import chex
import flax.linen as nn

from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params, Variables
from jax_ssl.losses import redundancy
from jax_ssl.nn.apply import forward, initialize, part
from jax_ssl.nn.mlp import TORCH_UNIFORM, Projected, mlp_after
from jax_ssl.nn.views import forward_each


class BarlowTwinsState(NamedTuple):
    """State that Barlow Twins carries beside its params."""

    stats: Any  # Running statistics of encoder and projector.


def barlow_twins(
    encoder: nn.Module,
    views: ViewFn,
    *,
    redundancy_weight: float = 0.0051,
    hidden_dim: int = 8192,
    output_dim: int = 8192,
    scale: float = 1.0,
) -> Method:
    """Builds Barlow Twins around `encoder`; settings as in section 2.2.

    The projector has three dense layers without bias, the first two followed by batch
    norm and ReLU. The paper gives biases and norms a learning rate of their own:
    `rates` of the optimizer with the pattern "(bias|scale)$".

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the projector.
        views: one example -> [2, H, W, C].
        redundancy_weight: λ of equation 1, positive; 0.0051 is the released code's.
        hidden_dim: width of the projector's inner layers.
        output_dim: D, width of the embeddings; accuracy grows with it (figure 4).
        scale: multiplies the loss, which is a sum over D² numbers; 1 in the paper.
            Recipes for small data have 0.1.

    Raises:
        ValueError: if λ or the scale is not positive.

    Note:
        As in the released code, batch norm sees the two views one after the other.
    """
    for name, number in (("redundancy_weight", redundancy_weight), ("scale", scale)):
        if not number > 0:
            raise ValueError(f"{name} = {number} must be positive.")
    projector = mlp_after(
        encoder,
        (hidden_dim, hidden_dim, output_dim),
        use_bias=False,
        kernel_init=TORCH_UNIFORM,
    )
    network = Projected(encoder, projector)

    def init(key: Array, views: Array) -> tuple[Params, BarlowTwinsState]:
        chex.assert_shape(views, (None, 2, None, None, None))
        params, stats = initialize(network, key, views[:, 0])
        return params, BarlowTwinsState(stats)

    def loss(
        params: Params,
        state: BarlowTwinsState,
        views: Array,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, tuple[BarlowTwinsState, Metrics]]:
        del key, step
        z, stats = forward_each(network, params, state.stats, views)  # [B, 2, D]
        value, terms = redundancy.barlow_twins(z, redundancy_weight=redundancy_weight)
        return scale * value, (BarlowTwinsState(stats), terms)

    def export(params: Params, state: BarlowTwinsState) -> Variables:
        return part(params, state.stats, "encoder")

    def project(params: Params, state: BarlowTwinsState, images: Array) -> Array:
        return forward(network, params, state.stats, images, train=False)[0]

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        export=export,
        project=project,
    )
