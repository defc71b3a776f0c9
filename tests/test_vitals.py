"""What a method tells the collapse doctor of its loss by chance.

The battery has what a method's first state is needed for, in `tests/test_contract.py`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.train.step import init
from tests.cases import METHODS_UNDER_TEST
from tests.images import BATCH, batch

CASES = {name: case.build() for name, case in METHODS_UNDER_TEST.items()}
CHANCE = [name for name, method in CASES.items() if method.health.chance is not None]


@pytest.mark.parametrize("name", CHANCE)
def test_chance_is_a_number_that_does_not_fall_with_the_batch(name):
    values = [CASES[name].health.chance(size) for size in (2, 16, 4096)]
    assert all(isinstance(value, float) for value in values)
    assert np.isfinite(values).all()
    assert 0 < values[0] <= values[1] <= values[2]


def test_chance_of_nce_is_one_probability_for_all():
    """It fixes its Z by the first scores of an untrained network."""
    case = METHODS_UNDER_TEST["npid"]
    method, settings = case.build(), case.settings
    n, m = 64, settings["num_negatives"]
    rows = batch()
    images = jnp.broadcast_to(rows["image"][:1], rows["image"].shape) / 255.0
    start = jax.jit(functools.partial(init, method, optax.sgd(0.1)))
    first = start(jax.random.key(0), rows)
    params, state = first.params, first.state
    views = {"image": images, "index": rows["index"]}

    @jax.jit
    def look(state):
        key, step = jax.random.key(3), jnp.int32(0)
        return method.loss(params, state, views, key=key, step=step)[0]

    # With a bank of zeros every score is 0.
    empty = state._replace(bank=jnp.zeros_like(state.bank))
    found = look(empty._replace(partition=jnp.float32(n)))  # P = exp(0) / n = 1 / n.
    np.testing.assert_allclose(found, method.health.chance(BATCH), rtol=1e-5)
    for partition in (n / 3, n * 3):
        assert look(empty._replace(partition=jnp.float32(partition))) > found
    odds = -m * np.log(m / (m + 1)) - np.log(1 / (m + 1))
    assert method.health.chance(BATCH) == pytest.approx(odds)
