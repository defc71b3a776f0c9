"""RotNet's turns, its loss against float64, and its laws."""

import functools
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
from tests.methods.pairs import losses
from tests.references import puzzles as reference

CASES = {
    "rotation": Case("rotation", {}, one_image, share=0.9, learning_rate=0.05),
}


@pytest.fixture(scope="module")
def method():
    return rotation(ConvNet(widths=(4, 8)), one_image)


@pytest.fixture(scope="module")
def first(method):
    """The first params and state."""
    return jax.jit(method.init)(jax.random.key(1), jnp.zeros((5, 8, 8, 3)))


@pytest.fixture(scope="module")
def loss(method):
    return losses(method)


def test_turns_are_numpys_and_a_group(rng):
    images = rng.normal(size=(3, 6, 6, 2)).astype(np.float32)
    turn = jax.jit(turned)
    turns = np.asarray(turn(images))
    for k in range(4):
        np.testing.assert_array_equal(turns[:, k], np.rot90(images, k, axes=(1, 2)))
        # A turn of what was turned k times is the next turn of the image.
        again = np.asarray(turn(turns[:, k]))[:, 1]
        np.testing.assert_array_equal(again, turns[:, (k + 1) % 4])


def test_loss_is_the_cross_entropy_of_all_turns(method, first, loss, rng):
    views = rng.normal(size=(5, 8, 8, 3)).astype(np.float32)
    params, state = first
    value, (_, metrics) = loss(params, state, views)
    kernel, bias = (
        np.asarray(params["classifier"]["dense0"][name], np.float64)
        for name in ("kernel", "bias")
    )
    turns = np.stack([np.rot90(views, k, axes=(1, 2)) for k in range(4)], 1)
    # One pass over all turns of all images, as batch norm must see them.
    variables = method.exports["encoder"](params, state)
    apply = functools.partial(method.encoder.apply, train=True, mutable=["batch_stats"])
    features, _ = jax.jit(apply)(variables, turns.reshape(20, 8, 8, 3))
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


def test_pictures_are_turned_back_by_the_guess(method, first, rng):
    """A classifier that always says "half a turn" turns every copy by another half."""
    images = rng.normal(size=(3, 8, 8, 3)).astype(np.float32)
    params, state = first
    blind = jax.tree.map(np.zeros_like, params["classifier"])
    blind["dense0"]["bias"] = jnp.array([0.0, 0.0, 1.0, 0.0])
    params = {**params, "classifier": blind}

    @jax.jit
    def drawn(view):
        shown = method.shows(params, state, {"view": view}, jax.random.key(0))
        return [x for each in shown.values() for _, x in each.columns.values()]

    original, *pictures = drawn(images)
    np.testing.assert_array_equal(original, images)
    assert len(pictures) == 8
    for k in range(4):
        seen, back = pictures[2 * k], pictures[2 * k + 1]
        np.testing.assert_array_equal(seen, np.rot90(images, k, axes=(1, 2)))
        np.testing.assert_array_equal(back, np.rot90(images, k + 2, axes=(1, 2)))
    assert drawn(images[:, :6]) == []


def test_chance_is_the_log_of_four(method, first, loss, rng):
    views = rng.normal(size=(5, 8, 8, 3)).astype(np.float32)
    params, state = first
    blind = jax.tree.map(np.zeros_like, params["classifier"])
    value, _ = loss({**params, "classifier": blind}, state, views)
    assert value == pytest.approx(math.log(4), abs=1e-6)
    assert method.health.chance(16) == pytest.approx(math.log(4))


def test_images_that_no_turn_changes_cannot_be_told(first, loss):
    _, (_, metrics) = loss(*first, jnp.full((5, 8, 8, 3), 0.3))
    assert metrics["rotation_accuracy"] == 0.25


def test_views_that_are_not_square_are_refused(method):
    with pytest.raises(ValueError, match=r"8 x 6 pixels.*config\.views\.name"):
        method.init(jax.random.key(0), jnp.zeros((2, 8, 6, 3)))
