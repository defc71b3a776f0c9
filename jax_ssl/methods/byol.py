"""BYOL (Grill et al., 2020, arXiv:2006.07733).

From one view of an image the online network predicts what a slow copy of it says of the
other view. There are no negatives; the predictor and the stopped gradient keep the
outputs apart.

Views: [B, 2, ...] float.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import optax

from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.types import Array, Metrics, Params
from jax_ssl.losses.prediction import normalized_mse, output_std
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Copy, Follow, Heads, Network
from jax_ssl.nn.views import pair


class BYOLState(NamedTuple):
    """State that BYOL carries beside its params."""

    stats: Any  # Running statistics of the online network.
    teacher: Copy  # "Target network": encoder and projector.


def byol(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    momentum: optax.Schedule | float = 0.996,
    hidden_dim: int = 4096,
    output_dim: int = 256,
) -> Method:
    """Builds BYOL around `encoder`; settings as in sections 3.1 to 3.3.

    Projector and predictor are alike: a dense layer, batch norm, ReLU and a dense layer
    without bias. Their norm is the encoder's: with `norm="group_ws"` all networks are
    without batch statistics (Richemond et al., 2020, arXiv:2010.10241).

    Args:
        encoder: returns `Features`; evaluation keeps the online one.
        views: one example -> two views of it.
        heads: modules in the place of those made here, by the name of their part.
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
    net = Network.of(encoder, heads, projector=head, predictor=head.clone())
    follow = Follow(momentum)

    def init(key: Array, views: Array) -> tuple[Params, BYOLState]:
        params, stats = net.init(key, pair(views)[:, 0])
        return params, BYOLState(stats, net.copy(params, stats, until="projector"))

    def loss(
        params: Params, state: BYOLState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[BYOLState, Metrics]]:
        del key
        online, stats = net.each(params, state.stats, views)  # [B, 2, D]
        target, teacher_stats = jax.lax.stop_gradient(net.each(*state.teacher, views))
        # The mean over both directions; the paper adds them.
        value = 2 * normalized_mse(online["predictor"], target["projector"][:, ::-1])
        metrics = {
            "output_std": output_std(jax.lax.stop_gradient(online["projector"])),
            "momentum": at(momentum, step),
        }
        teacher = state.teacher._replace(stats=teacher_stats)
        return value, (BYOLState(stats, teacher), metrics)

    kept = net.evaluated("projector")
    return Method(views=views, init=init, loss=loss, update=follow, **kept)
