"""MoCo v3's own laws; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.config.bind import bind
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.network import Network
from jax_ssl.optim import OPTIMIZERS
from jax_ssl.optim.schedules import cosine
from jax_ssl.train.step import init, train_step
from tests.images import SIZE, batch, plain_views
from tests.leaves import assert_equal
from tests.methods.pairs import float64, gradient, losses, made, random_views
from tests.references import contrastive as reference

B, D = 16, 8
SETTINGS = {"hidden_dim": 32, "output_dim": D}


@pytest.fixture
def views(rng):
    return random_views(rng, B)


@pytest.mark.parametrize(
    ("temperature", "head_layers", "norm"), [(0.2, 3, "plain"), (1.0, 2, "none")]
)
def test_loss_is_both_directions_times_two_tau(views, temperature, head_layers, norm):
    method, params, state = made(
        "moco_v3",
        views,
        temperature=temperature,
        head_layers=head_layers,
        predictor_norm=norm,
        **SETTINGS,
    )
    raised = lambda leaf: np.asarray(leaf) + np.float32(0.1)
    teacher = jax.tree.map(raised, state.teacher)
    state = state._replace(teacher=teacher)
    value, (after, metrics) = losses(method)(params, state, views)

    widths = (32,) * (head_layers - 1) + (D,)
    head = MLP(widths, use_bias=False, last_norm="plain")
    predictor = MLP((32, D), use_bias=False, last_norm=norm)
    net = Network(encoder=method.encoder, projector=head, predictor=predictor)

    @jax.jit
    def outputs(params, state, one, other):
        q = net(params, state.stats, one)[0]["predictor"]
        return q, net(*state.teacher, other)[0]["projector"]

    expected = 0.0
    for v in range(2):
        q, k = outputs(params, state, views[:, v], views[:, 1 - v])
        q, k = (reference.unit_rows(float64(x))[0] for x in (q, k))
        expected += 2 * temperature * reference.info_nce_in_batch(q, k, temperature)[0]
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert 0 <= metrics["contrastive_accuracy"] <= 1
    # Two views, two moves, and the teacher's statistics are its own.
    mean, its = (
        stats["encoder"]["batch_stats"]["norm0"]["mean"]
        for stats in (after.stats, after.teacher.stats)
    )
    assert np.abs(mean - its).max() > 1e-3


def test_swapping_the_views_changes_nothing(views):
    method, params, state = made("moco_v3", views, **SETTINGS)
    loss = losses(method)
    np.testing.assert_allclose(
        loss(params, state, views)[0], loss(params, state, views[:, ::-1])[0], rtol=1e-5
    )


def test_equal_images_give_log_of_the_batch(views):
    method, params, state = made("moco_v3", views, temperature=0.5, **SETTINGS)
    flat = jnp.broadcast_to(views[:1, :1], views.shape)
    value, (_, metrics) = losses(method)(params, state, flat)
    np.testing.assert_allclose(value, 2 * 2 * 0.5 * np.log(B), rtol=1e-5)
    assert float(metrics["contrastive_accuracy"]) == 0


def test_only_queries_have_a_gradient(views):
    method, params, state = made("moco_v3", views, **SETTINGS)
    gradients, (state, _) = gradient(method)(params, state, views)
    assert set(gradients) == {"encoder", "projector", "predictor"}
    assert set(state.teacher.params) == {"encoder", "projector"}
    assert all(optax.global_norm(tree) > 0 for tree in gradients.values())
    assert "bias" not in params["projector"]["dense2"]


def test_momentum_rises_and_is_that_of_the_next_keys(views):
    schedule = cosine(100, B, init_value=0.9, end_value=1.0)
    method, params, state = made("moco_v3", views, momentum=schedule, **SETTINGS)
    zero = jax.tree.map(np.zeros_like, state.teacher)
    update = jax.jit(method.update)
    for step in (1, 50, 100):
        # m = 1 - (1 + cos(π s / S)) / 2 (1 - m0).
        m = 1 - 0.5 * (1 + np.cos(np.pi * step / 100)) * 0.1
        _, after = update(params, state._replace(teacher=zero), step=jnp.int32(step))
        np.testing.assert_allclose(
            after.teacher.params["projector"]["dense0"]["kernel"],
            (1 - m) * float64(params["projector"]["dense0"]["kernel"]),
            atol=1e-7,
        )


def test_patch_projection_keeps_its_first_weights_and_so_does_the_teacher():
    encoder = ENCODERS["vit"](
        dim=16,
        depth=1,
        num_heads=2,
        patch=4,
        image_size=SIZE,
        positions="sincos",
        scheme="moco_v3",
    )
    method = METHODS["moco_v3"](encoder, plain_views, momentum=0.5, **SETTINGS)
    wires = {"total_steps": 10, "steps_per_epoch": 5, "batch_size": B}
    settings = {
        "learning_rate": 0.01,
        "weight_decay": 0.1,
        "rates": (("^encoder/patch_embed/", None),),
    }
    tx = bind(OPTIMIZERS["adamw"], wires, settings)
    first = jax.jit(functools.partial(init, method, tx))(jax.random.key(0), batch())
    step = jax.jit(functools.partial(train_step, method, tx))
    train, _ = step(*step(first, batch(0))[:1], batch(1))
    assert "position_embed" not in train.params["encoder"]
    for now, then in (
        (train.params, first.params),
        (train.state.teacher.params, first.state.teacher.params),
    ):
        now, then = now["encoder"], then["encoder"]
        assert_equal(now["patch_embed"], then["patch_embed"])
        assert np.any(now["class_token"] != then["class_token"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature = -1.0 must be positive"),
        ({"head_layers": 0}, "head_layers = 0 must be at least 1"),
        ({"similarity": "dense"}, "similarity = 'dense' must be one of"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS["moco_v3"](ENCODERS["convnet"](), plain_views, **settings)
