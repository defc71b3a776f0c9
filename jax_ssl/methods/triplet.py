"""Triplet learning after FaceNet (Schroff et al., 2015, arXiv:1503.03832).

The two views of an image must be closer to each other than to the views of any other
image in the global batch, by a margin. FaceNet's positives are faces of one person;
here, without labels, they are views of one image.

Views: [B, 2, H, W, C] float.
"""

import flax.linen as nn
import jax

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params
from jax_ssl.losses.prediction import output_std
from jax_ssl.losses.triplet import Mining, check_triplet
from jax_ssl.losses.triplet import triplet as triplet_loss
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState


def triplet(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
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
        heads: modules in the place of those made here, by the name of their part.
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
    checks.at_least(1, head_layers=head_layers)
    widths = (hidden_dim,) * (head_layers - 1) + (output_dim,)
    net = Network.of(encoder, heads, projector=mlp_after(encoder, widths))

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        out, stats = net.together(params, state.stats, views)
        z = out["projector"]  # [B, 2, D]
        value, metrics = triplet_loss(z, margin=margin, mining=mining)
        spread = output_std(jax.lax.stop_gradient(z))
        return value, (StatsState(stats), {**metrics, "output_std": spread})

    kept = net.evaluated("projector", chance=margin)
    return Method(views=views, init=net.init_pair, loss=loss, **kept)
