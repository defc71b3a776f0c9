"""Exemplar-CNN: which image is it? (Dosovitskiy et al., 2014, arXiv:1406.6909).

Every image of the data set is a surrogate class, its random transformations are the
class's examples, and a classifier on the encoder names the class.

Views: {"image": [B, H, W, C] float, "index": [B] int32, row in the data set}.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
import optax

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params, Views
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState
from jax_ssl.nn.views import one_and


def exemplar(
    encoder: nn.Module,
    views: ViewFn,
    num_examples: int,
    heads: Heads | None = None,
    *,
    dropout: float = 0.5,
) -> Method:
    """Builds Exemplar-CNN around `encoder`.

    The seeds are the examples of the data set, so that `data.split` says how many there
    are: the paper has up to 32,000 and finds 8,000 enough, for more of them are more
    alike and cannot be told apart. The classifier has a row for each, on a mesh with
    "fsdp" split over its devices.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the classifier.
        views: one example -> {"image": [H, W, C], "index": []}.
        num_examples: N, surrogate classes.
        heads: modules in the place of those made here, by the name of their part.
        dropout: share of the features that the classifier does not see, in [0, 1).

    Raises:
        ValueError: if a number is out of its range.
    """
    checks.within("[0, 1)", dropout=dropout)
    checks.at_least(2, num_examples=num_examples)
    head = mlp_after(encoder, (num_examples,), norm="none", dropout=dropout)
    net = Network.of(encoder, heads, classifier=head)

    def init(key: Array, views: Views) -> tuple[Params, StatsState]:
        images, _ = one_and("index", views, "exemplar")
        params, stats = net.init(key, images)
        return params, StatsState(stats)

    def loss(
        params: Params, state: StatsState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del step
        seeds = views["index"]
        rngs = {"dropout": key}
        out, stats = net(params, state.stats, views["image"], rngs=rngs)
        logits = out["classifier"].astype(jnp.float32)  # [B, N]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, seeds)
        accuracy = (logits.argmax(-1) == seeds).mean()
        return losses.mean(), (StatsState(stats), {"exemplar_accuracy": accuracy})

    kept = net.evaluated(chance=math.log(num_examples))
    return Method(views=views, init=init, loss=loss, **kept)
