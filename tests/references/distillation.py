"""Losses of DINO, iBOT and KoLeo with their gradients, in float64, term by term."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sharpened(scores, center, temperature):
    return softmax((np.asarray(scores, np.float64) - center) / temperature)


def cross_entropy(logits, targets):
    """Of one pair of vectors, and its gradient in the logits."""
    logits = np.asarray(logits, np.float64)
    logs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    return -targets @ logs, softmax(logits) - targets


def multi_crop(logits, targets):
    """(value, gradient, number of terms) of DINO's equation 3."""
    B, V, _ = logits.shape
    total, terms, gradient = 0.0, 0, np.zeros(logits.shape)
    for i in range(targets.shape[1]):
        for v in range(V):
            if v == i:
                continue
            terms += 1
            for b in range(B):
                value, slope = cross_entropy(logits[b, v], targets[b, i])
                total += value / B
                gradient[b, v] += slope / B
    return total / terms, gradient / terms, terms


def masked(logits, targets, mask):
    """Loss of masked patches, the mean over images of each image's mean."""
    N, M, _ = logits.shape
    total, gradient = 0.0, np.zeros(logits.shape)
    for n in range(N):
        count = max(mask[n].sum(), 1)
        for m in range(M):
            if mask[n, m]:
                value, slope = cross_entropy(logits[n, m], targets[n, m])
                total += value / count / N
                gradient[n, m] = slope / count / N
    return total, gradient


def koleo(x, groups=1):
    """-mean log of the distance to the nearest neighbour, of rows of unit length."""
    x = np.asarray(x, np.float64)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    total = 0.0
    size = len(x) // groups
    for i in range(len(x)):
        start = i // size * size
        distances = [
            np.linalg.norm(unit[i] - unit[j] + 1e-8)
            for j in range(start, start + size)
            if j != i
        ]
        total -= np.log(min(distances) + 1e-8)
    return total / len(x)


def sinkhorn(scores, temperature, iterations=3):
    """Q of the rows given, as DINOv2 makes it of the teacher's scores."""
    q = np.exp(np.asarray(scores, np.float64) / temperature).T
    K, B = q.shape
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(1, keepdims=True) * K
        q /= q.sum(0, keepdims=True) * B
    return (q * B).T


def numeric_gradient(function, x, step=1e-6):
    """Central differences in float64."""
    x = np.asarray(x, np.float64)
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient
