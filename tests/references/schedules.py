"""Schedules in closed form, float64."""

import math


def half_cosine(step, steps, init_value, end_value):
    fraction = min(step, steps) / steps
    return end_value + (init_value - end_value) * 0.5 * (
        1 + math.cos(math.pi * fraction)
    )


def warmup_cosine(step, warmup, total, peak, end_value=0.0):
    if step < warmup:
        return peak * step / warmup
    return half_cosine(step - warmup, total - warmup, peak, end_value)
