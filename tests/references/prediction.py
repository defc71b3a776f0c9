"""Losses of BYOL and SimSiam with their gradients, in float64, row by row."""

import numpy as np


def cosine(p, z):
    """Mean cosine of the rows [n, D], and its gradient in p."""
    p, z = np.asarray(p, np.float64), np.asarray(z, np.float64)
    total, gradient = 0.0, np.zeros_like(p)
    for i in range(len(p)):
        length, target = np.sqrt(p[i] @ p[i]), z[i] / np.sqrt(z[i] @ z[i])
        unit = p[i] / length
        total += unit @ target
        gradient[i] = (target - unit * (unit @ target)) / length
    return total / len(p), gradient / len(p)


def negative_cosine(p, z):
    """SimSiam's equation 1."""
    value, gradient = cosine(p, z)
    return -value, -gradient


def normalized_mse(p, z):
    """BYOL's equation 2, as the distance."""
    p, z = np.asarray(p, np.float64), np.asarray(z, np.float64)
    total = 0.0
    for a, b in zip(p, z, strict=True):
        total += np.sum((a / np.sqrt(a @ a) - b / np.sqrt(b @ b)) ** 2)
    return total / len(p), -2 * cosine(p, z)[1]


def softmax(scores):
    """Of the last axis."""
    x = np.exp(scores - scores.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def labelled_cross_entropy(logits, labels):
    """Mean over the rows whose label is not negative, and its gradient."""
    logits = np.asarray(logits, np.float64)
    known = [i for i in range(len(labels)) if labels[i] >= 0]
    total, gradient = 0.0, np.zeros_like(logits)
    for i in known:
        p = softmax(logits[i])
        total -= np.log(p[labels[i]])
        gradient[i] = p
        gradient[i, labels[i]] -= 1
    return total / max(len(known), 1), gradient / max(len(known), 1)


def probability_mse(logits, teacher):
    """Mean over rows and classes of the squared difference, and its gradient."""
    logits, teacher = np.asarray(logits, np.float64), np.asarray(teacher, np.float64)
    total, gradient = 0.0, np.zeros_like(logits)
    for i in range(len(logits)):
        p, q = softmax(logits[i]), softmax(teacher[i])
        total += np.sum((p - q) ** 2)
        jacobian = np.diag(p) - np.outer(p, p)
        gradient[i] = jacobian @ (2 * (p - q))
    return total / logits.size, gradient / logits.size


def softened_kl(logits, teacher, temperature):
    """Hinton's soft targets with T², row by row, and the gradient T (p - q) / B."""
    logits, teacher = np.asarray(logits, np.float64), np.asarray(teacher, np.float64)
    total, gradient = 0.0, np.zeros_like(logits)
    for i in range(len(logits)):
        p, q = softmax(logits[i] / temperature), softmax(teacher[i] / temperature)
        total += temperature**2 * np.sum(q * (np.log(q) - np.log(p)))
        gradient[i] = temperature * (p - q)
    return total / len(logits), gradient / len(logits)
