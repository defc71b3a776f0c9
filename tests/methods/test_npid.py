"""NPID's own laws; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.nn.mlp import MLP
from tests.images import one_view
from tests.methods.pairs import WIDTHS, float64, projected
from tests.references import contrastive, instance

B, D, N, M = 8, 6, 20, 12
KEY = jax.random.key(1)


@pytest.fixture
def views(rng):
    return {
        "image": jnp.asarray(rng.uniform(size=(B, 8, 8, 3)), jnp.float32),
        "index": jnp.asarray(rng.permutation(N)[:B], jnp.int32),
    }


def made(views, **settings):
    encoder = ENCODERS["convnet"](widths=WIDTHS)
    method = METHODS["npid"](encoder, one_view, N, output_dim=D, **settings)
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    return method, params, state, jax.jit(method.loss)


def features(method, params, state, views):
    """Unit features in float64, from the network alone."""
    head = MLP((D,), norm="none")
    z = projected(method, params, state.stats, views["image"], head)
    return contrastive.unit_rows(float64(z))[0]


def again(views, rng):
    """Other images in other rows."""
    image = jnp.asarray(rng.uniform(size=(B, 8, 8, 3)), jnp.float32)
    return {"image": image, "index": jnp.asarray(rng.permutation(N)[:B], jnp.int32)}


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_state_after_some_steps_matches_float64_loops(rng, views, momentum):
    settings = {"temperature": 0.3, "num_negatives": M, "momentum": momentum}
    method, params, state, loss = made(views, **settings)
    bank, z = float64(state.bank), None
    for step in range(4):
        key = jax.random.fold_in(KEY, step)
        v = features(method, params, state, views)
        index = np.asarray(views["index"])
        slots = np.asarray(jax.random.randint(key, (B, M), 0, N))
        z = z or instance.partition(v, index, slots, bank[:N], 0.3)
        expected, _ = instance.nce(v, index, slots, bank[:N], z, 0.3)
        value, (state, metrics) = loss(
            params, state, views, key=key, step=jnp.int32(step)
        )
        # The memory of before the step is compared, the estimate is the first step's.
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(state.partition, z, rtol=1e-5)
        np.testing.assert_allclose(metrics["partition"], z, rtol=1e-5)
        bank = instance.remember(bank, index, v, momentum)
        np.testing.assert_allclose(state.bank, bank, atol=5e-6)
        views = again(views, rng)


def test_softmax_and_proximal_term_match_float64_loops(views):
    settings = {"objective": "softmax", "temperature": 0.1}
    method, params, state, loss = made(views, **settings)
    run = functools.partial(loss, params, state, views, key=KEY, step=jnp.int32(0))
    value, (after, metrics) = run()
    v, index = features(method, params, state, views), np.asarray(views["index"])
    bank = float64(state.bank)[:N]
    expected, _ = instance.softmax(v, index, bank, 0.1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert float(after.partition) == 0
    assert set(metrics) == {"positive_similarity", "contrastive_accuracy"}

    loss = made(views, proximal_weight=30.0, **settings)[-1]
    pulled, _ = loss(params, state, views, key=KEY, step=jnp.int32(0))
    moved = np.square(v - bank[index]).sum(1).mean()
    np.testing.assert_allclose(pulled - value, 30 * moved, rtol=1e-5)


def test_fresh_memories_are_unit_rows(views):
    _, _, state, _ = made(views)
    assert state.bank.shape == (1024, D)
    np.testing.assert_allclose(np.linalg.norm(state.bank, axis=1), 1, rtol=1e-6)
    assert float(state.partition) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature = 0.0 must be positive"),
        ({"num_negatives": 0}, "num_negatives = 0 must be at least 1"),
        ({"momentum": 1.0}, r"momentum = 1.0 must be in \[0, 1\)"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS["npid"](ENCODERS["convnet"](), one_view, N, **settings)


def test_a_recipe_without_the_rows_is_refused(views):
    method, *_ = made(views)
    with pytest.raises(ValueError, match=r"reads \{'image', 'index'\}.*'npid'"):
        method.init(KEY, views["image"])
