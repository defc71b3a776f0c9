"""Exemplar-CNN's own laws; the battery is in `tests/test_contract.py`."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from tests.case import Case
from tests.images import one_view
from tests.methods.errors import BANK, Comparison, errors
from tests.methods.errors import one_view as some_rows
from tests.references import methods as reference

N, B = 12, 6
KEY = jax.random.key(1)

CASES = {
    "exemplar": Case(
        "exemplar",
        {"dropout": 0.1},
        one_view,
        encoder={"name": "convnet", "widths": (8, 16), "pool": "flat"},
        share=0.6,
    ),
}


@functools.cache
def made(dropout=0.5):
    """(method, params, state, compiled loss)."""
    encoder = ENCODERS["convnet"](widths=(4, 8))
    method = METHODS["exemplar"](encoder, one_view, N, dropout=dropout)
    views = {"image": jnp.zeros((B, 8, 8, 3)), "index": jnp.arange(B)}
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    loss = jax.jit(functools.partial(method.loss, step=jnp.int32(0)))
    return method, params, state, functools.partial(loss, key=KEY)


@pytest.fixture
def views(rng):
    return {
        "image": rng.uniform(size=(B, 8, 8, 3)).astype(np.float32),
        "index": rng.permutation(N)[:B].astype(np.int32),
    }


def test_loss_gradient_and_state_are_those_of_float64():
    comparison = Comparison(
        "exemplar", {"dropout": 0.0}, reference.exemplar, views=some_rows, wires=BANK
    )
    found = errors(comparison)
    assert all(error < 1e-5 for error in found.values()), found


def test_chance_is_the_log_of_the_number_of_seeds(views):
    method, params, state, loss = made()
    blind = jax.tree.map(np.zeros_like, params["classifier"])
    value, (_, metrics) = loss({**params, "classifier": blind}, state, views)
    assert value == pytest.approx(math.log(N), abs=1e-6)
    assert method.health.chance(B) == pytest.approx(math.log(N))
    # Equal scores are given to class 0.
    hit = np.mean(views["index"] == 0)
    assert metrics["exemplar_accuracy"] == pytest.approx(hit)


def test_seeds_that_are_one_image_cannot_cost_less_than_the_log_of_two(views):
    _, params, state, loss = made(dropout=0.0)
    image = np.broadcast_to(views["image"][:1], views["image"].shape)
    twins = {"image": image, "index": np.arange(B, dtype=np.int32) % 2}
    for gain in (0.0, 1.0, 30.0):
        scaled = lambda x, gain=gain: np.float32(gain) * np.asarray(x)
        head = jax.tree.map(scaled, params["classifier"])
        value, _ = loss({**params, "classifier": head}, state, twins)
        assert value >= math.log(2) - 1e-6


def test_other_names_of_seeds_need_another_classifier_and_no_more(views, rng):
    _, params, state, loss = made()
    names = rng.permutation(N)
    renamed = {**views, "index": names[views["index"]].astype(np.int32)}
    move = lambda x: np.asarray(x)[..., np.argsort(names)]
    moved = jax.tree.map(move, params["classifier"])
    value, _ = loss(params, state, views)
    same, _ = loss({**params, "classifier": moved}, state, renamed)
    assert same == pytest.approx(float(value), rel=1e-6)


def test_dropout_is_drawn_from_the_key(views):
    _, params, state, loss = made(dropout=0.5)
    one, two, again = (
        loss(params, state, views, key=jax.random.key(k))[0] for k in (0, 1, 0)
    )
    assert one == again
    assert one != two


@pytest.mark.parametrize(
    ("settings", "examples", "message"),
    [
        ({"dropout": 1.0}, N, r"dropout = 1.0 must be in \[0, 1\)"),
        ({}, 1, "num_examples = 1 must be at least 2"),
    ],
)
def test_settings_are_refused(settings, examples, message):
    with pytest.raises(ValueError, match=message):
        METHODS["exemplar"](ENCODERS["convnet"](), one_view, examples, **settings)


def test_a_recipe_without_the_rows_is_refused(views):
    method = made()[0]
    with pytest.raises(ValueError, match=r"reads \{'image', 'index'\}.*'exemplar'"):
        method.init(KEY, views["image"])
