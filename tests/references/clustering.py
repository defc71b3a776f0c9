"""Clustering in float64: Lloyd's iterations, components, shared information."""

import math

import numpy as np


def nearest(x, centers):
    """Number of each row's nearest centre."""
    return np.array(
        [np.argmin([np.square(row - center).sum() for center in centers]) for row in x]
    )


def lloyd(x, centers, iterations, spherical=False):
    """(labels, centres) after so many iterations; empty clusters keep their centre."""
    x, centers = np.float64(x), np.float64(centers)
    for _ in range(iterations):
        labels = nearest(x, centers)
        moved = centers.copy()
        for k in range(len(centers)):
            mine = x[labels == k]
            if len(mine):
                moved[k] = mine.mean(0)
        if spherical:
            moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        centers = moved
    return nearest(x, centers), centers


def cost(x, labels, centers):
    """Sum of the squared distances to the own centre."""
    return np.square(np.float64(x) - np.float64(centers)[labels]).sum()


def components(x, dim):
    """Projector [D, D] onto the first principal components, by singular values."""
    centred = np.float64(x) - np.float64(x).mean(0)
    right = np.linalg.svd(centred)[2][:dim]
    return right.T @ right


def entropy(labels):
    """In nats."""
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return -sum(p * math.log(p) for p in shares)


def mutual_information(a, b):
    """I(A; B) / sqrt(H(A) H(B)), cell by cell of the contingency table."""
    n, total = len(a), 0.0
    for i in set(a):
        for j in set(b):
            both = np.sum((a == i) & (b == j)) / n
            if both:
                alone = np.mean(a == i) * np.mean(b == j)
                total += both * math.log(both / alone)
    return total / math.sqrt(entropy(a) * entropy(b))


def cross_entropies(logits, labels):
    """-log softmax(logits)[label] of every row."""
    logits = np.float64(logits)
    top = logits.max(1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    return -logs[np.arange(len(labels)), labels]
