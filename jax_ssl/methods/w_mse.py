"""W-MSE (Ermolov et al., 2021, arXiv:2007.06346).

The embeddings of a batch are whitened, so that they cannot collapse; what is left to do
is to bring the views of an image together, by a plain squared error.

Views: [B, V, H, W, C] float, V of 2 or more.
"""

from typing import Literal

import flax.linen as nn
import jax

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params
from jax_ssl.losses import redundancy
from jax_ssl.losses.prediction import output_std
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState
from jax_ssl.nn.views import stack


def w_mse(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    sub_batch_size: int = 128,
    iterations: int = 1,
    distance: Literal["cosine", "euclidean"] = "cosine",
    shrinkage: float = 0.0,
    hidden_dim: int = 1024,
    output_dim: int = 64,
) -> Method:
    """Builds W-MSE around `encoder`; settings as in the released code.

    The projector is a dense layer, batch norm, ReLU and a dense layer. Each step cuts
    the batch at random into sub-batches, the same ones in every view, and whitens every
    view of each by itself.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the projector.
        views: one example -> [V, H, W, C]; the paper has 2 and 4.
        heads: modules in the place of those made here, by the name of their part.
        sub_batch_size: images whitened together, W; at least twice `output_dim`. 128
            for CIFAR-10 and 100, 256 for the larger images.
        iterations: random partitions that a step averages. The released code's runs
            have 1, but for two views of STL-10 and Tiny ImageNet, which have 4.
        distance: of whitened embeddings, "cosine" (unit vectors) or "euclidean".
        shrinkage: ε, share of the identity in every covariance; 0 in the paper.
        hidden_dim: width of the projector's inner layer.
        output_dim: D, width of the embeddings; 64 for CIFAR-10, 128 for the larger
            images.

    Raises:
        ValueError: if there is no iteration, or sub-batches cannot be whitened or do
            not fit the batch (the latter when it is seen).

    Note:
        As in the released code, the encoder's batch norm sees the views one after the
        other and the projector's sees all of them together. Its last layer has a bias,
        which whitening takes away again.
    """
    checks.at_least(1, iterations=iterations)
    if sub_batch_size <= output_dim and shrinkage == 0:
        raise ValueError(
            f"sub_batch_size = {sub_batch_size} is too small to whiten output_dim = "
            f"{output_dim} features; use {2 * output_dim} or more."
        )
    projector = mlp_after(
        encoder, (hidden_dim, output_dim), use_bias=False, kernel_init=TORCH_UNIFORM
    )
    net = Network.of(encoder, heads, projector=projector)

    def init(key: Array, views: Array) -> tuple[Params, StatsState]:
        if stack(views).shape[0] % sub_batch_size:
            raise ValueError(
                f"a batch of {views.shape[0]} images cannot be cut into sub-batches of "
                f"{sub_batch_size}; choose method.sub_batch_size to divide it."
            )
        params, stats = net.init(key, views[:, 0])
        return params, StatsState(stats)

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del step
        one_by_one = [views[:, v, None] for v in range(views.shape[1])]
        out, stats = net.crops(params, state.stats, one_by_one)
        z = out["projector"]  # [B, V, D]
        orders = jax.vmap(lambda key: jax.random.permutation(key, len(z)))(
            jax.random.split(key, iterations)
        )
        value = redundancy.w_mse(
            z, orders, size=sub_batch_size, distance=distance, shrinkage=shrinkage
        )
        metrics = {"output_std": output_std(jax.lax.stop_gradient(z))}
        return value, (StatsState(stats), metrics)

    # The doctor looks before whitening, which would hide a collapse and mix the rows.
    kept = net.evaluated("projector")
    return Method(views=views, init=init, loss=loss, **kept)
