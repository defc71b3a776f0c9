"""MoCo's own laws; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.nn.mlp import MLP
from tests.images import plain_views
from tests.leaves import assert_close
from tests.methods.pairs import (
    float64,
    gradient,
    losses,
    made,
    projected,
    random_views,
)
from tests.references import contrastive as reference

B, K, D = 16, 48, 8
SETTINGS = {"hidden_dim": 32, "output_dim": D, "queue_size": K}
KEY = jax.random.key(1)  # Of `losses` and `gradient`.


@pytest.fixture
def views(rng):
    return random_views(rng, B)


def embedded(method, params, stats, view, widths=(32, D), order=None):
    """Unit rows of one view in float64, from the networks alone."""
    order = np.arange(B) if order is None else order
    z = projected(method, params, stats, view[order], MLP(widths, norm="none"))
    return reference.unit_rows(float64(z))[0][np.argsort(order)]


def other_teacher(state):
    return state._replace(teacher=jax.tree.map(lambda leaf: leaf + 0.05, state.teacher))


@pytest.mark.parametrize("groups", [1, 4])
def test_loss_and_gradient_match_the_equation(views, groups):
    method, params, state = made("moco", views, {"groups": groups}, **SETTINGS)
    state = other_teacher(state)
    (gradients, (_, metrics)) = gradient(method)(params, state, views)
    value, (after, _) = losses(method)(params, state, views)
    q = embedded(method, params, state.stats, views[:, 0])
    order = None
    if groups > 1:
        order = np.asarray(jax.random.permutation(KEY, B))
    k = embedded(method, *state.teacher, views[:, 1], order=order)
    expected, wanted = reference.info_nce(q, k, state.queue, 0.2)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # The keys that leave are those that were compared.
    np.testing.assert_allclose(after.queue[:B], k, atol=2e-6)
    np.testing.assert_array_equal(after.queue[B:], state.queue[B:])
    assert 0 <= metrics["contrastive_accuracy"] <= 1

    # The head's last layer is linear, so that its gradient is that of the queries.
    head = MLP((32, D), norm="none")
    raw = projected(method, params, state.stats, views[:, 0], head)
    through = reference.through_unit_rows(float64(raw), wanted)
    bias = gradients["projector"]["dense1"]["bias"]
    np.testing.assert_allclose(bias, through.sum(0), atol=1e-5 * np.abs(wanted).max())


def test_symmetric_loss_is_both_directions_against_the_old_queue(views):
    settings = {**SETTINGS, "head_layers": 1, "queue_size": 64, "symmetric": True}
    method, params, state = made("moco", views, **settings)
    state = other_teacher(state)
    value, (after, _) = losses(method)(params, state, views)
    expected = 0.0
    keys = []
    for v in range(2):
        q = embedded(method, params, state.stats, views[:, v], (D,))
        k = embedded(method, *state.teacher, views[:, 1 - v], (D,))
        expected += reference.info_nce(q, k, state.queue, 0.2)[0]
        keys.append(k)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    pushed = np.stack(keys, axis=1).reshape(-1, D)
    np.testing.assert_allclose(after.queue[: 2 * B], pushed, atol=2e-6)
    swapped = losses(method)(params, state, views[:, ::-1])[0]
    np.testing.assert_allclose(value, swapped, rtol=1e-5)


def test_queue_holds_the_last_keys_in_order(rng, views):
    method, params, state = made("moco", views, **SETTINGS)
    loss = jax.jit(functools.partial(method.loss, key=KEY))
    keys = []
    for step in range(5):
        batch = random_views(rng, B)
        keys.append(embedded(method, *state.teacher, batch[:, 1]))
        _, (state, _) = loss(params, state, batch, step=jnp.int32(step))
    held = np.roll(state.queue, -(5 % 3) * B, axis=0)  # The oldest first.
    np.testing.assert_allclose(held, np.concatenate(keys[-3:]), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(state.queue, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_teacher_of_still_params_has_its_closed_form(views, momentum):
    method, params, state = made("moco", views, momentum=momentum, **SETTINGS)
    first = jax.tree.map(lambda leaf: leaf - 1, state.teacher.params)
    state = state._replace(teacher=state.teacher._replace(params=first))
    for step in range(1, 4):
        _, state = method.update(params, state, step=jnp.int32(step))
    wanted = jax.tree.map(
        lambda new, old: new + momentum**3 * (old - new),
        float64(params),
        float64(first),
    )
    assert_close(state.teacher.params, wanted, rtol=1e-6, atol=1e-6)


def test_momentum_is_that_of_the_step_whose_keys_it_makes(views):
    schedule = lambda step: 0.5 + 0.1 * step
    method, params, state = made("moco", views, momentum=schedule, **SETTINGS)
    zero = jax.tree.map(jnp.zeros_like, state.teacher)
    # After the first step the next one is number 1.
    _, after = method.update(params, state._replace(teacher=zero), step=jnp.int32(1))
    got = after.teacher.params["encoder"]["conv0"]["kernel"]
    np.testing.assert_allclose(
        got, 0.4 * params["encoder"]["conv0"]["kernel"], rtol=1e-5
    )


def test_equal_embeddings_give_log_of_the_candidates(views):
    method, params, state = made("moco", views, **SETTINGS)
    one = jnp.zeros(D).at[0].set(1.0)

    def constant(params):
        last = params["projector"]["dense1"]
        last = {"kernel": jnp.zeros_like(last["kernel"]), "bias": one}
        return {**params, "projector": {**params["projector"], "dense1": last}}

    queue = jnp.broadcast_to(one, state.queue.shape)
    teacher = state.teacher._replace(params=constant(state.teacher.params))
    state = state._replace(teacher=teacher, queue=queue)
    value, (_, metrics) = losses(method)(constant(params), state, views)
    np.testing.assert_allclose(value, np.log(K + 1), rtol=1e-6)
    assert float(metrics["contrastive_accuracy"]) == 0


def test_shuffling_is_for_groups_alone(views):
    def value(encoder, **settings):
        method, params, state = made("moco", views, encoder, **SETTINGS, **settings)
        return float(losses(method)(params, other_teacher(state), views)[0])

    groups = {"groups": 4}
    assert value(groups) != pytest.approx(value(groups, shuffle=False), rel=1e-4)
    assert value({}) == value({}, shuffle=False)


def test_head_of_the_first_version_is_linear(views):
    _, params, _ = made("moco", views, **{**SETTINGS, "head_layers": 1})
    assert set(params["projector"]) == {"dense0"}
    _, params, _ = made("moco", views, **SETTINGS)
    assert set(params["projector"]) == {"dense0", "dense1"}
    assert set(params["projector"]["dense0"]) == {"kernel", "bias"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature = 0.0 must be positive"),
        ({"head_layers": 0}, "head_layers = 0 must be at least 1"),
        ({"similarity": "dense"}, "similarity = 'dense' must be one of"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS["moco"](ENCODERS["convnet"](), plain_views, **settings)


@pytest.mark.parametrize(("symmetric", "rows"), [(False, 16), (True, 32)])
def test_a_queue_that_batches_do_not_fill_is_refused(views, symmetric, rows):
    settings = {**SETTINGS, "queue_size": 40, "symmetric": symmetric}
    with pytest.raises(ValueError, match=f"queue_size = 40 .* the {rows} rows"):
        made("moco", views, **settings)
