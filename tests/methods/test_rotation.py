"""RotNet's turns, its loss against float64, and its laws."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.methods.rotation import rotation, turned
from tests.case import Case
from tests.images import one_image
from tests.methods.errors import B, Comparison, errors
from tests.references import puzzles as reference

CASES = {
    "rotation": Case("rotation", {}, one_image, share=0.9, learning_rate=0.05),
}


@pytest.fixture
def method():
    return rotation(ConvNet(widths=(4, 8)), one_image)


def loss_of(method, params, state, views):
    key, step = jax.random.key(0), jnp.int32(0)
    return method.loss(params, state, views, key=key, step=step)


def test_turns_are_numpys_and_a_group(rng):
    images = rng.normal(size=(3, 6, 6, 2)).astype(np.float32)
    turns = np.asarray(turned(jnp.asarray(images)))
    for k in range(4):
        np.testing.assert_array_equal(turns[:, k], np.rot90(images, k, axes=(1, 2)))
        # A turn of what was turned k times is the next turn of the image.
        again = np.asarray(turned(jnp.asarray(turns[:, k])))[:, 1]
        np.testing.assert_array_equal(again, turns[:, (k + 1) % 4])


def test_loss_is_the_cross_entropy_of_all_turns(method, rng):
    views = jnp.asarray(rng.normal(size=(5, 8, 8, 3)), jnp.float32)
    params, state = method.init(jax.random.key(1), views)
    value, (_, metrics) = loss_of(method, params, state, views)
    kernel, bias = (
        np.asarray(params["classifier"]["dense0"][name], np.float64)
        for name in ("kernel", "bias")
    )
    turns = np.stack([np.rot90(views, k, axes=(1, 2)) for k in range(4)], 1)
    # One pass over all turns of all images, as batch norm must see them.
    variables = method.exports["encoder"](params, state)
    features, _ = method.encoder.apply(
        variables, turns.reshape(20, 8, 8, 3), train=True, mutable=["batch_stats"]
    )
    logits = np.asarray(features.pooled, np.float64) @ kernel + bias
    wanted = np.tile(np.arange(4), 5)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(20), wanted]
    assert value == pytest.approx(losses.mean(), abs=1e-5)
    accuracy = (logits.argmax(1) == wanted).mean()
    assert metrics["rotation_accuracy"] == pytest.approx(accuracy)


def test_loss_and_gradient_are_float64s():
    found = errors(
        Comparison(
            "rotation",
            {},
            reference.rotation,
            views=lambda rng: rng.uniform(size=(B, 3, 3, 1)),
        )
    )
    assert all(error < 1e-5 for error in found.values()), found


def test_pictures_are_turned_back_by_the_guess(method, rng):
    """A classifier that always says "half a turn" turns every copy by another half."""
    images = jnp.asarray(rng.normal(size=(3, 8, 8, 3)), jnp.float32)
    params, state = method.init(jax.random.key(1), images)
    blind = jax.tree.map(jnp.zeros_like, params["classifier"])
    blind["dense0"]["bias"] = jnp.array([0.0, 0.0, 1.0, 0.0])
    params = {**params, "classifier": blind}
    (shown,) = method.shows(params, state, {"view": images}, jax.random.key(0)).values()
    original, *pictures = (x for _, x in shown.columns.values())
    np.testing.assert_array_equal(original, images)
    assert len(pictures) == 8
    for k in range(4):
        seen, back = pictures[2 * k], pictures[2 * k + 1]
        np.testing.assert_array_equal(seen, np.rot90(images, k, axes=(1, 2)))
        np.testing.assert_array_equal(back, np.rot90(images, k + 2, axes=(1, 2)))
    wide = {"view": images[:, :6]}
    assert method.shows(params, state, wide, jax.random.key(0)) == {}


def test_chance_is_the_log_of_four(method, rng):
    views = jnp.asarray(rng.normal(size=(2, 8, 8, 3)), jnp.float32)
    params, state = method.init(jax.random.key(1), views)
    blind = jax.tree.map(jnp.zeros_like, params["classifier"])
    value, _ = loss_of(method, {**params, "classifier": blind}, state, views)
    assert value == pytest.approx(math.log(4), abs=1e-6)
    assert method.health.chance(16) == pytest.approx(math.log(4))


def test_images_that_no_turn_changes_cannot_be_told(method):
    grey = jnp.full((3, 8, 8, 3), 0.3)
    params, state = method.init(jax.random.key(1), grey)
    _, (_, metrics) = loss_of(method, params, state, grey)
    assert metrics["rotation_accuracy"] == 0.25


def test_views_that_are_not_square_are_refused(method):
    with pytest.raises(ValueError, match=r"8 x 6 pixels.*config\.views\.name"):
        method.init(jax.random.key(0), jnp.zeros((2, 8, 6, 3)))
