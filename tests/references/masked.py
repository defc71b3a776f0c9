"""MAE's target and loss with its gradient, in float64, patch by patch."""

import numpy as np


def standardized(patches, epsilon=1e-6):
    """Each patch [P] less its mean, over the root of its unbiased variance."""
    patches = np.asarray(patches, np.float64)
    out = np.zeros_like(patches)
    for b, n in np.ndindex(patches.shape[:2]):
        values = patches[b, n]
        mean = values.sum() / len(values)
        variance = ((values - mean) ** 2).sum() / (len(values) - 1)
        out[b, n] = (values - mean) / np.sqrt(variance + epsilon)
    return out


def masked_mse(prediction, target, mask):
    """Mean over the masked patches of the mean square, and its gradient."""
    prediction, target = np.asarray(prediction, float), np.asarray(target, float)
    total, masked = 0.0, 0
    gradient = np.zeros_like(prediction)
    for b, n in np.ndindex(mask.shape):
        if mask[b, n]:
            difference = prediction[b, n] - target[b, n]
            total += (difference**2).sum() / len(difference)
            gradient[b, n] = 2 * difference / len(difference)
            masked += 1
    return total / masked, gradient / masked
