"""Sinkhorn-Knopp, swapped prediction and whitening in float64."""

import numpy as np


def sinkhorn(scores, epsilon, iterations):
    """Divides columns and rows in turn, as SwAV's algorithm 1 of the appendix does."""
    q = np.exp(np.asarray(scores, np.float64) / epsilon)
    B, K = q.shape
    q /= q.sum()
    for _ in range(iterations):
        for k in range(K):
            q[:, k] /= q[:, k].sum() * K
        for b in range(B):
            q[b] /= q[b].sum() * B
    return q * B


def whiten(x, form, shrinkage):
    """Centred rows times the transposed whitening matrix."""
    x = np.asarray(x, np.float64)
    n, D = x.shape
    centred = x - x.mean(0)
    covariance = (1 - shrinkage) * centred.T @ centred / (n - 1)
    covariance += shrinkage * np.eye(D)
    if form == "cholesky":
        matrix = np.linalg.inv(np.linalg.cholesky(covariance))
    else:
        values, vectors = np.linalg.eigh(covariance)
        matrix = vectors @ np.diag(values**-0.5) @ vectors.T
    return centred @ matrix.T


def swapped_prediction(scores, codes, temperature):
    """SwAV's equations 2 and 6 as means, and the gradient in the scores."""
    scores, codes = np.asarray(scores, np.float64), np.asarray(codes, np.float64)
    B, V, K = scores.shape
    T = codes.shape[1]
    value, gradient = 0.0, np.zeros_like(scores)
    for i in range(T):
        for v in range(V):
            if v == i:
                continue
            for b in range(B):
                p = np.exp((scores[b, v] - scores[b, v].max()) / temperature)
                p /= p.sum()
                value -= sum(codes[b, i, k] * np.log(p[k]) for k in range(K))
                gradient[b, v] += (codes[b, i].sum() * p - codes[b, i]) / temperature
    pairs = B * T * (V - 1)
    return value / pairs, gradient / pairs


def codes_with_queue(scores, past, epsilon, iterations):
    """Codes of the batch [B, K] behind the queue's scores [Q, K]."""
    together = np.concatenate([past, scores])
    return sinkhorn(together, epsilon, iterations)[len(past) :]


def shifted(queue, rows):
    """The queue after new rows came in front, as in SwAV's released code."""
    return np.concatenate([rows, queue[: len(queue) - len(rows)]])


def moved_prototypes(prototypes, gradient, rate):
    """A step of gradient descent, then rows of unit length."""
    moved = np.asarray(prototypes, np.float64) - rate * gradient
    return np.stack([row / np.sqrt(row @ row) for row in moved])
