"""VICReg (Bardes et al., 2022, arXiv:2105.04906).

Two views of an image get close embeddings (invariance), while within each view every
feature keeps its spread over the batch (variance) and repeats no other (covariance).

Views: [B, 2, H, W, C] float.
"""

import flax.linen as nn

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params
from jax_ssl.losses import redundancy
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState


def vicreg(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
    hidden_dim: int = 8192,
    output_dim: int = 8192,
) -> Method:
    """Builds VICReg around `encoder`; settings as in section 4.2.

    The projector ("expander") has three dense layers, the first two followed by batch
    norm and ReLU, the last without bias.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the projector.
        views: one example -> [2, H, W, C].
        heads: modules in the place of those made here, by the name of their part.
        invariance_weight: λ of equation 6.
        variance_weight: μ.
        covariance_weight: ν.
        hidden_dim: width of the projector's inner layers.
        output_dim: D, width of the embeddings.

    Raises:
        ValueError: if a weight is negative.

    Note:
        As in the released code, batch norm sees the two views one after the other. The
        code's first layers have a bias too, which the norm takes away again.
    """
    weights = {
        "invariance_weight": invariance_weight,
        "variance_weight": variance_weight,
        "covariance_weight": covariance_weight,
    }
    checks.at_least(0, **weights)
    projector = mlp_after(
        encoder,
        (hidden_dim, hidden_dim, output_dim),
        use_bias=False,
        kernel_init=TORCH_UNIFORM,
    )
    net = Network.of(encoder, heads, projector=projector)

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        out, stats = net.each(params, state.stats, views)  # [B, 2, D]
        value, terms = redundancy.vicreg(out["projector"], **weights)
        return value, (StatsState(stats), terms)

    kept = net.evaluated("projector")
    return Method(views=views, init=net.init_pair, loss=loss, **kept)
