"""SimSiam (Chen & He, 2021, arXiv:2011.10566).

From one view of an image a predictor guesses what the same network says of the other
view, whose gradient is stopped. Neither negatives nor a teacher: BYOL with a momentum
of zero.

Views: [B, 2, H, W, C] float.
"""

import flax.linen as nn
import jax

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params
from jax_ssl.losses.prediction import negative_cosine, output_std
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState


def simsiam(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
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
        heads: modules in the place of those made here, by the name of their part.
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
    checks.at_least(1, head_layers=head_layers)
    projector = mlp_after(
        encoder,
        (hidden_dim,) * (head_layers - 1) + (output_dim,),
        last_norm="plain",
        kernel_init=TORCH_UNIFORM,
    )
    predictor = mlp_after(
        encoder, (predictor_dim, output_dim), kernel_init=TORCH_UNIFORM
    )
    net = Network.of(encoder, heads, projector=projector, predictor=predictor)

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        out, stats = net.each(params, state.stats, views)  # [B, 2, D]
        target = jax.lax.stop_gradient(out["projector"])
        value = negative_cosine(out["predictor"], target[:, ::-1])  # Equation 2.
        return value, (StatsState(stats), {"output_std": output_std(target)})

    kept = net.evaluated("projector")
    return Method(views=views, init=net.init_pair, loss=loss, **kept)
