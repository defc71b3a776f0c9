"""SimCLR (Chen et al., 2020, arXiv:2002.05709; v2: arXiv:2006.10029).

Two augmented views of every image are pulled together, and pushed away from all
other views in the global batch, by the NT-Xent loss on a projection head.

Views: [B, 2, H, W, C] float.
"""

import math
from typing import Any, NamedTuple

import chex
import flax.linen as nn

from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params, Variables
from jax_ssl.losses.contrastive import Form, check_form, nt_xent_with_accuracy
from jax_ssl.nn.apply import forward, initialize, part
from jax_ssl.nn.mlp import MLP, Projected
from jax_ssl.nn.norm import norm_groups


class SimCLRState(NamedTuple):
    """State that SimCLR carries beside its params."""

    stats: Any  # Running statistics of encoder and projector.


def simclr(
    encoder: nn.Module,
    views: ViewFn,
    *,
    temperature: float = 0.1,
    hidden_dim: int = 2048,
    output_dim: int = 128,
    head_layers: int = 2,
    similarity: Form = "auto",
) -> Method:
    """Builds SimCLR around `encoder`; settings as in sections 2.1 and 2.2.

    The projector follows the released code: every layer is a dense map without bias,
    weights drawn from N(0, 0.01²), then batch norm; the last norm has no offset and no
    ReLU follows it. Its batch-norm groups are the encoder's.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the projector.
        views: one example -> [2, H, W, C].
        temperature: τ of equation 1, positive; 0.1 for ImageNet (section 5.1), 0.5 for
            CIFAR-10 (appendix B.9).
        hidden_dim: width of the projector's inner layers.
        output_dim: D, width of the projections.
        head_layers: 2 for SimCLR, 3 for the deeper head of SimCLR v2 (section 2).
        similarity: "gather", "ring" or "auto", the form of `nt_xent`. It decides over
            memory and communication and changes nothing else.

    Raises:
        ValueError: if the temperature is not positive, there is no layer, or the
            similarity has no such form.
    """
    if not temperature > 0:
        raise ValueError(f"temperature = {temperature} must be positive.")
    if head_layers < 1:
        raise ValueError(f"head_layers = {head_layers} must be at least 1.")
    check_form(similarity, "similarity")
    projector = MLP(
        widths=(hidden_dim,) * (head_layers - 1) + (output_dim,),
        groups=norm_groups(encoder),
        last_norm="scale",
        use_bias=False,
        kernel_init=nn.initializers.normal(0.01),
        dtype=getattr(encoder, "dtype", "float32"),
    )
    network = Projected(encoder, projector)

    def flat(views: Array) -> Array:  # [B, V, ...] -> [B * V, ...]
        return views.reshape(-1, *views.shape[2:])

    def init(key: Array, views: Array) -> tuple[Params, SimCLRState]:
        chex.assert_shape(views, (None, 2, None, None, None))
        params, stats = initialize(network, key, flat(views))
        return params, SimCLRState(stats)

    def loss(
        params: Params, state: SimCLRState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[SimCLRState, Metrics]]:
        del key, step
        # One forward pass for both views: batch norm sees all 2B of them, as in
        # the reference implementation.
        z, stats = forward(network, params, state.stats, flat(views))
        z = z.reshape(*views.shape[:2], -1)  # [B, 2, D]
        value, accuracy = nt_xent_with_accuracy(
            z, temperature=temperature, form=similarity
        )
        return value, (SimCLRState(stats), {"contrastive_accuracy": accuracy})

    def export(params: Params, state: SimCLRState) -> Variables:
        return part(params, state.stats, "encoder")

    def project(params: Params, state: SimCLRState, images: Array) -> Array:
        return forward(network, params, state.stats, images, train=False)[0]

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        export=export,
        project=project,
        chance=lambda batch_size: math.log(2 * batch_size - 1),
    )
