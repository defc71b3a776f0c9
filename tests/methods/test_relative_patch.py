"""Relative patches: labels, loss and gradient against float64, chance and pictures."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.methods.relative_patch import FIRST, SECOND, WANTED, relative_patch
from tests.case import Case
from tests.images import batch
from tests.methods.errors import B, Comparison, errors
from tests.methods.pairs import losses
from tests.references import puzzles as reference

WIDTHS = {"patch_dim": 16, "hidden_dims": (16,)}
# The images are enlarged, so that every patch has pixels to be told by.
OPEN = VIEWS["relative_patch"](
    size=4,
    gap=0,
    jitter=0,
    areas=(144, 144),
    coarse_probability=0.0,
    colours="keep",
    normalize=False,
)
CASES = {
    "relative_patch": Case(
        "relative_patch", WIDTHS, OPEN, share=0.78, steps=60, learning_rate=0.05
    ),
}


@pytest.fixture(scope="module")
def method():
    return relative_patch(ConvNet(widths=(4, 8)), OPEN, **WIDTHS)


@pytest.fixture(scope="module")
def first(method):
    """The first params and state."""
    return jax.jit(method.init)(jax.random.key(1), jnp.zeros((2, 9, 4, 4, 3)))


@pytest.fixture(scope="module")
def loss(method):
    return losses(method)


def test_loss_and_gradient_are_float64s():
    found = errors(
        Comparison(
            "relative_patch",
            {"patch_dim": 3, "hidden_dims": (4,)},
            reference.relative_patch,
            views=lambda rng: rng.uniform(size=(B, 9, 2, 2, 1)),
        )
    )
    assert all(error < 1e-5 for error in found.values()), found


def test_labels_are_row_by_row_and_the_way_back_is_seven_less():
    wanted = dict(zip(zip(FIRST, SECOND, strict=True), WANTED, strict=True))
    assert len(wanted) == 16
    for (first, second), label in wanted.items():
        (y, x), (v, u) = divmod(first, 3), divmod(second, 3)
        assert reference.WAYS[label] == (v - y, u - x)
        assert wanted[second, first] == 7 - label
    np.testing.assert_array_equal(np.bincount(WANTED), [2] * 8)


def test_chance_is_the_log_of_eight(method, first, loss, rng):
    views = jnp.asarray(rng.normal(size=(2, 9, 4, 4, 3)), jnp.float32)
    params, state = first
    blind = jax.tree.map(np.zeros_like, params["classifier"])
    value, (_, metrics) = loss({**params, "classifier": blind}, state, views)
    assert value == pytest.approx(math.log(8), abs=1e-6)
    assert metrics["relative_patch_accuracy"] == 1 / 8
    assert method.health.chance(16) == pytest.approx(math.log(8))


def test_patches_that_are_all_alike_cannot_be_told(first, loss):
    _, (_, metrics) = loss(*first, jnp.full((2, 9, 4, 4, 3), 0.3))
    assert metrics["relative_patch_accuracy"] == 1 / 8


def test_pictures_show_the_pair_at_its_place_and_at_the_guess(method, first):
    examples = {**batch(), "view": batch()["image"] / 255}

    @jax.jit
    def pictures(params, state):
        (shown,) = method.shows(params, state, examples, jax.random.key(2)).values()
        return [x for _, x in shown.columns.values()]

    _, first, second, guessed, true = map(np.asarray, pictures(*first))
    assert guessed.shape == true.shape == (16, 18, 18, 3)
    for pair, board in [*zip(zip(first, second, strict=True), true, strict=True)]:
        tiles = board.reshape(3, 6, 3, 6, 3).swapaxes(1, 2).reshape(9, 6, 6, 3)
        tiles = tiles[:, 1:-1, 1:-1]
        np.testing.assert_array_equal(tiles[4], pair[0])
        same = [(tile == pair[1]).all() for tile in tiles]
        blank = [(tile == 0.5).all() for tile in tiles]
        assert sum(same) == 1
        assert sum(blank) == 7


def test_other_views_and_widths_are_refused(method):
    with pytest.raises(ValueError, match=r"nine tiles.*'relative_patch'"):
        method.init(jax.random.key(0), jnp.zeros((2, 4, 8, 8, 3)))
    with pytest.raises(ValueError, match=r"hidden_dims = \(0,\) must be at least 1"):
        relative_patch(ConvNet(), OPEN, hidden_dims=(0,))
    with pytest.raises(ValueError, match="has no 'projektor'"):
        relative_patch(ConvNet(), OPEN, {"projektor": ConvNet()})
