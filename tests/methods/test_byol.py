"""BYOL's own laws; the battery is in `tests/test_contract.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.config.bind import bind
from jax_ssl.methods import METHODS
from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.network import Network
from jax_ssl.optim.schedules import cosine
from tests.images import plain_views
from tests.leaves import assert_close, assert_equal
from tests.methods.pairs import float64, gradient, losses, made, random_views
from tests.references import prediction as reference

# Wide enough that no row dies in the ReLU, which would make it zero.
SETTINGS = {"hidden_dim": 64, "output_dim": 8}


@pytest.fixture
def views(rng):
    return random_views(rng)


def test_loss_is_both_directions_of_the_predictions(views):
    method, params, state = made("byol", views, **SETTINGS)
    # A teacher of its own, so that target and projection differ.
    other = lambda leaf: np.asarray(leaf) + np.float32(0.1)
    state = state._replace(teacher=jax.tree.map(other, state.teacher))
    value, (after, metrics) = losses(method)(params, state, views)

    head = MLP((64, 8), use_bias=False)
    net = Network(encoder=method.encoder, projector=head, predictor=head)

    @jax.jit
    def outputs(params, state, one, other):
        return net(params, state.stats, one)[0], net(*state.teacher, other)[0]

    expected = 0.0
    for v in range(2):
        online, target = outputs(params, state, views[:, v], views[:, 1 - v])
        assert set(target) == {"encoder", "projector"}
        expected += reference.normalized_mse(online["predictor"], target["projector"])[
            0
        ]
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert 0 < value < 8
    assert 0 < metrics["output_std"] < 1 / np.sqrt(8) + 1e-6
    # Two views, two moves, and the teacher's statistics are its own.
    mean, its = (
        stats["encoder"]["batch_stats"]["norm0"]["mean"]
        for stats in (after.stats, after.teacher.stats)
    )
    assert np.abs(mean - its).max() > 1e-3


def test_swapping_the_views_changes_nothing(views):
    method, params, state = made("byol", views, **SETTINGS)
    loss = losses(method)
    np.testing.assert_allclose(
        loss(params, state, views)[0], loss(params, state, views[:, ::-1])[0], rtol=1e-5
    )


def test_equal_outputs_for_all_images_have_no_loss(views):
    method, params, state = made("byol", views, **SETTINGS)
    # Collapse is a minimum: heads that ignore their input.
    constant = jax.tree.map(jnp.zeros_like, params["predictor"])
    collapsed = {**params, "predictor": constant}
    value, (_, metrics) = losses(method)(collapsed, state, views)
    np.testing.assert_allclose(value, 4, rtol=1e-6)  # Zeros: two directions of 2.
    flat = jnp.broadcast_to(views[:1, :1], views.shape)
    _, (_, metrics) = losses(method)(params, state, flat)
    assert metrics["output_std"] < 1e-3


def test_teacher_follows_the_new_params_as_the_closed_form(views):
    method, params, state = made("byol", views, momentum=0.8, **SETTINGS)
    first = float64(state.teacher.params)
    update = jax.jit(method.update)
    for step, factor in ((1, 1.5), (2, -0.5)):
        new = jax.tree.map(lambda x, f=factor: f * np.asarray(x) + 1, params)
        _, state = update(new, state, step=jnp.int32(step))
    online = float64({name: params[name] for name in first})
    wanted = jax.tree.map(
        lambda old, w: 0.64 * old + 0.16 * (1.5 * w + 1) + 0.2 * (1 - 0.5 * w),
        first,
        online,
    )
    assert_close(state.teacher.params, wanted, atol=1e-5)


def test_a_still_network_draws_its_teacher_in_geometrically(views):
    method, params, state = made("byol", views, momentum=0.5, **SETTINGS)
    zero = jax.tree.map(np.zeros_like, state.teacher)
    state = state._replace(teacher=zero)
    update = jax.jit(method.update)
    for step in range(1, 4):
        _, state = update(params, state, step=jnp.int32(step))
    wanted = jax.tree.map(lambda x: 0.875 * np.asarray(x), params["encoder"])
    assert_close(state.teacher.params["encoder"], wanted, rtol=1e-5, atol=1e-7)


def test_momentum_rises_from_its_base_to_one(views):
    schedule = cosine(100, 16, init_value=0.9, end_value=1.0)
    assert float(schedule(0)) == pytest.approx(0.9)
    assert float(schedule(100)) == pytest.approx(1.0)
    method, params, state = made("byol", views, momentum=schedule, **SETTINGS)
    state = state._replace(teacher=jax.tree.map(jnp.zeros_like, state.teacher))
    # The first update has the schedule's first value.
    _, after = method.update(params, state, step=jnp.int32(1))
    kernel = params["encoder"]["conv0"]["kernel"]
    np.testing.assert_allclose(
        after.teacher.params["encoder"]["conv0"]["kernel"], 0.1 * kernel, rtol=1e-5
    )
    metrics = losses(method)(params, state, views)[1][1]
    np.testing.assert_allclose(metrics["momentum"], 0.9, rtol=1e-6)


def test_momentum_may_be_a_named_schedule():
    wires = {"encoder": None, "views": plain_views, "batch_size": 16}
    wires |= {"total_steps": 10, "steps_per_epoch": 5}
    settings = {"momentum": {"name": "cosine", "init_value": 0.9, "end_value": 1.0}}
    assert bind(METHODS["byol"], wires, settings).update is not None


def test_heads_have_the_norm_of_the_encoder(views):
    encoder = {"norm": "group_ws", "widths": (16, 16)}
    method, params, state = made("byol", views, encoder, **SETTINGS)
    assert not jax.tree.leaves((state.stats, state.teacher.stats))
    assert set(params["predictor"]) == {"dense0", "norm0", "dense1"}
    loss = losses(method)
    whole = loss(params, state, views)[0]
    halves = [loss(params, state, part)[0] for part in (views[:8], views[8:])]
    # No row sees another, so that the loss of the batch is the mean of its parts.
    np.testing.assert_allclose(whole, np.mean(halves), rtol=1e-5)


def test_an_optimizer_step_moves_the_online_networks_only(views):
    method, params, state = made("byol", views, **SETTINGS)
    gradients, (state, _) = gradient(method)(params, state, views)
    assert set(gradients) == {"encoder", "projector", "predictor"}
    assert set(state.teacher.params) == {"encoder", "projector"}
    norms = {name: optax.global_norm(tree) for name, tree in gradients.items()}
    assert all(norm > 0 for norm in norms.values())
    assert_equal(state.teacher.params, {n: params[n] for n in state.teacher.params})
