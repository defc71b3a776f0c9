"""SGD, Adam and AdamW against short float64 transcriptions of one leaf."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.optim import OPTIMIZERS
from jax_ssl.optim.optimizers import adam, adamw, sgd

RATES = (0.1, 0.2, 0.05)


def schedule(step):
    return jnp.asarray(RATES)[step]


def leaves(rng):
    shapes = {"kernel": (3, 2), "bias": (2,)}
    draw = lambda: {k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()}
    return draw(), [draw() for _ in RATES]


def run(tx, params, gradients):
    opt_state = tx.init(params)
    update = jax.jit(tx.update)
    for gradient in gradients:
        updates, opt_state = update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd(rng, momentum, nesterov):
    params, gradients = leaves(rng)
    tx = sgd(
        learning_rate=schedule, momentum=momentum, nesterov=nesterov, weight_decay=0.1
    )
    got = run(tx, params, gradients)
    for name, decay in (("kernel", 0.1), ("bias", 0.0)):
        w, v = params[name].astype(np.float64), 0.0
        for g, rate in zip(gradients, RATES, strict=True):
            g = g[name] + decay * w
            v = momentum * v + g
            w = w - rate * (g + momentum * v if nesterov else v)
        np.testing.assert_allclose(got[name], w, rtol=1e-5, atol=1e-6)


def test_sgd_keeps_no_velocity_without_momentum():
    opt_state = sgd(learning_rate=0.1, momentum=0.0).init({"kernel": jnp.ones((9, 9))})
    assert sum(leaf.size for leaf in jax.tree.leaves(opt_state)) == 0


def adam_reference(w, gradients, decays, b1=0.9, b2=0.95, epsilon=1e-6):
    w, m, v = w.astype(np.float64), 0.0, 0.0
    for t, (g, rate, decay) in enumerate(zip(gradients, RATES, decays, strict=True), 1):
        m = b1 * m + (1 - b1) * g.astype(np.float64)
        v = b2 * v + (1 - b2) * g.astype(np.float64) ** 2
        step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + epsilon)
        w = w - rate * (step + decay * w)
    return w


def test_adam(rng):
    params, gradients = leaves(rng)
    tx = adam(learning_rate=schedule, b2=0.95, epsilon=1e-6)
    got = run(tx, params, gradients)
    for name in params:
        expected = adam_reference(params[name], [g[name] for g in gradients], (0, 0, 0))
        np.testing.assert_allclose(got[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scheduled", [False, True])
def test_adamw_decays_matrices_only(rng, scheduled):
    params, gradients = leaves(rng)
    decays = (0.04, 0.2, 0.4) if scheduled else (0.3, 0.3, 0.3)
    decay = (lambda step: jnp.asarray(decays)[step]) if scheduled else 0.3
    tx = adamw(learning_rate=schedule, weight_decay=decay, b2=0.95, epsilon=1e-6)
    got = run(tx, params, gradients)
    for name, of_leaf in (("kernel", decays), ("bias", (0, 0, 0))):
        expected = adam_reference(params[name], [g[name] for g in gradients], of_leaf)
        np.testing.assert_allclose(got[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_clips_by_the_global_norm(name):
    tx = OPTIMIZERS[name](learning_rate=1.0, clip_norm=1e-3)
    params = {"kernel": jnp.ones((2, 2))}
    gradient = {"kernel": jnp.full((2, 2), 50.0)}
    _, opt_state = tx.update(gradient, tx.init(params), params)
    slots = [x for x in jax.tree.leaves(opt_state) if x.shape == (2, 2)]
    assert slots
    assert all(np.linalg.norm(slot) <= 2e-3 for slot in slots)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_steps_down_a_bowl(name):
    tx = OPTIMIZERS[name](learning_rate=0.05)
    w = {"head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    after = run(tx, w, [w] * 5)
    assert all(np.all(x < 1) for x in jax.tree.leaves(after))
