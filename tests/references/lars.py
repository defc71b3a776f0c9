"""LARS in both published forms, float64, one leaf at a time."""

import numpy as np


def run(
    w,
    gradients,
    rates,
    *,
    weight_decay=0.0,
    momentum=0.9,
    trust_coefficient=0.001,
    nesterov=False,
    inside=True,
    excluded=False,
    cap=False,
    summed=False,
):
    """Parameters after every step.

    Args:
        w: first value of one parameter.
        gradients: one array like w per step.
        rates: the learning rate of each step.
        weight_decay: added to the gradient, times w.
        momentum: kept share of the velocity.
        trust_coefficient: factor of the trust ratio.
        nesterov: step along gradient and next velocity.
        inside: learning rate inside the velocity (SimCLR) or outside it (BYOL).
        excluded: no weight decay and no trust ratio.
        cap: the trust ratio is at most one over the learning rate.
        summed: the norms of gradient and decay are added up, and what has no trust
            ratio is not decayed (NVIDIA's LARC).
    """
    w = np.array(w, np.float64)
    v = np.zeros_like(w)
    trace = []
    for g, rate in zip(gradients, rates, strict=True):
        g = np.array(g, np.float64)
        trust = 1.0
        if not excluded:
            raw, g = g, g + weight_decay * w
            w_norm = np.sqrt((w**2).sum())
            g_norm = np.sqrt(((raw if summed else g) ** 2).sum())
            if w_norm > 0 and g_norm > 0:
                below = g_norm + weight_decay * w_norm + 1e-8 if summed else g_norm
                trust = trust_coefficient * w_norm / below
                if cap:
                    trust = min(trust / rate, 1.0) if rate > 0 else 1.0
            elif summed:
                g = raw
        push = trust * g * (rate if inside else 1.0)
        v = momentum * v + push
        step = momentum * v + push if nesterov else v
        w = w - step * (1.0 if inside else rate)
        trace.append(w)
    return trace
