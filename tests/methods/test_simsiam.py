"""SimSiam's own laws; the battery is in `tests/test_contract.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.network import Network
from jax_ssl.optim.optimizers import sgd
from tests.leaves import assert_close
from tests.methods.pairs import gradient, losses, made, random_views
from tests.references import prediction as reference

SETTINGS = {"hidden_dim": 16, "output_dim": 12, "predictor_dim": 8}


@pytest.fixture
def views(rng):
    return random_views(rng)


def network(method):
    projector = MLP((16, 16, 12), last_norm="plain")
    return Network(encoder=method.encoder, projector=projector, predictor=MLP((8, 12)))


def test_loss_is_half_of_each_direction(views):
    method, params, state = made("simsiam", views, **SETTINGS)
    value, (_, metrics) = losses(method)(params, state, views)
    net = network(method)
    outputs = jax.jit(lambda rows: net(params, state.stats, rows)[0])
    out = [outputs(views[:, v]) for v in range(2)]
    z = [each["projector"] for each in out]
    p = [each["predictor"] for each in out]
    halves = [reference.negative_cosine(p[v], z[1 - v])[0] for v in range(2)]
    np.testing.assert_allclose(value, np.mean(halves), rtol=1e-5, atol=1e-6)
    unit = np.stack(z, 1) / np.linalg.norm(np.stack(z, 1), axis=-1, keepdims=True)
    np.testing.assert_allclose(metrics["output_std"], unit.std(0).mean(), rtol=1e-4)
    np.testing.assert_allclose(np.mean(z[0], 0), 0, atol=1e-5)  # The last batch norm.


def test_predictor_is_a_bottleneck_and_projector_ends_without_offset(views):
    _, params, _ = made("simsiam", views, **SETTINGS)
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes["predictor"]["dense0"] == {"kernel": (12, 8)}
    assert shapes["predictor"]["dense1"] == {"kernel": (8, 12), "bias": (12,)}
    assert set(shapes["projector"]) == {"dense0", "norm0", "dense1", "norm1", "dense2"}


def test_no_gradient_passes_through_the_target(views):
    """The gradient is that of the loss against targets written down beforehand."""
    method, params, state = made("simsiam", views, **SETTINGS)
    net = network(method)

    def outputs(params):
        return [net(params, state.stats, views[:, v])[0] for v in range(2)]

    frozen = [out["projector"] for out in jax.jit(outputs)(params)]

    @jax.jit
    @jax.grad
    def against_frozen(params):
        cosines = [
            optax.cosine_similarity(out["predictor"], frozen[1 - v]).mean()
            for v, out in enumerate(outputs(params))
        ]
        return -sum(cosines) / 2

    found, _ = gradient(method)(params, state, views)
    assert_close(found, against_frozen(params), rtol=1e-3, atol=2e-6)


def test_swapping_the_views_changes_nothing(views):
    method, params, state = made("simsiam", views, **SETTINGS)
    loss = losses(method)
    np.testing.assert_allclose(
        loss(params, state, views)[0],
        loss(params, state, views[:, ::-1])[0],
        rtol=1e-4,
        atol=1e-6,
    )


def test_predictor_may_keep_its_rate(views):
    method, params, state = made("simsiam", views, **SETTINGS)
    still = lambda step: 0.0 * step
    tx = sgd(learning_rate=still, rates=(("^predictor/", lambda step: 0.1),))
    gradients, _ = gradient(method)(params, state, views)
    updates, _ = tx.update(gradients, tx.init(params), params)
    assert optax.global_norm(updates["predictor"]) > 0
    assert optax.global_norm(updates["encoder"]) == 0
    assert optax.global_norm(updates["projector"]) == 0


def test_a_head_without_layers_is_refused(views):
    with pytest.raises(ValueError, match="head_layers = 0"):
        made("simsiam", views, head_layers=0)
