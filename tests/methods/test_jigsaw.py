"""Jigsaw puzzles: loss and gradient against float64, the order of tiles, pictures."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.methods.jigsaw import jigsaw
from jax_ssl.ops.permutations import permutation_set
from tests.case import Case
from tests.images import batch
from tests.methods.errors import KEY, B, Comparison, errors
from tests.methods.pairs import losses
from tests.references import puzzles as reference

WIDTHS = {"tile_dim": 16, "hidden_dims": (16,)}
# The images are enlarged, so that every tile has pixels to be told by.
OPEN = VIEWS["jigsaw"](
    size=4, gap=0, jitter=0, resize=12, gray_probability=0.0, normalize=False
)
CASES = {
    "jigsaw": Case(
        "jigsaw",
        {**WIDTHS, "num_permutations": 4},
        OPEN,
        share=0.75,
        learning_rate=0.03,
    ),
}


@pytest.fixture(scope="module")
def method():
    return jigsaw(ConvNet(widths=(4, 8)), OPEN, num_permutations=30, **WIDTHS)


@pytest.fixture(scope="module")
def first(method):
    """The first params and state."""
    return jax.jit(method.init)(jax.random.key(1), jnp.zeros((4, 9, 4, 4, 3)))


@pytest.fixture(scope="module")
def loss(method):
    return losses(method)


def test_loss_and_gradient_are_float64s():
    found = errors(
        Comparison(
            "jigsaw",
            {"num_permutations": 6, "tile_dim": 3, "hidden_dims": (4,)},
            reference.jigsaw,
            lambda: np.asarray(jax.random.randint(KEY, (B,), 0, 6)),
            views=lambda rng: rng.uniform(size=(B, 9, 2, 2, 1)),
        )
    )
    assert all(error < 1e-5 for error in found.values()), found


def test_chance_is_the_log_of_the_permutations(method, first, loss, rng):
    views = jnp.asarray(rng.normal(size=(4, 9, 4, 4, 3)), jnp.float32)
    params, state = first
    blind = jax.tree.map(np.zeros_like, params["classifier"])
    value, _ = loss({**params, "classifier": blind}, state, views)
    assert value == pytest.approx(math.log(30), abs=1e-6)
    assert method.health.chance(16) == pytest.approx(math.log(30))


@pytest.mark.parametrize("distance", ["mean", "minimum"])
def test_the_table_is_kept_with_the_network(distance):
    settings = {"num_permutations": 30, "distance": distance, "permutation_seed": 5}
    method = jigsaw(ConvNet(widths=(4,)), OPEN, **settings, **WIDTHS)

    @jax.jit
    def tables(views):
        params, state = method.init(jax.random.key(1), views)
        _, (after, _) = method.loss(params, state, views, key=KEY, step=jnp.int32(0))
        return state.permutations, after.permutations

    first, after = tables(jnp.zeros((2, 9, 4, 4, 3)))
    table = permutation_set(30, criterion=distance, seed=5)
    np.testing.assert_array_equal(first, table)
    np.testing.assert_array_equal(after, table)


def test_swapped_tiles_are_another_puzzle_of_the_same_tiles(first, loss, rng):
    """The encoder and its batch norm see a set of tiles, the classifier an order."""
    tiles = rng.normal(size=(4, 9, 4, 4, 3)).astype(np.float32)
    value, (after, _) = loss(*first, tiles)
    other, (moved, _) = loss(*first, tiles[:, [1, 0, *range(2, 9)]])
    for part in ("encoder", "projector"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            after.stats[part],
            moved.stats[part],
        )
    assert abs(value - other) > 1e-4


def test_pictures_undo_the_shuffle_where_the_guess_is_right(method, first):
    examples = {**batch(), "view": batch()["image"] / 255}
    params, state = first

    @jax.jit
    def pictures(table):
        own = state._replace(permutations=table)
        (shown,) = method.shows(params, own, examples, KEY).values()
        return [x for _, x in shown.columns.values()]

    def drawn(table):
        return map(np.asarray, pictures(table))

    _, shuffled, guessed, true = drawn(state.permutations)
    assert shuffled.shape == (16, 18, 18, 3)
    for board, other in ((shuffled, true), (guessed, true)):
        np.testing.assert_allclose(
            np.sort(board, axis=None), np.sort(other, axis=None), atol=1e-6
        )
    assert (shuffled != true).any((1, 2, 3)).all()
    # Where all permutations are one, every guess is right.
    one = jnp.broadcast_to(state.permutations[7], (30, 9))
    _, shuffled, guessed, true = drawn(one)
    np.testing.assert_array_equal(guessed, true)
    assert (shuffled != true).any((1, 2, 3)).all()


def test_other_views_and_settings_are_refused(method):
    with pytest.raises(ValueError, match=r"nine tiles.*'jigsaw'"):
        method.init(jax.random.key(0), jnp.zeros((2, 8, 8, 3)))
    with pytest.raises(ValueError, match=r"num_permutations = 1 must be in"):
        jigsaw(ConvNet(), OPEN, num_permutations=1)
    with pytest.raises(ValueError, match="tile_dim = 0 must be at least 1"):
        jigsaw(ConvNet(), OPEN, tile_dim=0)
