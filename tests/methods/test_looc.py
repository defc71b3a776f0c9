"""LooC: loss, gradient and queues against float64; its relation to MoCo."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.methods.looc import looc
from jax_ssl.methods.moco import moco
from tests.case import Case
from tests.images import batch
from tests.leaves import assert_equal
from tests.methods.errors import KEY, MOMENTUM, STEP, B, Comparison, errors
from tests.references import multiview as reference


def tinted(key, example):
    """Three noisy views; the first and the last have one tint."""
    image = example["image"].astype(jnp.float32) / 255
    noise, gain = jax.random.split(key)
    gain = jax.random.uniform(gain, (3, 1, 1, 3), minval=0.3, maxval=1.7)
    gain = gain.at[2].set(gain[0])
    return gain * (image + 0.1 * jax.random.normal(noise, (3, *image.shape)))


SMALL = {"hidden_dim": 32, "output_dim": 16, "momentum": 0.9, "queue_size": 48}
CASES = {
    "looc": Case(
        "looc", {**SMALL, "num_kept": 1}, tinted, share=0.8, learning_rate=0.003
    ),
    "looc-spaces": Case(
        "looc",
        {**SMALL, "evaluated": "spaces", "similarity": "ring"},
        VIEWS["looc"](size=8, min_scale=0.6, strength=0.5, blur_probability=0.0),
        encoder={"name": "convnet", "widths": (8, 16), "groups": 4},
        share=0.9,
    ),
}
HEAD = {"hidden_dim": 6, "output_dim": 4, "queue_size": 2 * B}


@pytest.mark.parametrize(
    ("kept", "layers"), [(2, 1), pytest.param(1, 2, marks=pytest.mark.slow)]
)
def test_errors_are_those_of_float32(kept, layers):
    settings = {**HEAD, "head_layers": layers, "num_kept": kept, "momentum": MOMENTUM}
    found = errors(
        Comparison(
            "looc",
            {**settings, "temperature": 0.2},
            functools.partial(reference.looc, temperature=0.2, step=STEP),
            views=lambda rng: rng.uniform(size=(B, 2 + kept, 2, 2, 1)),
        )
    )
    assert all(error < 1e-5 for error in found.values()), found


def made(kept, **settings):
    method = looc(ConvNet(widths=(4,)), tinted, num_kept=kept, **{**HEAD, **settings})
    views = jax.random.normal(jax.random.key(2), (B, 2 + kept, 8, 8, 3))
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    loss = jax.jit(functools.partial(method.loss, key=KEY, step=jnp.int32(1)))
    return method, params, state, views, loss


def test_without_kept_augmentations_it_is_moco():
    _, params, state, views, loss = made(0)
    value, (after, _) = loss(params, state, views)
    other = moco(ConvNet(widths=(4,)), tinted, **HEAD)
    _, like = jax.eval_shape(other.init, KEY, views)

    def renamed(tree):
        return {**tree, "projector": tree["projector"].get("spaces_0", {})}

    teacher = like.teacher._replace(
        params=renamed(state.teacher.params), stats=renamed(state.teacher.stats)
    )
    same = like._replace(
        stats=renamed(state.stats), teacher=teacher, queue=state.queue[0]
    )
    wanted = jax.jit(functools.partial(other.loss, key=KEY, step=jnp.int32(1)))
    expected, (moved, _) = wanted(renamed(params), same, views)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(after.queue[0], moved.queue, atol=1e-6)


def test_chance_and_a_key_that_collides():
    method, params, state, views, loss = made(2)
    one = jnp.zeros(4).at[0].set(1.0)
    blind = jax.tree.map(jnp.zeros_like, params["projector"])
    for space in blind.values():
        space["dense1"]["bias"] = one
    blind = {**params, "projector": blind}
    alike = state._replace(
        teacher=state.teacher._replace(params=blind),
        queue=tuple(jnp.broadcast_to(one, queue.shape) for queue in state.queue),
    )
    K = HEAD["queue_size"]
    value, _ = loss(blind, alike, views)
    known = (math.log(1 + K) + 2 * math.log(3 + K)) / 3
    assert value == pytest.approx(known, rel=1e-6)
    assert method.health.chance(B) == pytest.approx(known)
    # Where all keys are one view, those of a query tie: ln 3 each, even with a queue
    # that is opposite.
    far = alike._replace(queue=tuple(-queue for queue in alike.queue))
    value, _ = loss(blind, far, views)
    assert value == pytest.approx(2 / 3 * math.log(3), abs=1e-3)


def test_no_space_sees_the_queue_of_another():
    _, params, state, views, loss = made(1)
    _, (after, metrics) = loss(params, state, views)
    turned = state._replace(queue=(-state.queue[0], state.queue[1]))
    _, (moved, _) = loss(params, turned, views)
    np.testing.assert_array_equal(after.queue[1], moved.queue[1])
    assert set(metrics) == {"space_0_accuracy", "space_1_accuracy", "momentum"}
    fresh = np.abs(np.asarray(after.queue[1]) - np.asarray(state.queue[1])).max(1) > 0
    np.testing.assert_array_equal(fresh, np.arange(2 * B) >= B)  # The second place.


def test_features_of_all_spaces_are_exported_in_a_row():
    method, params, state, views, _ = made(1, evaluated="spaces")
    variables = method.exports["encoder"](params, state)
    found = method.encoder.apply(variables, views[:, 0], train=False).pooled
    assert found.shape == (B, 2 * 4)
    np.testing.assert_allclose(
        found, method.health.project(params, state, views[:, 0]), rtol=1e-6
    )
    norms = np.linalg.norm(found.reshape(B, 2, 4), axis=-1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    bare = method.exports["backbone"](params, state)
    assert_equal(bare["params"], params["encoder"])


def test_pictures_are_keys_of_these_images():
    recipe = VIEWS["looc"](size=8, kept=("color",), blur_probability=0.0)
    method = looc(ConvNet(widths=(4,)), recipe, num_kept=1, **HEAD)
    examples = jax.tree.map(lambda x: x[:3], batch())
    examples["view"] = examples["image"] / 255

    @jax.jit
    def pictures(examples):
        views = jnp.zeros((B, 3, 8, 8, 3))
        params, state = method.init(KEY, views)
        (shown,) = method.shows(params, state, examples, KEY).values()
        return {name: x for name, (_, x) in shown.columns.items()}, shown.agrees

    found, agrees = pictures(examples)
    assert sorted(found) == sorted(
        ["query"]
        + [
            f"{space}: {which}"
            for space in ("invariant to all", "keeps color")
            for which in ("nearest key", "of another image")
        ]
    )
    assert all(x.shape == (3, 8, 8, 3) for x in found.values())
    # Views are drawn of the examples alone: those of a row's image have its frame.
    rows = {name: x for name, x in examples.items() if name != "view"}
    keys = jax.vmap(recipe)(jax.random.split(KEY, 3), rows)[:, 1:]
    assert len(agrees) == 2
    for name, said in agrees.items():
        own = np.isclose(keys, found[name][:, None], atol=1e-5).all((2, 3, 4)).any(1)
        np.testing.assert_array_equal(said, own)


def test_settings_and_views_are_refused():
    for settings, message in (
        ({"num_kept": -1}, "num_kept = -1 must be at least 0"),
        ({"evaluated": "head"}, "evaluated = 'head' must be one of"),
        ({"temperature": 0.0}, "temperature = 0.0 must be positive"),
        ({"similarity": "dense"}, "similarity = 'dense' must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            looc(ConvNet(), tinted, **settings)
    method = looc(ConvNet(), tinted, num_kept=2, queue_size=32)
    with pytest.raises(
        ValueError, match=r"there are 3; set config.method.num_kept = 1"
    ):
        method.init(KEY, jnp.zeros((16, 3, 8, 8, 3)))
    with pytest.raises(ValueError, match=r"queue_size = 32 .* the 12 rows"):
        method.init(KEY, jnp.zeros((12, 4, 8, 8, 3)))
