"""What all cases share: a case, given views, and draws that are told."""

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import given
import jax
import jax.numpy as jnp

from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.optim.optimizers import sgd


@dataclasses.dataclass(frozen=True)
class Case:
    """One method with its recipe.

    Attributes:
        build: (settings) -> (method, optimizer).
        batches: {name: [STEPS, BATCH, ...]}; a batch holds the views themselves.
        wrong: settings of which each alone makes the replay differ, with other values.
        kept: leaves of the method's state that are compared too, by prefix.
        before: (step, state of the run, record) -> state, where the record holds what
            the judge found between steps.
        tolerance: of the losses, relative, and of the parameters, absolute.
    """

    build: Callable
    batches: Callable
    wrong: dict[str, Any]
    kept: tuple[str, ...] = ()
    before: Callable | None = None
    tolerance: float = 1e-4


def encoder():
    return ConvNet(widths=given.WIDTHS)


def pairs(name):
    return lambda: {"view": given.images(name, 2, given.SIDE, given.SIDE, 3)}


def crops(name):
    def made():
        large, small = given.crops(name)
        return {"global": large, "local": small}

    return made


def stack(key, batch):
    """Views that are given: two of one size."""
    del key
    return batch["view"]


def same(key, batch):
    """Views that are given, as they are."""
    del key
    return batch


def torch_sgd(s, learning_rate, **more):
    """SGD as in torch, which decays everything."""
    return sgd(
        learning_rate=learning_rate,
        momentum=s["velocity"],
        weight_decay=s["weight_decay"],
        exclude=s.get("exclude"),
        **more,
    )


def told(method, **drawn):
    """A method that is told what it would draw.

    Args:
        method: the method.
        **drawn: arrays [STEPS, ...] by the function of `jax.random` that draws them.
    """

    def loss(*args, step, **rest):
        fakes = {
            name: lambda *_, values=values, **__: jnp.asarray(values)[step]
            for name, values in drawn.items()
        }
        with mock.patch.multiple(jax.random, **fakes):
            return method.loss(*args, step=step, **rest)

    return dataclasses.replace(method, loss=loss)


def masked(method, make):
    """A method whose masks are those of the step: `make(step)`."""
    now = {"step": 0}

    def loss(*args, step, **rest):
        now["step"] = step
        return built.loss(*args, step=step, **rest)

    built = method(lambda key, images: make(now["step"]))
    return dataclasses.replace(built, loss=loss)
