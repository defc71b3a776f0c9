"""ClusterFit (Yan et al., 2020, arXiv:1912.03330).

The features that a network of another run has of all images are clustered once by
k-means, and a new network learns from scratch to tell the clusters apart.

Views: {"image": [B, H, W, C] float, "index": [B] int32, row in the data set}.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core import checks
from jax_ssl.core.method import Load, Method, Refresh, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params, Variables, Views
from jax_ssl.nn.apply import initialize
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Copy, Heads, Network
from jax_ssl.nn.views import one_and
from jax_ssl.ops.kmeans import kmeans
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.ops.partitions import cluster_sizes, partition_entropy, partition_metrics


class ClusterFitState(NamedTuple):
    """State that ClusterFit carries beside its params."""

    stats: Any  # Running statistics of the encoder.
    teacher: Copy  # The network whose features are clustered; it never moves.
    labels: Array  # [N] int32, cluster of every image.
    sizes: Array  # [K] int32, images of every cluster.


def clusterfit(
    encoder: nn.Module,
    views: ViewFn,
    num_examples: int,
    make_encoder: Callable[[Mapping[str, Any]], Any],
    heads: Heads | None = None,
    *,
    teacher: dict,
    num_clusters: int = 16_000,
    iterations: int = 50,
    unit: bool = True,
) -> Method:
    """Builds ClusterFit around `encoder`, which starts from scratch.

    The file of the network whose features are clustered is the encoder that any run
    exports, and is named by run.init_from = dict(teacher=RUN/export/encoder.npz). It
    sees each image through `evals.view`, in evaluation mode, before the first step.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the classifier.
        views: one example -> {"image": [H, W, C], "index": []}.
        num_examples: N, images of the data set.
        make_encoder: section of a config -> encoder, for the teacher's.
        heads: modules in the place of those made here, by the name of their part.
        teacher: the section of its encoder, dict(name="resnet50", ...); it may have
            another architecture.
        num_clusters: K, at least 2; 16,000 for ImageNet in the released code.
        iterations: of `kmeans`.
        unit: features are scaled to unit length before they are clustered.

    Raises:
        ValueError: if a number is out of its range.

    Note:
        The state holds the teacher to the end of the run, although nothing reads it
        after the first step: a run that is resumed before it needs no file.
    """
    checks.at_least(2, num_clusters=num_clusters)
    checks.at_least(1, iterations=iterations)
    checks.rising(num_clusters=num_clusters, num_examples=num_examples)
    elder = make_encoder(teacher)
    head = mlp_after(encoder, (num_clusters,), norm="none")
    net = Network.of(encoder, heads, classifier=head)

    def init(key: Array, views: Views) -> tuple[Params, ClusterFitState]:
        images, _ = one_and("index", views, "npid")
        params, stats = net.init(key, images)
        # Only its shapes matter, for the file of the teacher takes its place.
        known = Copy(*initialize(elder, jax.random.fold_in(key, 1), images))
        # Of no meaning until the clustering, but equally large.
        labels = jnp.arange(num_examples, dtype=jnp.int32) % num_clusters
        sizes = cluster_sizes(labels, num_clusters)
        return params, ClusterFitState(stats, known, labels, sizes)

    def loss(
        params: Params,
        state: ClusterFitState,
        views: Views,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, tuple[ClusterFitState, Metrics]]:
        del key, step
        out, stats = net(params, state.stats, views["image"])
        logits = out["classifier"].astype(jnp.float32)  # [B, K]
        labels = state.labels[views["index"]]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        metrics = {
            "assignment_accuracy": jnp.mean(logits.argmax(-1) == labels),
            "prototype_entropy": partition_entropy(state.sizes),
        }
        return losses.mean(), (state._replace(stats=stats), metrics)

    def variables_of(params: Params, state: ClusterFitState) -> Variables:
        del params
        return {"params": state.teacher.params, **state.teacher.stats}

    def fill(
        params: Params, state: ClusterFitState, variables: Variables
    ) -> tuple[Params, ClusterFitState]:
        stats = dict(variables)
        return params, state._replace(teacher=Copy(stats.pop("params"), stats))

    def embed(params: Params, state: ClusterFitState, batch: Batch) -> Array:
        known = variables_of(params, state)
        features: Array = elder.apply(known, batch["view"], train=False).pooled
        return l2_normalize(features) if unit else features

    def fit(
        params: Params, state: ClusterFitState, features: Array, key: Array
    ) -> tuple[Params, ClusterFitState, Metrics]:
        labels, _ = kmeans(
            key, features, num_clusters, iterations=iterations, num_rows=num_examples
        )
        labels = labels[:num_examples]
        sizes = cluster_sizes(labels, num_clusters)
        metrics = partition_metrics(sizes, jnp.zeros(()))
        del metrics["mutual_information"]  # There is no clustering before.
        return params, state._replace(labels=labels, sizes=sizes), metrics

    kept = net.evaluated(
        chance=math.log(num_clusters), prototypes=num_clusters, followers=()
    )
    known = Load(variables_of, fill, required=True, export="encoder")
    kept["loads"]["teacher"] = known
    refresh = Refresh(embed=embed, fit=fit, every_epochs=None)
    return Method(views=views, init=init, loss=loss, refresh=refresh, **kept)
