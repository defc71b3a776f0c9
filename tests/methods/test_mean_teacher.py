"""Laws of mean teachers; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.optim.schedules import after, sigmoid_ramp
from tests.case import Case
from tests.images import labelled_image, plain_views
from tests.leaves import assert_equal
from tests.methods.errors import Linear

B, K = 16, 3
KEY = jax.random.key(1)


def labelled_pair(key, example):
    """Two views; of every other image the label, its brightest channel."""
    label = labelled_image(key, example)["label"].astype(jnp.int32)
    label = jnp.where(example["index"] % 2 == 0, label, -1)
    return {"image": plain_views(key, example), "label": label}


CASES = {
    "mean_teacher": Case(
        "mean_teacher",
        {
            "num_classes": K,
            "consistency_weight": 5.0,
            "momentum": 0.9,
            "noise": 0.05,
            "dropout": 0.1,
        },
        labelled_pair,
        learning_rate=0.05,
    ),
}


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(B, 2, 8, 8, 3))
    label = np.where(np.arange(B) % 2, -1, rng.integers(0, K, B))
    return {"image": jnp.float32(image), "label": jnp.int32(label)}


def made(views, encoder=None, **settings):
    settings = {"num_classes": K, "first_std": 0.5, **settings}
    method = METHODS["mean_teacher"](encoder or Linear(), labelled_pair, **settings)
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    return method, params, state


def value_of(method, step=0):
    return jax.jit(functools.partial(method.loss, key=KEY, step=jnp.int32(step)))


def same_views(views):
    return {**views, "image": views["image"][:, :1].repeat(2, 1)}


def test_equal_outputs_are_consistent_and_either_noise_is_not(views):
    alike = same_views(views)
    found = []
    for settings in ({}, {"noise": 0.2}, {"dropout": 0.5}):
        method, params, state = made(views, **settings)
        found.append(value_of(method)(params, state, alike)[1][1]["consistency"])
    assert found[0] < 1e-12
    assert found[1] > 1e-6
    assert found[2] > 1e-6
    method, params, state = made(views)
    assert value_of(method)(params, state, views)[1][1]["consistency"] > 1e-6


def test_loss_is_the_sum_and_its_weight_and_momentum_follow_their_ramps(views):
    weight = sigmoid_ramp(100, 10, value=50.0, epochs=4)
    momentum = after(100, 10, first=0.99, value=0.999, epochs=4)
    method, params, state = made(views, consistency_weight=weight, momentum=momentum)
    for step, share in ((0, np.exp(-5)), (20, np.exp(-1.25)), (40, 1.0), (99, 1.0)):
        value, (after_step, told) = value_of(method, step)(params, state, views)
        np.testing.assert_allclose(told["consistency_weight"], 50 * share, rtol=1e-5)
        expected = told["cross_entropy"] + 50 * share * told["consistency"]
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        moved = jax.tree.map(lambda leaf: leaf + 1, params)
        _, then = method.update(moved, after_step, step=jnp.int32(step + 1))
        alpha = 0.99 if step < 40 else 0.999
        wanted = alpha * params["head"]["dense"]["kernel"]
        wanted += (1 - alpha) * moved["head"]["dense"]["kernel"]
        kernel = then.teacher.params["head"]["dense"]["kernel"]
        np.testing.assert_allclose(kernel, wanted, rtol=1e-5, atol=1e-6)


def test_labels_that_are_not_there_are_not_read(views):
    method, params, state = made(views)
    other = {**views, "label": jnp.where(views["label"] < 0, -7, views["label"])}
    loss = value_of(method)
    assert_equal(loss(params, state, other), loss(params, state, views))
    none = {**views, "label": jnp.full(B, -1)}
    value, (_, told) = loss(params, state, none)
    assert told["cross_entropy"] == 0
    np.testing.assert_allclose(value, 100 * told["consistency"], rtol=1e-6)


def test_chance_is_the_logarithm_of_the_classes(views):
    method, params, state = made(views, first_std=0.0)
    value, _ = value_of(method)(params, state, views)
    assert value == pytest.approx(np.log(K), rel=1e-6)
    assert method.health.chance(B) == pytest.approx(np.log(K))


def test_the_teacher_is_judged_and_exported(views):
    method, params, state = made(views, ENCODERS["convnet"](widths=(4,)))
    teacher = jax.tree.map(lambda leaf: leaf + 0.5, state.teacher)
    state = state._replace(teacher=teacher)
    own = {"params": teacher.params["encoder"], **teacher.stats["encoder"]}
    assert_equal(method.exports["encoder"](params, state), own)
    whole = method.exports["classifier"](params, state)
    assert_equal(whole, {"params": teacher.params, "stats": teacher.stats})
    x = views["image"][:, 0]
    pooled = method.encoder.apply(own, x, train=False).pooled
    dense = teacher.params["head"]["dense"]
    scores = method.health.project(params, state, x)
    wanted = pooled @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-5)
    assert (method.health.classes, method.health.unlabelled) == (K, True)


def test_pictures_are_of_the_teacher_and_of_the_student(views):
    """Heads that see no features say their bias, whatever the noise of training."""
    method, params, state = made(views, noise=1.0, dropout=0.5)
    wanted = {"teacher": np.full(K, 1 / K), "student": np.array([0.5, 0.2, 0.3])}

    def saying(copy, p):
        head = copy["head"]["dense"]
        blind = {"kernel": 0 * head["kernel"], "bias": jnp.float32(np.log(p))}
        return {**copy, "head": {"dense": blind}}

    taught = saying(state.teacher.params, wanted["teacher"])
    state = state._replace(teacher=state.teacher._replace(params=taught))
    params = saying(params, wanted["student"])
    examples = {"view": views["image"][:, 0], "label": views["label"]}

    @jax.jit
    def pictures(params, state, examples):
        (shown,) = method.shows(params, state, examples, KEY).values()
        assert [kind for kind, _ in shown.columns.values()][1:] == ["probabilities"] * 3
        return {name: x for name, (_, x) in shown.columns.items()}, shown.labels

    found, labels = pictures(params, state, examples)
    for name, p in wanted.items():
        np.testing.assert_allclose(
            found[f"probabilities: {name}"], np.tile(p, (B, 1)), atol=1e-6
        )
    np.testing.assert_array_equal(labels["image"], views["label"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 1}, "num_classes = 1 must be at least 2"),
        ({"consistency": "l1"}, "consistency = 'l1' must be one of 'mse', 'kl'"),
        ({"consistency_weight": -1.0}, "consistency_weight = -1.0"),
        ({"momentum": 1.5}, "momentum = 1.5"),
        ({"noise": -0.1}, "noise = -0.1"),
        ({"dropout": 1.0}, "dropout = 1.0"),
    ],
)
def test_settings_are_refused(settings, message):
    encoder = ENCODERS["convnet"]()
    with pytest.raises(ValueError, match=message):
        METHODS["mean_teacher"](encoder, None, **{"num_classes": K, **settings})


def test_one_view_is_refused(views):
    method, *_ = made(views)
    one = {**views, "image": views["image"][:, 0]}
    with pytest.raises(
        ValueError, match=r"'supervised' and config.views.num_views = 2"
    ):
        method.init(KEY, one)
