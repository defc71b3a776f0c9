"""The views of PIRL and LooC: which tiles, which turns, and whose draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.augment.invariant import KEPT
from jax_ssl.augment.steps import Turn
from tests import laws

KEY = jax.random.key(5)
BARE = {"strength": 0.0, "gray_probability": 0.0, "mean": None, "std": None}


def drawn(views, image, count):
    example = {"image": jnp.asarray(image), "index": jnp.int32(3)}
    draw = jax.jit(jax.vmap(lambda key: views(key, example)))
    return jax.tree.map(np.asarray, draw(jax.random.split(KEY, count)))


def where(side):
    """An image whose channels say where a pixel is."""
    y, x = np.mgrid[:side, :side] / 64
    return np.stack([y, x, 0 * x], -1).astype(np.float32)


def test_tiles_of_pirl_are_all_nine_in_any_order_anywhere_in_their_cells():
    recipe = VIEWS["pirl"](
        size=8,
        tile=4,
        gap=3,
        min_scale_transformed=1.0,
        photometric_probability=0.0,
        **BARE,
    )
    tiles = drawn(recipe, where(21), 600)["transformed"][..., :2] * 64
    # A whole square image is as large as its grid; where the crop is not square, its
    # pixels are resampled, and only the order of their places is looked at.
    top, left = tiles[..., 0].min((2, 3)), tiles[..., 1].min((2, 3))
    cells = np.floor((top + 0.5) / 7) * 3 + np.floor((left + 0.5) / 7)
    exact = np.abs(tiles - np.round(tiles)).max((1, 2, 3, 4)) < 1e-3
    assert exact.sum() > 100
    cells, top = cells[exact].astype(int), np.round(top[exact]).astype(int)
    np.testing.assert_array_equal(np.sort(cells, axis=1), [np.arange(9)] * len(cells))
    for place in range(9):
        laws.is_spread_evenly(cells[:, place], 9)
    laws.is_spread_evenly(top.ravel() % 7, 4)
    mirrored = tiles[exact][:, :, 0, 0, 1] > tiles[exact][:, :, 0, -1, 1]
    laws.has_probability(mirrored, 0.5)


def test_turned_images_of_pirl_have_any_quarter():
    recipe = VIEWS["pirl"](
        pretext="rotation",
        size=8,
        min_scale_transformed=1.0,
        photometric_probability=0.0,
        **BARE,
    )
    found = drawn(recipe, where(8), 400)
    assert found["image"].shape == found["transformed"].shape
    rows = found["transformed"][..., 0]  # Where a pixel lay, before mirror and turn.
    down = rows[:, -1, 0] - rows[:, 0, 0]
    right = rows[:, 0, -1] - rows[:, 0, 0]
    # Down as it was or upside down; sideways for odd quarters, at either side.
    kinds = np.stack([down > 0.03, right > 0.03, down < -0.03, right < -0.03], 1)
    assert (kinds.sum(1) == 1).all()
    laws.is_spread_evenly(kinds.argmax(1), 4)


def test_a_turn_is_numpys(rng):
    image = jnp.asarray(rng.uniform(size=(5, 5, 3)), jnp.float32)
    turn = Turn()
    for key in jax.random.split(KEY, 6):
        expected = np.rot90(image, int(turn.draw(key)))
        np.testing.assert_array_equal(turn(key, image), expected)
    quarters = jax.vmap(Turn(probability=0.8).draw)(jax.random.split(KEY, 2000))
    laws.follows_shares(quarters, [0.4, 0.2, 0.2, 0.2])


def test_keys_of_looc_share_the_draw_of_one_step_and_nothing_else():
    recipe = VIEWS["looc"](size=8, kept=("color", "rotation", "blur"))
    (views,) = recipe.parts().values()
    source = recipe.sources()
    assert source.shape == (5, 1 + len(views[0].steps))
    np.testing.assert_array_equal(source[:2], [[0] * 6, [1] * 6])
    for i, name in enumerate(recipe.kept):
        shared = [isinstance(step, KEPT[name]) for step in views[0].steps]
        np.testing.assert_array_equal(source[2 + i, 1:] == 0, shared)
        np.testing.assert_array_equal(source[2 + i][source[2 + i] > 0], 2 + i)


def test_a_shared_draw_makes_the_same_colours():
    """On a flat image a jitter is all there is to see, whatever the crop."""
    flat = np.full((9, 9, 3), (0.2, 0.5, 0.7), np.float32)
    settings = {"blur_probability": 0.0, "mean": None, "std": None, "strength": 0.8}
    recipe = VIEWS["looc"](size=4, kept=("color", "rotation"), **settings)
    colours = drawn(recipe, flat, 40)[:, :, 1, 1]
    np.testing.assert_allclose(colours[:, 2], colours[:, 0], atol=2e-6)
    for other in (1, 3):
        assert (np.abs(colours[:, other] - colours[:, 0]).max(1) > 1e-3).mean() > 0.8


def test_settings_are_refused():
    with pytest.raises(ValueError, match="pretext = 'maze' must be one of"):
        VIEWS["pirl"](pretext="maze")
    with pytest.raises(ValueError, match="kept = 'texture' must be one of"):
        VIEWS["looc"](kept=("texture",))
    with pytest.raises(ValueError, match="holds 'color' more than once"):
        VIEWS["looc"](kept=("color", "color"))
    with pytest.raises(ValueError, match="no 'rotation' to keep"):
        VIEWS["looc"](rotation_probability=0.0)
