"""SGD, Adam and AdamW against short float64 transcriptions of one leaf."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.core.state import TrainState
from jax_ssl.optim import OPTIMIZERS
from jax_ssl.optim.lars import lars
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


def test_sgd_without_exclusions_decays_everything():
    tx = sgd(learning_rate=1.0, momentum=0.0, weight_decay=0.5, exclude=None)
    w = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2), "scale": jnp.ones(2)}
    zero = jax.tree.map(jnp.zeros_like, w)
    assert all(np.all(x == 0.5) for x in jax.tree.leaves(run(tx, w, [zero])))


def test_adam_s_penalty_passes_through_the_moments(rng):
    params, gradients = leaves(rng)
    tx = adam(learning_rate=schedule, weight_decay=0.3, b2=0.95, epsilon=1e-6)
    got = run(tx, params, gradients)
    for name, penalty in (("kernel", 0.3), ("bias", 0.0)):
        w, m, v = params[name].astype(np.float64), 0.0, 0.0
        for t, (g, rate) in enumerate(zip(gradients, RATES, strict=True), 1):
            g = g[name] + penalty * w
            m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
            w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-6)
        np.testing.assert_allclose(got[name], w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_parameters_may_have_rates_of_their_own(rng, name):
    """As if each group had been alone with its rate."""
    make = OPTIMIZERS[name]
    params, gradients = leaves(rng)
    params = {"encoder": params, "predictor": params, "stem": params}
    gradients = [dict.fromkeys(params, g) for g in gradients]
    tx = make(
        learning_rate=schedule,
        rates=(("^predictor/", lambda step: 0.3), ("stem/kernel", None)),
    )
    got = run(tx, params, gradients)
    usual = run(make(learning_rate=schedule), params, gradients)
    constant = run(make(learning_rate=0.3), params, gradients)
    for found, wanted in (
        (got["encoder"], usual["encoder"]),
        (got["predictor"], constant["predictor"]),
        (got["stem"]["kernel"], params["stem"]["kernel"]),
        (got["stem"]["bias"], usual["stem"]["bias"]),
    ):
        close = functools.partial(np.testing.assert_allclose, rtol=1e-6)
        jax.tree.map(close, found, wanted)


def test_a_pattern_that_decides_over_nothing_is_refused():
    tx = sgd(learning_rate=0.1, rates=(("^predicter/", 0.1),))
    with pytest.raises(ValueError, match=r"'\^predicter/' decides over no parameter"):
        tx.init({"predictor": {"kernel": jnp.ones((2, 2))}})


def test_slots_of_groups_survive_a_checkpoint(tmp_path):
    tx = sgd(learning_rate=0.1, rates=(("^head/", 0.1), ("^stem/", None)))
    params = {part: {"kernel": jnp.ones((2, 2))} for part in ("head", "stem", "trunk")}
    _, slots = tx.update(params, tx.init(params), params)
    train = TrainState(
        step=jnp.int32(1),
        params=params,
        opt_state=slots,
        state={},
        key=jax.random.key(0),
    )
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(train)
        checkpoints.wait()
        restored = checkpoints.restore(jax.eval_shape(lambda: train))
    assert jax.tree.structure(restored) == jax.tree.structure(train)
    jax.tree.map(np.testing.assert_array_equal, restored.opt_state, slots)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_clips_array_by_array(name):
    """Long gradients are shortened to the ceiling, each by itself; short ones stay."""
    make = functools.partial(OPTIMIZERS[name], learning_rate=0.5)
    params = {"long": jnp.ones((2, 2)), "short": jnp.ones((2, 2))}
    gradient = {"long": jnp.full((2, 2), 6.0), "short": jnp.full((2, 2), 0.01)}
    unit = {"long": jnp.full((2, 2), 1.5), "short": gradient["short"]}
    got = run(make(clip_each=3.0), params, [gradient, gradient])
    expected = run(make(), params, [unit, unit])
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-6), got, expected
    )


def test_a_ceiling_must_be_positive():
    with pytest.raises(ValueError, match=r"clip_each = -1.0 must be positive"):
        adamw(learning_rate=0.1, clip_each=-1.0)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_factors_multiply_every_step(rng, name):
    make = functools.partial(OPTIMIZERS[name], learning_rate=schedule)
    params, gradients = leaves(rng)
    params = {"trunk": params, "stem": params, "head": params}
    gradients = [dict.fromkeys(params, g) for g in gradients]
    later = lambda step: jnp.where(step < 2, 0.0, 1.0)
    tx = make(factors=(("^stem/", lambda step: 0.5), ("^head/", later)))
    opt_state, usual = tx.init(params), make().init(params)
    for i, gradient in enumerate(gradients):
        updates, opt_state = tx.update(gradient, opt_state, params)
        wanted, usual = make().update(gradient, usual, params)
        for leaf in ("kernel", "bias"):
            step = wanted["trunk"][leaf]
            np.testing.assert_array_equal(updates["trunk"][leaf], step)
            np.testing.assert_allclose(updates["stem"][leaf], 0.5 * step, rtol=1e-6)
            np.testing.assert_array_equal(updates["head"][leaf], (i >= 2) * step)


def test_what_stands_still_does_not_decay():
    tx = adamw(learning_rate=0.1, weight_decay=0.5, factors=(("held", None),))
    params = {"held": jnp.ones((2, 2)), "free": jnp.ones((2, 2))}
    after = run(tx, params, [jax.tree.map(jnp.zeros_like, params)])
    np.testing.assert_array_equal(after["held"], params["held"])
    assert (after["free"] < 1).all()


def test_a_factor_that_decides_over_nothing_is_refused():
    tx = adamw(learning_rate=0.1, factors=(("^prototypes/", None),))
    with pytest.raises(ValueError, match=r"factors: '\^prototypes/' decides over no"):
        tx.init({"predictor": {"kernel": jnp.ones((2, 2))}})


@pytest.mark.parametrize(
    ("optimizer", "setting", "value"),
    [
        (adam, "b1", 1.0),
        (adam, "b2", 1.0),
        (adam, "epsilon", 0.0),
        (adamw, "b1", 1.0),
        (adamw, "b2", -0.1),
        (adamw, "epsilon", 0.0),
        (sgd, "momentum", 1.0),
        (lars, "momentum", 1.0),
    ],
)
def test_numbers_that_would_end_in_nan_are_refused(optimizer, setting, value):
    with pytest.raises(ValueError, match=rf"^{setting} = {value} must be "):
        optimizer(learning_rate=schedule, **{setting: value})
