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


def made(rng, **settings):
    """(method, params, state, views, compiled loss)."""
    views = {
        "image": jnp.asarray(rng.uniform(size=(B, 8, 8, 3)), jnp.float32),
        "index": jnp.asarray(rng.permutation(N)[:B], jnp.int32),
    }
    encoder = ENCODERS["convnet"](widths=(4, 8))
    method = METHODS["exemplar"](encoder, one_view, N, **settings)
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=jnp.int32(0)))
    return method, params, state, views, loss


def test_loss_gradient_and_state_are_those_of_float64():
    comparison = Comparison(
        "exemplar", {"dropout": 0.0}, reference.exemplar, views=some_rows, wires=BANK
    )
    found = errors(comparison)
    assert all(error < 1e-5 for error in found.values()), found


def test_chance_is_the_log_of_the_number_of_seeds(rng):
    method, params, state, views, loss = made(rng)
    blind = jax.tree.map(jnp.zeros_like, params["classifier"])
    value, (_, metrics) = loss({**params, "classifier": blind}, state, views)
    assert value == pytest.approx(math.log(N), abs=1e-6)
    assert method.health.chance(B) == pytest.approx(math.log(N))
    # Equal scores are given to class 0.
    hit = np.mean(np.asarray(views["index"]) == 0)
    assert metrics["exemplar_accuracy"] == pytest.approx(hit)


def test_seeds_that_are_one_image_cannot_cost_less_than_the_log_of_two(rng):
    _, params, state, views, loss = made(rng, dropout=0.0)
    image = jnp.broadcast_to(views["image"][:1], views["image"].shape)
    twins = {"image": image, "index": jnp.arange(B, dtype=jnp.int32) % 2}
    for gain in (0.0, 1.0, 30.0):
        head = jax.tree.map(lambda x, g=gain: g * x, params["classifier"])
        value, _ = loss({**params, "classifier": head}, state, twins)
        assert value >= math.log(2) - 1e-6


def test_other_names_of_seeds_need_another_classifier_and_no_more(rng):
    _, params, state, views, loss = made(rng)
    names = jnp.asarray(rng.permutation(N))
    renamed = {**views, "index": names[views["index"]].astype(jnp.int32)}
    moved = jax.tree.map(lambda x: x[..., jnp.argsort(names)], params["classifier"])
    value, _ = loss(params, state, views)
    same, _ = loss({**params, "classifier": moved}, state, renamed)
    assert same == pytest.approx(float(value), rel=1e-6)


def test_dropout_is_drawn_from_the_key(rng):
    method, params, state, views, _ = made(rng, dropout=0.5)
    one, two, again = (
        method.loss(params, state, views, key=jax.random.key(k), step=jnp.int32(0))[0]
        for k in (0, 1, 0)
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


def test_a_recipe_without_the_rows_is_refused(rng):
    method, _, _, views, _ = made(rng)
    with pytest.raises(ValueError, match=r"reads \{'image', 'index'\}.*'exemplar'"):
        method.init(KEY, views["image"])
