"""Barlow Twins (Zbontar et al., 2021, arXiv:2103.03230).

The cross-correlation matrix between the features of two views, taken over the batch, is
drawn to the identity: equal features for both views, and no feature that repeats
another.

Views: [B, 2, H, W, C] float.
"""

import flax.linen as nn

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params
from jax_ssl.losses import redundancy
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState


def barlow_twins(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
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
        heads: modules in the place of those made here, by the name of their part.
        redundancy_weight: λ of equation 1, positive; 0.0051 is the released code's.
        hidden_dim: width of the projector's inner layers.
        output_dim: D, width of the embeddings; accuracy grows with it.
        scale: multiplies the loss, which is a sum over D² numbers. Recipes for small
            data have 0.1. The released code on W GPUs has the gradient of 1 / W, which
            biases and norms feel, for they have no trust ratio.

    Raises:
        ValueError: if λ or the scale is not positive.

    Note:
        As in the released code, batch norm sees the two views one after the other.
    """
    checks.positive(redundancy_weight=redundancy_weight, scale=scale)
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
        value, terms = redundancy.barlow_twins(
            out["projector"], redundancy_weight=redundancy_weight
        )
        return scale * value, (StatsState(stats), terms)

    kept = net.evaluated("projector")
    return Method(views=views, init=net.init_pair, loss=loss, **kept)
