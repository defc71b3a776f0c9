"""SimSiam (Chen & He, 2021, arXiv:2011.10566).

From one view of an image a predictor guesses what the same network says of the other
view, whose gradient is stopped. Neither negatives nor a teacher: BYOL with a momentum
of zero.

Views: [B, 2, H, W, C] float.
"""

from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params, Variables
from jax_ssl.losses.prediction import negative_cosine, output_std
from jax_ssl.nn.apply import forward, initialize, part
from jax_ssl.nn.mlp import TORCH_UNIFORM, Projected, mlp_after
from jax_ssl.nn.views import forward_each


class SimSiamState(NamedTuple):
    """State that SimSiam carries beside its params."""

    stats: Any  # Running statistics of encoder and projector.
    predictor_stats: Any


def simsiam(
    encoder: nn.Module,
    views: ViewFn,
    *,
    hidden_dim: int = 2048,
    output_dim: int = 2048,
    predictor_dim: int = 512,
    head_layers: int = 3,
) -> Method:
    """Builds SimSiam around `encoder`; settings as in section 3.

    The projector ends in a batch norm, in the released code without scale and offset;
    the predictor is a bottleneck that ends in a plain dense layer. The paper keeps the
    predictor's learning rate constant (section 4.2): `rates` of the optimizer with the
    pattern "^predictor/".

    Args:
        encoder: returns `Features`; evaluation keeps it.
        views: one example -> [2, H, W, C].
        hidden_dim: width of the projector's inner layers.
        output_dim: D, width of projection and prediction.
        predictor_dim: width of the predictor's inner layer, a quarter of D in section
            4.3.
        head_layers: of the projector; 2 for CIFAR-10 (appendix D).

    Raises:
        ValueError: if the projector has no layer.

    Note:
        As in the released code, batch norm sees the two views one after the other. Its
        last projector layer has a bias that never moves, which a norm takes away.
    """
    if head_layers < 1:
        raise ValueError(f"head_layers = {head_layers} must be at least 1.")
    projector = mlp_after(
        encoder,
        (hidden_dim,) * (head_layers - 1) + (output_dim,),
        last_norm="plain",
        kernel_init=TORCH_UNIFORM,
    )
    predictor = mlp_after(
        encoder, (predictor_dim, output_dim), kernel_init=TORCH_UNIFORM
    )
    network = Projected(encoder, projector)

    def init(key: Array, views: Array) -> tuple[Params, SimSiamState]:
        chex.assert_shape(views, (None, 2, None, None, None))
        key, predictor_key = jax.random.split(key)
        params, stats = initialize(network, key, views[:, 0])
        prediction, predictor_stats = initialize(
            predictor, predictor_key, jnp.zeros((1, output_dim))
        )
        params = {**params, "predictor": prediction}
        return params, SimSiamState(stats, predictor_stats)

    def loss(
        params: Params, state: SimSiamState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[SimSiamState, Metrics]]:
        del key, step
        z, stats = forward_each(network, params, state.stats, views)  # [B, 2, D]
        p, predictor_stats = forward_each(
            predictor, params["predictor"], state.predictor_stats, z
        )
        target = jax.lax.stop_gradient(z)
        value = negative_cosine(p, target[:, ::-1])  # Equation 2: both halves.
        metrics = {"output_std": output_std(target)}
        return value, (SimSiamState(stats, predictor_stats), metrics)

    def export(params: Params, state: SimSiamState) -> Variables:
        return part(params, state.stats, "encoder")

    def project(params: Params, state: SimSiamState, images: Array) -> Array:
        return forward(network, params, state.stats, images, train=False)[0]

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        export=export,
        project=project,
    )
