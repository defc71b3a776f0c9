"""The judge of both entrants: the weighted k-NN vote on saved features, in NumPy.

As `jax_ssl.evaluate.knn`, of which it imports nothing: cosine similarity s, a vote of
exp(s / temperature) from each of the k nearest, the lowest label among equals.
"""

import numpy as np

AT_ONCE = 500  # Queries whose similarities are in memory together.


def accuracy(bank, known, queries, labels, *, k=200, temperature=0.1):
    """The share of queries whose class the bank finds; arguments as of `hits`."""
    found = hits(bank, known, queries, labels, k=k, temperature=temperature)
    return int(found.sum()) / len(found)


def hits(bank, known, queries, labels, *, k=200, temperature=0.1):
    """[m] bool, of which of the queries [m, D] the bank [n, D] finds the class.

    Args:
        bank: float features of training images.
        known: [n] int, their classes.
        queries: float features.
        labels: [m] int, their classes.
        k: neighbours that vote, at most n.
        temperature: positive.

    Raises:
        ValueError: if a feature is not finite, or there are fewer than k in the bank.
    """
    if not (np.isfinite(bank).all() and np.isfinite(queries).all()):
        raise ValueError("features are not finite; the run has diverged.")
    if k > len(bank):
        raise ValueError(f"k = {k} is more than the {len(bank)} features of the bank.")
    bank, queries = unit(bank), unit(queries)
    classes = np.arange(max(known.max(), labels.max()) + 1)
    found = []
    for start in range(0, len(queries), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        similar = queries[rows] @ bank.T
        near = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        cosines = np.take_along_axis(similar, near, axis=1).astype(np.float64)
        weights = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / temperature)
        votes = (weights[:, :, None] * (known[near][:, :, None] == classes)).sum(axis=1)
        found.append(votes.argmax(axis=1) == labels[rows])
    return np.concatenate(found)


def unit(features):
    """Rows of length 1, float32; a row of zeros stays."""
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
