"""DeepCluster-v2 (Caron et al., 2020, arXiv:2006.09882, the SwAV paper).

Every crop of an image predicts the clusters to which the image was assigned at the
start of the epoch, by spherical k-means on the embeddings that the epoch before left in
memory. The centres of the clusters are the classifier.

Views: {"global": [B, 2, H, W, C], "local": [B, L, h, w, C], ...} float, the local crops
may be missing; "index": [B] int32, row in the data set.
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
from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array, Batch, Metrics, Params, Views
from jax_ssl.losses.instance import new_bank, remember
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Heads, Network
from jax_ssl.nn.views import crops_and
from jax_ssl.ops.kmeans import kmeans
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.ops.partitions import (
    cluster_sizes,
    mutual_information,
    partition_entropy,
    partition_metrics,
)
from jax_ssl.ops.queue import random_queue


class DeepClusterV2State(NamedTuple):
    """State that DeepCluster-v2 carries beside its params."""

    stats: Any  # Running statistics of encoder and projector.
    banks: tuple[Array, ...]  # [N or a few more, D] of each global crop, unit rows.
    prototypes: Array  # [heads, K, D] unit rows.
    labels: Array  # [heads, N] int32, cluster of every image.
    sizes: Array  # [heads, K] int32, images of every cluster.
    shared: Array  # [] mutual information of the last two clusterings, in [0, 1].


def deepcluster_v2(
    encoder: nn.Module,
    views: ViewFn,
    num_examples: int,
    heads: Heads | None = None,
    *,
    num_prototypes: int = 3000,
    num_heads: int = 3,
    temperature: float = 0.1,
    iterations: int = 10,
    hidden_dim: int = 2048,
    output_dim: int = 128,
) -> Method:
    """Builds DeepCluster-v2 around `encoder`; settings as in the appendix.

    There are several clusterings at a time, from different first centres. Head h
    clusters the embeddings of the global crop h mod 2. No gradient moves the
    prototypes.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the projector. With
            local crops it must take images of several sizes.
        views: one example -> {"global": [2, H, W, C], "local": ..., "index": []}.
        num_examples: N, images of the data set.
        heads: modules in the place of those made here, by the name of their part.
        num_prototypes: K, clusters of each head, at least 2.
        num_heads: clusterings.
        temperature: of the softmax over prototypes, positive.
        iterations: of `kmeans`.
        hidden_dim: width of the projector's inner layer.
        output_dim: D, width of embeddings and prototypes.

    Raises:
        ValueError: if a number is out of its range.

    Note:
        The loss is the mean over heads, crops and images, as in the released code
        (facebookresearch/swav: main_deepclusterv2.py), which also leaves the centre of
        an empty cluster where it was.

        That code fills the memory for the first epoch with augmented crops in training
        mode, here it gets the evaluation's view in evaluation mode.

        That code clusters the images of the epoch before, and skips in the loss those
        that the last, incomplete batch of it would have held. Here they are clustered
        by older embeddings.
    """
    checks.at_least(2, num_prototypes=num_prototypes)
    checks.at_least(1, num_heads=num_heads, iterations=iterations)
    checks.positive(temperature=temperature)
    checks.rising(num_prototypes=num_prototypes, num_examples=num_examples)
    projector = mlp_after(encoder, (hidden_dim, output_dim), kernel_init=TORCH_UNIFORM)
    net = Network.of(encoder, heads, projector=projector)

    def init(key: Array, views: Views) -> tuple[Params, DeepClusterV2State]:
        (crops, *_), _ = crops_and("index", views)
        key, prototypes_key, bank_key = jax.random.split(key, 3)
        params, stats = net.init(key, crops[:, 0])
        prototypes = random_queue(
            prototypes_key, num_heads * num_prototypes, output_dim
        )
        # Of no meaning until the first clustering, but equally large.
        labels = jnp.arange(num_heads)[:, None] + jnp.arange(num_examples)
        labels = labels.astype(jnp.int32) % num_prototypes
        state = DeepClusterV2State(
            stats=stats,
            banks=tuple(
                new_bank(bank_key, num_examples, output_dim)
                for bank_key in jax.random.split(bank_key, crops.shape[1])
            ),
            prototypes=prototypes.reshape(num_heads, num_prototypes, output_dim),
            labels=labels,
            sizes=sizes_of(labels),
            shared=jnp.zeros(()),
        )
        return params, state

    def loss(
        params: Params,
        state: DeepClusterV2State,
        views: Views,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, tuple[DeepClusterV2State, Metrics]]:
        del key, step
        stacks, index = crops_and("index", views)
        out, stats = net.crops(params, state.stats, stacks)
        z = l2_normalize(out["projector"])  # [B, V, D]
        prototypes = lax.stop_gradient(state.prototypes)
        scores = einsum("bvd,hkd->bvhk", z, prototypes)
        labels = state.labels[:, index].T[:, None]  # [B, 1, heads]
        losses = optax.softmax_cross_entropy_with_integer_labels(
            scores / temperature, jnp.broadcast_to(labels, scores.shape[:3])
        )
        banks = tuple(
            remember(bank, index, z[:, crop], momentum=0.0)
            for crop, bank in enumerate(state.banks)
        )
        metrics = {
            "assignment_accuracy": jnp.mean(scores.argmax(-1) == labels),
            "prototype_entropy": partition_entropy(state.sizes).mean(),
            "mutual_information": lax.stop_gradient(state.shared),
        }
        return losses.mean(), (state._replace(stats=stats, banks=banks), metrics)

    def sizes_of(labels: Array) -> Array:  # [heads, N] -> [heads, K]
        return jax.vmap(lambda row: cluster_sizes(row, num_prototypes))(labels)

    kept = net.evaluated(
        "projector", chance=math.log(num_prototypes), prototypes=num_prototypes
    )

    def embed(params: Params, state: DeepClusterV2State, batch: Batch) -> Array:
        z = l2_normalize(kept["health"].project(params, state, batch["view"]))
        return jnp.stack([z] * len(state.banks), axis=1)  # [B, crops, D]

    def recall(state: DeepClusterV2State) -> Array:
        return jnp.stack(state.banks, axis=1)

    def fit(
        params: Params, state: DeepClusterV2State, features: Array, key: Array
    ) -> tuple[Params, DeepClusterV2State, Metrics]:
        labels, prototypes = [], []
        for head in range(num_heads):
            own, centers = kmeans(
                jax.random.fold_in(key, head),
                features[:, head % len(state.banks)],
                num_prototypes,
                iterations=iterations,
                num_rows=num_examples,
                spherical=True,
                empty="keep",
            )
            labels.append(own[:num_examples])
            prototypes.append(centers)
        after = jnp.stack(labels)
        sizes = sizes_of(after)
        shared = jax.vmap(mutual_information)(after, state.labels)
        known = features[:num_examples]
        state = state._replace(
            banks=tuple(
                bank.at[:num_examples].set(known[:, crop])
                for crop, bank in enumerate(state.banks)
            ),
            prototypes=jnp.stack(prototypes),
            labels=after,
            sizes=sizes,
            shared=shared.mean(),
        )
        return params, state, partition_metrics(sizes, shared)

    refresh = Refresh(embed=embed, fit=fit, recall=recall)
    return Method(views=views, init=init, loss=loss, refresh=refresh, **kept)
