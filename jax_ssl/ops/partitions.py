"""Partitions of a set into clusters: sizes, entropy, and what two of them share."""

import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core.types import Array


def cluster_sizes(labels: Array, num_clusters: int) -> Array:
    """Members of every cluster, [K] int32, of labels [N] in 0 ... K - 1."""
    return jnp.zeros(num_clusters, jnp.int32).at[labels].add(1)


def partition_entropy(sizes: Array) -> Array:
    """Entropy of cluster membership, -Σₖ pₖ ln pₖ with p = sizes / Σ sizes.

    Args:
        sizes: [..., K], not all zero.

    Returns:
        [...] float32, nats; ln K where all clusters are equally large.
    """
    share = sizes / sizes.sum(-1, keepdims=True)
    return jax.scipy.special.entr(share).sum(-1)


def partition_metrics(sizes: Array, shared: Array) -> dict[str, Array]:
    """What a clustering of the data set is watched by.

    Args:
        sizes: [..., K] int, members of every cluster.
        shared: [...], mutual information with the clustering before.

    Returns:
        "mutual_information", "prototype_entropy" (of membership, nats),
        "empty_clusters" (how many) and "largest_cluster" (share of all members), [],
        means over the leading axes.
    """
    metrics = {
        "mutual_information": shared,
        "prototype_entropy": partition_entropy(sizes),
        "empty_clusters": jnp.sum(sizes == 0, axis=-1),
        "largest_cluster": sizes.max(-1) / sizes.sum(-1),
    }
    return {name: value.astype(jnp.float32).mean() for name, value in metrics.items()}


def mutual_information(a: Array, b: Array) -> Array:
    """Normalised mutual information of two partitions, I(A; B) / √(H(A) H(B)).

    DeepCluster (Caron et al., 2018, arXiv:1807.05520) measures clusterings so.

    Memory is that of the labels, whatever the number of clusters.

    Args:
        a: [N] int, labels; their names do not matter.
        b: [N] int, likewise.

    Returns:
        [] float32 in [0, 1]: 1 for the same partition under other names, 0 for
        independent ones. Where one has a single cluster: 1 if both have, else 0.
    """
    one, other = _together(a), _together(b)  # [N] each: members of the own cluster.
    both = _together(a, b)
    n = len(a)
    entropies = -jnp.log(one / n).mean() * -jnp.log(other / n).mean()
    information = jnp.log(both / one * (n / other)).mean()
    known = entropies > 0
    value = information / jnp.sqrt(jnp.where(known, entropies, 1.0))
    # A single cluster in each is the same partition.
    alone = (one == n).all() & (other == n).all()
    return jnp.where(known, jnp.clip(value, 0.0, 1.0), alone.astype(jnp.float32))


def _together(*labels: Array) -> Array:
    """How many elements have the labels of this one, [N] float32."""
    n = len(labels[0])
    *named, order = lax.sort((*labels, jnp.arange(n)), num_keys=len(labels))
    new = jnp.zeros(n, bool).at[0].set(True)
    for label in named:
        new = new.at[1:].set(new[1:] | (label[1:] != label[:-1]))
    group = jnp.cumsum(new) - 1
    sizes = cluster_sizes(group, n)
    return jnp.zeros(n).at[order].set(sizes[group].astype(jnp.float32))
