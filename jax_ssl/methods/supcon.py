"""Supervised contrastive learning, SupCon (Khosla et al., 2020, arXiv:2004.11362).

SimCLR with labels: all views of all images of one class are pulled together, and pushed
away from those of other classes in the global batch. It is no learner without labels.

Views: {"image": [B, 2, ...] float, "label": [B] int32}.
"""

import math

import flax.linen as nn

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params, Views
from jax_ssl.losses.contrastive import Form, check_form
from jax_ssl.losses.supcon import Mean, check_mean, supervised_contrastive
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState
from jax_ssl.nn.views import pair_and


def supcon(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    temperature: float = 0.1,
    mean: Mean = "outside",
    scale: float = 1.0,
    hidden_dim: int = 2048,
    output_dim: int = 128,
    similarity: Form = "auto",
) -> Method:
    """Builds SupCon around `encoder`; settings as in the paper.

    The projector is a dense layer, ReLU and a dense layer, with biases and without
    batch norm. A linear probe of the encoder, or k-NN, makes a classifier of it.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the projector.
        views: one example -> {"image": two views of it, "label": [] int32}.
        heads: modules in the place of those made here, by the name of their part.
        temperature: τ, positive.
        mean: "outside" for the paper's L_out, which it finds better by far, or "inside"
            for L_in; see `losses.supcon`.
        scale: factor of the loss; the authors' codes have temperature / 0.07 (PyTorch)
            and the temperature (TensorFlow).
        hidden_dim: width of the projector's inner layer.
        output_dim: D, width of the projections.
        similarity: "gather", "ring" or "auto", the form of the loss. It decides over
            memory and communication and changes nothing else.
    """
    checks.positive(temperature=temperature, scale=scale)
    check_mean(mean)
    check_form(similarity, "similarity")
    projector = mlp_after(encoder, (hidden_dim, output_dim), norm="none")
    net = Network.of(encoder, heads, projector=projector)

    def init(key: Array, views: Views) -> tuple[Params, StatsState]:
        images, _ = pair_and("label", views, "supcon")
        return net.init_pair(key, images)

    def loss(
        params: Params, state: StatsState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        images, labels = views["image"], views["label"]
        checks.several_rows(len(images), "supcon")
        out, stats = net.together(params, state.stats, images)
        value, accuracy = supervised_contrastive(
            out["projector"],
            labels,
            temperature=temperature,
            mean=mean,
            form=similarity,
        )
        return scale * value, (StatsState(stats), {"contrastive_accuracy": accuracy})

    def chance(batch_size: int) -> float:
        return scale * math.log(2 * batch_size - 1)

    kept = net.evaluated("projector", chance=chance)
    return Method(views=views, init=init, loss=loss, **kept)
