"""DeepCluster (Caron et al., 2018, arXiv:1807.05520).

Between epochs the features of all images are clustered by k-means; during an epoch the
network learns to tell the clusters apart, with a new classifier each time.

Views: {"image": [B, H, W, C] float, "index": [B] int32, row in the data set}.
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from jax_ssl.core import checks
from jax_ssl.core.method import Method, Refresh, ViewFn
from jax_ssl.core.types import Array, Batch, Features, Metrics, Params, Views
from jax_ssl.nn.apply import initialize
from jax_ssl.nn.heads import LinearHead
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network
from jax_ssl.nn.views import one_and
from jax_ssl.ops import stencils
from jax_ssl.ops.kmeans import kmeans
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.ops.partitions import (
    cluster_sizes,
    mutual_information,
    partition_entropy,
    partition_metrics,
)
from jax_ssl.ops.whitening import pca_whiten


class DeepClusterState(NamedTuple):
    """State that DeepCluster carries beside its params."""

    stats: Any  # Running statistics of encoder and projector.
    labels: Array  # [N] int32, cluster of every image.
    sizes: Array  # [K] int32, images of every cluster.
    shared: Array  # [] mutual information of the last two clusterings, in [0, 1].


class GradientEncoder(nn.Module):
    """An encoder that sees the gradients of a grey image, 2 channels, for its colours.

    Attributes:
        encoder: returns `Features`.
    """

    encoder: nn.Module

    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to the features of their `sobel` [B, H, W, 2]."""
        return self.encoder(stencils.sobel(x), train=train)


def deepcluster(
    encoder: nn.Module,
    views: ViewFn,
    num_examples: int,
    heads: Heads | None = None,
    *,
    num_clusters: int = 10_000,
    hidden_dims: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
    sobel: bool = True,
    components: int = 256,
    iterations: int = 20,
    every_epochs: int = 1,
) -> Method:
    """Builds DeepCluster around `encoder`; settings as in the paper.

    What is clustered are the features before the last ReLU, in evaluation mode, of
    un-augmented images: their first principal components, whitened and scaled to unit
    length. A new clustering gives its clusters other names, so that the classifier and
    its optimizer slots start afresh.

    The paper draws images uniformly over the clusters that are not empty, lest one
    huge cluster teach the network a constant. Here images are drawn uniformly and their
    losses weighted by N / (K' nₖ), K' clusters that are not empty and nₖ images in the
    own one: the same objective in expectation, and nothing is asked of the data feed.
    Its variance is larger: where clusters are of very different size, one image of a
    cluster of its own weighs as much as N / K' others together.

    Args:
        encoder: returns `Features`; evaluation keeps it, with the gradients before it.
        views: one example -> {"image": [H, W, C], "index": []}.
        num_examples: N, images of the data set.
        heads: modules in the place of those made here, by the name of their part.
        num_clusters: K, at least 2.
        hidden_dims: widths of the dense layers between encoder and classifier, the two
            of AlexNet and VGG; () clusters the encoder's pooled features.
        dropout: before each of them, in [0, 1).
        sobel: the encoder sees the gradients of a grey image.
        components: principal components, at most; 256 in the released code.
        iterations: of `kmeans`.
        every_epochs: how often images are clustered anew.

    Raises:
        ValueError: if a number is out of its range.

    Note:
        In the released code the classifier has an optimizer of its own, without
        momentum; here all parameters share one.

        That code draws the weights of the hidden layers from N(0, 0.01²), here their
        variance is 1 / inputs: about the same at AlexNet's widths, and at others no
        layer starts too small to learn.

        Encoders whose pooled features are means of a ReLU, such as ResNets, have no
        last layer before it to cluster, unless `hidden_dims` gives one.
    """
    checks.at_least(2, num_clusters=num_clusters)
    checks.at_least(
        1, components=components, iterations=iterations, every_epochs=every_epochs
    )
    checks.within("[0, 1)", dropout=dropout)
    checks.rising(num_clusters=num_clusters, num_examples=num_examples)
    dtype = getattr(encoder, "dtype", jnp.float32)
    net = Network.of(
        GradientEncoder(encoder) if sobel else encoder,
        heads,
        projector=mlp_after(encoder, hidden_dims, norm="none", dropout=dropout),
        classifier=LinearHead(num_clusters, 0.01, relu=bool(hidden_dims), dtype=dtype),
    )

    def init(key: Array, views: Views) -> tuple[Params, DeepClusterState]:
        images, _ = one_and("index", views, "deepcluster")
        params, stats = net.init(key, images)
        # Of no meaning until the first clustering, but equally large.
        labels = jnp.arange(num_examples, dtype=jnp.int32) % num_clusters
        sizes = cluster_sizes(labels, num_clusters)
        return params, DeepClusterState(stats, labels, sizes, jnp.zeros(()))

    def loss(
        params: Params,
        state: DeepClusterState,
        views: Views,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, tuple[DeepClusterState, Metrics]]:
        del step
        rngs = {"dropout": key}
        out, stats = net(params, state.stats, views["image"], rngs=rngs)
        logits, labels = out["classifier"], state.labels[views["index"]]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        used = jnp.sum(state.sizes > 0)
        weights = num_examples / (used * jnp.maximum(state.sizes[labels], 1))
        metrics = {
            "assignment_accuracy": jnp.mean(logits.argmax(1) == labels),
            "prototype_entropy": partition_entropy(state.sizes),
            "mutual_information": lax.stop_gradient(state.shared),
        }
        return jnp.mean(weights * losses), (state._replace(stats=stats), metrics)

    kept = net.evaluated(
        "projector", chance=math.log(num_clusters), prototypes=num_clusters
    )

    def embed(params: Params, state: DeepClusterState, batch: Batch) -> Array:
        return kept["health"].project(params, state, batch["view"])

    def fit(
        params: Params, state: DeepClusterState, features: Array, key: Array
    ) -> tuple[Params, DeepClusterState, Metrics]:
        cluster_key, classifier_key = jax.random.split(key)
        white = pca_whiten(features, components, num_rows=num_examples)
        labels, _ = kmeans(
            cluster_key,
            l2_normalize(white),
            num_clusters,
            iterations=iterations,
            num_rows=num_examples,
        )
        labels = labels[:num_examples]
        sizes = cluster_sizes(labels, num_clusters)
        shared = mutual_information(labels, state.labels)
        state = DeepClusterState(state.stats, labels, sizes, shared)
        fresh, _ = initialize(net.parts["classifier"], classifier_key, features[:1])
        return {**params, "classifier": fresh}, state, partition_metrics(sizes, shared)

    refresh = Refresh(
        embed=embed, fit=fit, resets=("classifier",), every_epochs=every_epochs
    )
    return Method(views=views, init=init, loss=loss, refresh=refresh, **kept)
