"""Optimizers by rule, and the tables of optimizers and schedules."""

from collections.abc import Callable, Mapping

import optax

from jax_ssl.optim.lars import lars
from jax_ssl.optim.optimizers import adam, adamw, sgd
from jax_ssl.optim.schedules import SCHEDULES

__all__ = ["OPTIMIZERS", "SCHEDULES"]

OPTIMIZERS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": sgd,
    "lars": lars,
    "adam": adam,
    "adamw": adamw,
}
