"""BYOL (Grill et al., 2020, arXiv:2006.07733).

From one view of an image the online network predicts what a slow copy of it says of the
other view. There are no negatives; the predictor and the stopped gradient keep the
outputs apart.

Views: [B, 2, H, W, C] float.
"""

from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.trees import ema
from jax_ssl.core.types import Array, Metrics, Params, Variables
from jax_ssl.losses.prediction import normalized_mse, output_std
from jax_ssl.nn.apply import forward, initialize, part
from jax_ssl.nn.mlp import Projected, mlp_after
from jax_ssl.nn.views import forward_each


class BYOLState(NamedTuple):
    """State that BYOL carries beside its params."""

    stats: Any  # Running statistics of the online encoder and projector.
    predictor_stats: Any
    teacher: Params  # "Target network": encoder and projector.
    teacher_stats: Any  # Its own; they are not averages of the online ones.


def byol(
    encoder: nn.Module,
    views: ViewFn,
    *,
    momentum: optax.Schedule | float = 0.996,
    hidden_dim: int = 4096,
    output_dim: int = 256,
) -> Method:
    """Builds BYOL around `encoder`; settings as in sections 3.1 to 3.3.

    Projector and predictor are alike: a dense layer, batch norm, ReLU and a dense layer
    without bias. Their norm is the encoder's: with `norm="group_ws"` all networks are
    without batch statistics (Richemond et al., 2020, arXiv:2010.10241, section 3.3).

    Args:
        encoder: returns `Features`; evaluation keeps the online one.
        views: one example -> [2, H, W, C].
        momentum: τ, the weight of the old teacher; the paper's rises along
            dict(name="cosine", init_value=0.996, end_value=1.0) in 1000 epochs, and
            starts at 0.99 in 300.
        hidden_dim: width of the inner layer of both heads.
        output_dim: width of projection and prediction.

    Note:
        As in the released code, batch norm sees the two views one after the other, the
        loss of both directions is added (so that it lies between 0 and 8), and the
        teacher is in training mode with running statistics of its own. The code's first
        layers have a bias too, which a batch norm takes away again.
    """
    head = mlp_after(encoder, (hidden_dim, output_dim), use_bias=False)
    network, predictor = Projected(encoder, head), head.clone()

    def init(key: Array, views: Array) -> tuple[Params, BYOLState]:
        chex.assert_shape(views, (None, 2, None, None, None))
        key, predictor_key = jax.random.split(key)
        params, stats = initialize(network, key, views[:, 0])
        prediction, predictor_stats = initialize(
            predictor, predictor_key, jnp.zeros((1, output_dim))
        )
        state = BYOLState(stats, predictor_stats, params, stats)
        return {**params, "predictor": prediction}, state

    def loss(
        params: Params, state: BYOLState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[BYOLState, Metrics]]:
        del key
        z, stats = forward_each(network, params, state.stats, views)  # [B, 2, D]
        p, predictor_stats = forward_each(
            predictor, params["predictor"], state.predictor_stats, z
        )
        target, teacher_stats = jax.lax.stop_gradient(
            forward_each(network, state.teacher, state.teacher_stats, views)
        )
        # The mean over both directions; the paper adds them.
        value = 2 * normalized_mse(p, target[:, ::-1])
        state = BYOLState(stats, predictor_stats, state.teacher, teacher_stats)
        metrics = {
            "output_std": output_std(jax.lax.stop_gradient(z)),
            "momentum": at(momentum, step),
        }
        return value, (state, metrics)

    def update(
        params: Params, state: BYOLState, *, step: Array
    ) -> tuple[Params, BYOLState]:
        online = {name: params[name] for name in state.teacher}
        # Schedules count from 0, and `step` is 1 after the first optimizer step.
        teacher = ema(state.teacher, online, at(momentum, step - 1))
        return params, state._replace(teacher=teacher)

    def export(params: Params, state: BYOLState) -> Variables:
        return part(params, state.stats, "encoder")

    def project(params: Params, state: BYOLState, images: Array) -> Array:
        return forward(network, params, state.stats, images, train=False)[0]

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        export=export,
        update=update,
        project=project,
    )
