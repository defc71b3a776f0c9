"""Linear classifiers by hand: the loss, one Nesterov trajectory, the scaling."""

import numpy as np


def cross_entropy(x, y, kernel, bias):
    """Mean cross-entropy and its gradients in kernel and bias."""
    logits = np.asarray(x, np.float64) @ kernel + bias
    logits = logits - logits.max(1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    value = -np.log(p[np.arange(len(y)), y]).mean()
    p[np.arange(len(y)), y] -= 1
    return value, x.T @ p / len(y), p.mean(0)


def standardize(x):
    """Columns of mean 0 and standard deviation 1; constant columns become 0."""
    x = np.asarray(x, np.float64)
    std = x.std(0)
    return np.where(std > 0, (x - x.mean(0)) / np.where(std > 0, std, 1), 0)


def full_batch_sgd(x, y, num_classes, rate, decay, steps, momentum=0.9):
    """Nesterov SGD from zero on all rows at once, cosine schedule.

    Velocity v = m v + g, step w = w - rate (g + m v), with the new v (Sutskever et
    al., 2013, in the form in which the gradient is taken where the weights are).
    """
    x = np.asarray(x, np.float64)
    weights = [np.zeros((x.shape[1], num_classes)), np.zeros(num_classes)]
    velocity = [np.zeros_like(w) for w in weights]
    losses = []
    for t in range(steps):
        now = rate * 0.5 * (1 + np.cos(np.pi * t / steps))
        value, by_kernel, by_bias = cross_entropy(x, y, *weights)
        losses.append(value)
        for i, gradient in enumerate((by_kernel + decay * weights[0], by_bias)):
            velocity[i] = momentum * velocity[i] + gradient
            weights[i] = weights[i] - now * (gradient + momentum * velocity[i])
    return weights, losses
