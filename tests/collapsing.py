"""Methods with the part taken out that keeps them from collapsing."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from jax_ssl.core.method import Method
from jax_ssl.losses.prediction import normalized_mse
from tests.case import Case
from tests.cases import METHODS_UNDER_TEST


def byol_alone() -> Method:
    """BYOL without predictor and without a slow teacher: views attract each other."""
    case = METHODS_UNDER_TEST["byol-group-norm"]  # Nothing hides in batch statistics.
    method = dataclasses.replace(
        case, settings={**case.settings, "momentum": 0.0}
    ).build()

    def loss(params, state, views, *, key, step):
        del key, step
        project = method.health.project
        a, b = (project(params, state, views[:, v]) for v in range(2))
        return 2 * normalized_mse(a, b), (state, {})

    return dataclasses.replace(method, loss=loss)


def simsiam_with_gradient() -> Method:
    """SimSiam without its stopped gradient; everything else as it is."""
    method = METHODS_UNDER_TEST["simsiam"].build()

    def loss(*arguments, **keywords):
        with mock.patch.object(jax.lax, "stop_gradient", lambda x: x):
            return method.loss(*arguments, **keywords)

    return dataclasses.replace(method, loss=loss)


def dino_uncentred() -> Method:
    """DINO with sharpening alone: its teacher may favour one prototype for all."""
    method = METHODS_UNDER_TEST["dino-convnet"].build()

    def loss(params, state, views, *, key, step):
        state = state._replace(center=jnp.zeros_like(state.center))
        return method.loss(params, state, views, key=key, step=step)

    return dataclasses.replace(method, loss=loss)


def dino_unsharpened() -> Method:
    """DINO with centring alone: its teacher may say the same of everything."""
    case = METHODS_UNDER_TEST["dino-convnet"]
    settings = {**case.settings, "teacher_temperature": 1.0}
    return dataclasses.replace(case, settings=settings).build()


def vicreg_without_variance() -> Method:
    """VICReg whose variance weighs nothing."""
    return Case(
        "vicreg", {"hidden_dim": 16, "output_dim": 8, "variance_weight": 0.0}
    ).build()


class Broken(NamedTuple):
    """A method that collapses, and what the doctor is to say of it."""

    build: Callable[[], Method]
    expected: str
    learning_rate: float
    num_prototypes: int | None = None


COLLAPSING = {
    "byol, no predictor, no slow teacher": Broken(byol_alone, "point: embedding", 0.05),
    # Batch norm keeps the outputs apart, in two heaps.
    "simsiam, gradient not stopped": Broken(
        simsiam_with_gradient, "line: embedding", 0.2
    ),
    "dino, no centring": Broken(dino_uncentred, "one-hot: teacher", 0.05, 16),
    "dino, no sharpening": Broken(dino_unsharpened, "uniform: teacher", 0.05, 16),
    "vicreg, no variance term": Broken(
        vicreg_without_variance, "vanished: embedding", 0.06
    ),
}
