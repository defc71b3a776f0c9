"""DINO's own laws; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.config.bind import bind
from jax_ssl.encoders import ENCODERS
from jax_ssl.losses.distillation import multi_crop_cross_entropy
from jax_ssl.methods import METHODS
from jax_ssl.nn.heads import prototype_head
from jax_ssl.nn.network import Network
from jax_ssl.optim.schedules import cosine, linear
from tests.images import plain_crops
from tests.leaves import assert_equal
from tests.methods.crops import VIT, assert_close, made, random_crops
from tests.references import distillation as reference

CONVNET = {"name": "convnet", "widths": (8, 16)}
HEAD = {"num_prototypes": 12, "hidden_dim": 64, "bottleneck_dim": 8}
SETTINGS = {
    **HEAD,
    "teacher_temperature": 0.05,
    "center_momentum": 0.8,
    "norm_last_layer": False,
}


@pytest.fixture(scope="module")
def views():
    return random_crops(np.random.default_rng(0))


@functools.cache
def compiled(method):
    def loss(params, state, views, key):
        return method.loss(params, state, views, key=key, step=jnp.int32(0))

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def evaluated(method, params, state, views, key=None):
    key = jax.random.key(1) if key is None else key
    return compiled(method)(params, state, views, key)


def logits(encoder, norm, own, stacks):
    """Scores [B, V, K], written out crop size by crop size."""
    params, stats = own
    sizes = {"hidden_dim": 64, "bottleneck_dim": 8, "norm_last_layer": False}
    net = Network(encoder=encoder, **prototype_head(encoder, 12, norm=norm, **sizes))
    first = {"encoder": params["encoder"]}
    heads = {name: params[name] for name in ("projector", "prototypes")}
    pooled = []
    for stack in stacks:
        features, stats = net.together(first, stats, stack)
        pooled.append(features["encoder"].pooled)
    return net.together(heads, stats, jnp.concatenate(pooled, axis=1))[0]["prototypes"]


@pytest.mark.parametrize(("encoder", "norm"), [(VIT, "none"), (CONVNET, "batch")])
def test_loss_gradient_and_next_center_are_the_reference(views, encoder, norm):
    method, params, state = made("dino", views, encoder, head_norm=norm, **SETTINGS)
    (value, (after, metrics)), gradient = evaluated(method, params, state, views)

    stacks = [views["global"], views["local"]]
    scores = jax.jit(functools.partial(logits, method.encoder, norm))
    taught = np.asarray(scores(state.teacher, stacks[:1]))
    targets = reference.sharpened(taught, np.asarray(state.center, np.float64), 0.05)
    said, pull = jax.vjp(lambda p: scores((p, state.stats), stacks), params)
    wanted, slope, terms = reference.multi_crop(np.asarray(said) / 0.1, targets)
    assert terms == 2 * (5 - 1)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    (expected,) = pull(jnp.asarray(slope / 0.1, jnp.float32))
    assert_close(gradient, expected)

    center = 0.8 * np.asarray(state.center, np.float64)
    center += 0.2 * taught.astype(np.float64).mean((0, 1))
    assert_close(after.center, center)
    entropy = -(targets * np.log(targets + 1e-300)).sum(-1).mean()
    np.testing.assert_allclose(metrics["teacher_entropy"], entropy, rtol=1e-4)
    np.testing.assert_allclose(
        metrics["teacher_student_kl"], wanted - entropy, rtol=1e-4
    )
    np.testing.assert_allclose(
        metrics["center_norm"], np.linalg.norm(center), rtol=1e-5
    )
    # The teacher's own statistics move with the global crops alone: once, not twice.
    if norm == "batch":
        moved, student = (
            stats["encoder"]["batch_stats"]["norm0"]["mean"]
            for stats in (after.teacher.stats, after.stats)
        )
        assert np.abs(moved).max() > 0
        assert np.abs(moved - student).max() > 1e-4


def test_center_converges_to_the_teacher_s_mean(views):
    method, params, state = made("dino", views, CONVNET, **SETTINGS)
    state = state._replace(center=jnp.zeros_like(state.center))
    norms = []
    for _ in range(3):
        _, (state, metrics) = evaluated(method, params, state, views)[0]
        norms.append(float(metrics["center_norm"]))
    # Of the same batch, raw: 1 - 0.8ⁿ of its mean, whatever has been subtracted.
    shares = 1 - 0.8 ** np.arange(1, 4)
    np.testing.assert_allclose(np.divide(norms, norms[0]), shares / 0.2, rtol=1e-4)


def test_plain_pairs_are_two_global_crops(views):
    method, params, state = made("dino", views, CONVNET, **SETTINGS)
    pair = evaluated(method, params, state, views["global"])
    named = evaluated(method, params, state, {"global": views["global"]})
    np.testing.assert_array_equal(pair[0][0], named[0][0])


def test_paths_are_dropped_in_the_student_alone(views):
    dropping = {**VIT, "depth": 2, "drop_path": 0.5}
    method, params, state = made("dino", views, dropping, **SETTINGS)
    draws = [
        evaluated(method, params, state, views, jax.random.key(seed))[0]
        for seed in range(2)
    ]
    assert draws[0][0] != draws[1][0]
    (_, (one, a)), (_, (other, b)) = draws
    np.testing.assert_array_equal(one.center, other.center)
    assert a["teacher_entropy"] == b["teacher_entropy"]


def test_teacher_follows_the_params_and_is_exported(views):
    method, params, state = made("dino", views, CONVNET, momentum=0.9, **SETTINGS)
    _, after = jax.jit(method.update)(params, state, step=jnp.int32(1))
    wanted = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, state.teacher.params, params)
    assert_close(after.teacher.params, wanted)
    exported = method.exports["encoder"](params, after)
    assert_equal(exported["params"], after.teacher.params["encoder"])
    its = exported["batch_stats"]
    assert_equal(its, after.teacher.stats["encoder"]["batch_stats"])


def test_schedules_reach_their_ends(views):
    wires = (1000, 10, 16)
    temperature = linear(*wires, init_value=0.04, end_value=0.07, epochs=30)
    momentum = cosine(1000, 16, init_value=0.996, end_value=1.0)
    decay = cosine(1000, 16, init_value=0.04, end_value=0.4)
    ends = [(float(f(0)), float(f(1000))) for f in (temperature, momentum, decay)]
    np.testing.assert_allclose(ends, [(0.04, 0.07), (0.996, 1), (0.04, 0.4)], rtol=1e-6)
    np.testing.assert_allclose([temperature(299), temperature(300)], 0.07, rtol=2e-3)
    settings = {**SETTINGS, "teacher_temperature": temperature, "momentum": momentum}
    method, params, state = made("dino", views, CONVNET, **settings)
    (_, (_, metrics)), _ = evaluated(method, params, state, views)
    np.testing.assert_allclose(metrics["teacher_temperature"], 0.04, rtol=1e-6)
    np.testing.assert_allclose(metrics["momentum"], 0.996, rtol=1e-6)


def test_project_is_the_student_s_bottleneck_and_chance_is_ln_k(views):
    method, params, state = made("dino", views, CONVNET, **SETTINGS)
    z = jax.jit(method.health.project)(params, state, views["global"][:, 0])
    assert z.shape == (6, 8)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)
    assert method.health.chance(6) == pytest.approx(np.log(12))
    uniform = multi_crop_cross_entropy(
        jnp.zeros((2, 4, 12)), jnp.full((2, 2, 12), 1 / 12)
    )
    np.testing.assert_allclose(uniform, method.health.chance(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"student_temperature": 0.0}, "student_temperature = 0.0"),
        ({"center_momentum": 1.5}, "center_momentum = 1.5"),
        ({"num_prototypes": 0}, "num_prototypes = 0 must be at least 1"),
        ({"head_norm": "layer"}, "head_norm = 'layer' must be one of"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    wires = {"encoder": ENCODERS["convnet"](widths=(8,)), "views": plain_crops}
    with pytest.raises(ValueError, match=message):
        bind(METHODS["dino"], wires, settings)
