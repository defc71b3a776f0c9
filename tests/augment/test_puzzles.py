"""Tiles of a 3 x 3 grid: where they lie, and which shortcuts are closed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS, puzzles
from jax_ssl.augment.tiles import Grid, pieced, visible
from tests import laws
from tests.references import views as reference

KEY = jax.random.key(4)
PLAIN = {"coarse_probability": 0.0, "colours": "keep", "normalize": False}
UNTOUCHED = {"gray_probability": 0.0, "normalize": False}


def drawn(views, image, count, size=None):
    """[count, 9, s, s, C], by as many keys."""
    example = {"image": jnp.asarray(image)}
    if size is not None:
        example["size"] = jnp.asarray(size, jnp.int32)
    draw = jax.jit(jax.vmap(lambda key: views(key, example)))
    return np.asarray(draw(jax.random.split(KEY, count)))


def where(height, width):
    """An image whose two channels say where a pixel is, and its row and column."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y / 64, x / 64, 0 * x], -1).astype(np.float32)


def corners(tiles):
    """Rows and columns of the first pixels, [n, 9, 2], where tiles are exact copies."""
    size = tiles.shape[2]
    places = tiles[..., :2] * 64
    first = places[:, :, 0, 0]
    inner = np.moveaxis(np.mgrid[:size, :size], 0, -1)
    np.testing.assert_array_equal(places, first[:, :, None, None] + inner)
    return first.astype(int)


RECIPES = {
    # Name -> (views, size, gap, spread of a tile in its cell, its first place there).
    "relative_patch": (
        VIEWS["relative_patch"](size=4, gap=3, jitter=1, areas=None, **PLAIN),
        *(4, 3, 2, 0),
    ),
    "jigsaw": (
        VIEWS["jigsaw"](size=4, gap=3, jitter=3, resize=None, **UNTOUCHED),
        *(4, 3, 3, 0),
    ),
    "still": (
        VIEWS["relative_patch"](size=4, gap=3, jitter=0, areas=None, **PLAIN),
        *(4, 3, 0, 1),
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_tiles_are_pixels_of_their_cells(name):
    views, size, gap, spread, first = RECIPES[name]
    found = corners(drawn(views, where(23, 26), 3000))
    cell = size + gap
    moved = found - cell * np.stack(np.divmod(np.arange(9), 3), -1)
    # A grid of 21 pixels has 3 places along 23 rows, and 6 along 26 columns.
    low, high = moved.min((0, 1)), moved.max((0, 1))
    np.testing.assert_array_equal(low, [first, first])
    np.testing.assert_array_equal(high, [2 + first + spread, 5 + first + spread])
    # Differences to the middle tile are free of the place of the grid.
    for axis in range(2):
        apart = (moved[:, 0] - moved[:, 4])[:, axis]
        shares = np.convolve(np.ones(spread + 1), np.ones(spread + 1))
        if spread:
            laws.follows_shares(apart + spread, shares / shares.sum())
    rows = (found + size)[:, :6, 0]  # The first row below a tile.
    assert (found[:, 3:, 0] - rows).min() == gap - spread


def test_the_place_of_the_grid_is_uniform():
    found = corners(drawn(RECIPES["still"][0], where(23, 26), 3000))
    laws.is_spread_evenly(found[:, 0, 0] - 1, 3)
    laws.is_spread_evenly(found[:, 0, 1] - 1, 6)


def test_released_numbers_keep_patches_apart():
    grid = Grid(96, 144, 14)
    sides = jnp.array(432.0), jnp.array(500.0)
    make = jax.jit(jax.vmap(lambda u: grid.corners(u, *sides)))
    found = np.asarray(make(jax.random.uniform(KEY, (2000, 20))))
    assert found.min() >= 0
    assert (found.max((0, 1)) + 96 <= [432, 500]).all()
    across = found[:, 1::3, 1] - (found[:, 0::3, 1] + 96)
    assert across.min() == 48 - 2 * 7


def resized(x, step, count):
    """Axis 0 at `count` places that lie `step` pixels apart, by tents as wide."""
    at = np.arange(len(x)) + 0.5
    away = np.abs(at - (np.arange(count)[:, None] + 0.5) * step)
    weights = np.maximum(0, 1 - away / step)
    return np.tensordot(weights / weights.sum(1, keepdims=True), x, 1)


@pytest.mark.parametrize(("size", "free"), [(None, 1), ((20, 30), 4)])
def test_images_are_resized_as_a_whole_before_they_are_cut(size, free, rng):
    image = reference.picture(rng, 28, 34)
    views = VIEWS["jigsaw"](size=3, gap=0, jitter=0, resize=9, **UNTOUCHED)
    found = drawn(views, image, 20, size)
    height, width = size or (28, 34)
    step = height / 9
    whole = resized(image[:height, :width] / 255.0, step, 9)
    whole = resized(whole.swapaxes(0, 1), step, 9 + free).swapaxes(0, 1)
    places = set()
    for tiles in found:
        board = tiles.reshape(3, 3, 3, 3, 3).swapaxes(1, 2).reshape(9, 9, 3)
        off = [np.abs(board - whole[:, o : o + 9]).max() for o in range(free + 1)]
        places.add(int(np.argmin(off)))
        assert min(off) < 1e-4
    assert places == set(range(free + 1))


def test_areas_are_uniform(rng):
    """The step of a tile's ramp says how large the image has become."""
    ramp = np.broadcast_to(np.linspace(0, 1, 64)[:, None, None], (64, 64, 3))
    still = {"size": 6, "gap": 0, "jitter": 0, **PLAIN}
    views = VIEWS["relative_patch"](areas=(5000, 9000), **still)
    found = drawn(views, ramp.astype(np.float32), 2000)
    slope = (found[:, 4, 4, 0, 0] - found[:, 4, 1, 0, 0]) / 3
    laws.follows_uniform(np.square(64 / (slope * 63)), 5000, 9000)
    # An area that does not hold the grid is enlarged to it.
    image = rng.uniform(size=(64, 64, 3)).astype(np.float32)
    (tiles,) = drawn(VIEWS["relative_patch"](areas=(9, 9), **still), image, 1)
    whole = resized(image, 64 / 18, 18)
    whole = resized(whole.swapaxes(0, 1), 64 / 18, 18).swapaxes(0, 1)
    board = tiles.reshape(3, 3, 6, 6, 3).swapaxes(1, 2).reshape(18, 18, 3)
    np.testing.assert_allclose(board, whole, atol=1e-4)


def test_small_images_are_refused_or_enlarged():
    image = np.zeros((20, 40, 3), np.uint8)
    views = VIEWS["relative_patch"](size=6, gap=2, jitter=1, areas=None)
    with pytest.raises(ValueError, match=r"cells of 8 pixels.*20 x 40.*views\.size"):
        jax.eval_shape(views, KEY, {"image": jnp.asarray(image)})
    # On a canvas the size of a picture is not known, and one too small is enlarged.
    found = drawn(views, image, 2, (12, 30))
    assert found.shape == (2, 9, 6, 6, 3)
    assert np.isfinite(found).all()


def test_coarse_patches_have_lost_their_detail(rng):
    image = jnp.asarray(rng.uniform(size=(8, 8, 3)), jnp.float32)
    make = jax.jit(puzzles.coarse)
    np.testing.assert_allclose(make(image, 8.0), image, atol=1e-6)
    for side in (1, 4):
        whole = 255 * np.asarray(image), (0, 0, 8, 8)
        down = reference.crop_and_resize(*whole, side, side, "bilinear")
        up = reference.crop_and_resize(down, (0, 0, side, side), 8, 8, "bilinear")
        np.testing.assert_allclose(make(image, float(side)), up / 255, atol=1e-4)


def test_some_patches_are_coarse(rng):
    image = rng.uniform(size=(12, 12, 3)).astype(np.float32)
    settings = {**PLAIN, "coarse_probability": 0.3, "coarse_areas": (0.1, 0.4)}
    views = VIEWS["relative_patch"](size=4, gap=0, jitter=0, areas=None, **settings)
    tiles = image.reshape(3, 4, 3, 4, 3).swapaxes(1, 2).reshape(9, 4, 4, 3)
    changed = (np.abs(drawn(views, image, 400) - tiles) > 1e-4).any((2, 3, 4))
    laws.has_probability(changed, 0.3)


@pytest.mark.parametrize("colours", ["drop", "project", "keep"])
def test_patches_have_no_mean_and_a_root_mean_square_of_one(colours, rng):
    image = rng.uniform(size=(24, 24, 3)).astype(np.float32)
    views = VIEWS["relative_patch"](
        size=8, gap=0, jitter=0, areas=None, colours=colours
    )
    found = drawn(views, image, 20)
    np.testing.assert_allclose(np.square(found).mean((2, 3, 4)), 1, atol=1e-4)
    # Of the noise alone there is a mean, and hardly any.
    assert np.abs(found.mean((2, 3))).max() < (0.1 if colours == "drop" else 1e-5)


def test_one_colour_stays_and_the_others_are_noise(rng):
    image = rng.uniform(size=(24, 24, 3)).astype(np.float32)
    views = VIEWS["relative_patch"](
        size=8, gap=0, jitter=0, areas=None, coarse_probability=0.0
    )
    found = drawn(views, image, 300).reshape(-1, 8, 8, 3)
    tiles = image.reshape(3, 8, 3, 8, 3).swapaxes(1, 2).reshape(9, 8, 8, 3)
    tiles = np.tile(tiles, (300, 1, 1, 1))
    kept = found.std((1, 2)).argmax(1)
    laws.is_spread_evenly(kept, 3)
    one = np.take_along_axis(found, kept[:, None, None, None], -1)
    truth = np.take_along_axis(tiles, kept[:, None, None, None], -1)
    truth = truth - truth.mean((1, 2, 3), keepdims=True)
    scale = np.square(truth).mean((1, 2, 3), keepdims=True) ** 0.5 / 3**0.5
    np.testing.assert_allclose(one, truth / scale, atol=1e-2)
    others = np.sort(np.abs(found).max((1, 2)), axis=1)[:, :2]
    # Half a grey level, where the patch has a deviation of about 0.29 / √3.
    assert others.max() < 0.5 / 255 / 0.1
    assert others.min() > 0


def test_the_projection_takes_green_minus_magenta_out():
    a = np.array([-1, 2, -1])
    np.testing.assert_allclose(puzzles.PROJECTION @ a, 0, atol=1e-12)
    np.testing.assert_allclose(
        puzzles.PROJECTION @ puzzles.PROJECTION, puzzles.PROJECTION, atol=1e-12
    )
    for other in ([1, 1, 1], [1, 0, -1]):
        np.testing.assert_allclose(puzzles.PROJECTION @ other, other, atol=1e-12)
    # Fringes of red and blue alike leave no colour behind.
    plane = np.zeros((12, 12, 3), np.float32)
    plane[::2, :, 1], plane[1::2, :, ::2] = 1.0, 1.0
    settings = {**PLAIN, "colours": "project"}
    views = VIEWS["relative_patch"](size=4, gap=0, jitter=0, areas=None, **settings)
    (found,) = drawn(views, plane, 1)
    np.testing.assert_allclose(found, found[..., :1].repeat(3, -1), atol=1e-6)


def test_a_ramp_tells_places_until_means_are_gone():
    """Brighter to the right: means give left and right away, and nothing else does."""
    ramp = np.broadcast_to(np.linspace(0, 1, 24)[None, :, None], (24, 24, 3))
    still = {"size": 6, "gap": 2, "jitter": 1, "areas": None}
    seen = drawn(VIEWS["relative_patch"](**still, **PLAIN), ramp.astype("f4"), 50)
    means = seen.mean((2, 3, 4)).reshape(50, 3, 3)
    assert (np.diff(means, axis=2) > 0).all()
    closed = {**PLAIN, "normalize": True}
    seen = drawn(VIEWS["relative_patch"](**still, **closed), ramp.astype("f4"), 50)
    alike = np.broadcast_to(seen[:1, :1], seen.shape)
    np.testing.assert_allclose(seen, alike, atol=1e-4)


def test_tiles_have_mean_zero_and_deviation_one(rng):
    image = rng.uniform(size=(30, 30, 3)).astype(np.float32)
    views = VIEWS["jigsaw"](size=8, gap=2, jitter=2, resize=None)
    found = drawn(views, image, 30)
    np.testing.assert_allclose(found.mean((2, 3, 4)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std((2, 3, 4)), 1, atol=1e-4)
    flat = drawn(views, np.full((30, 30, 3), 0.4, np.float32), 2)
    np.testing.assert_allclose(flat, 0, atol=1e-2)  # Rounding is not blown up.


@pytest.mark.parametrize("recipe", ["relative_patch", "jigsaw"])
def test_tiles_may_keep_their_means(recipe, rng):
    image = rng.uniform(size=(12, 12, 3)).astype(np.float32)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.5)
    own = {"relative_patch": {**PLAIN, "areas": None}, "jigsaw": UNTOUCHED}[recipe]
    if recipe == "jigsaw":
        own = {**own, "resize": None}
    views = VIEWS[recipe](size=4, gap=0, jitter=0, mean=mean, std=std, **own)
    (found,) = drawn(views, image, 1)
    tiles = image.reshape(3, 4, 3, 4, 3).swapaxes(1, 2).reshape(9, 4, 4, 3)
    np.testing.assert_allclose(found, (tiles - mean) / np.array(std), atol=1e-5)


def test_all_tiles_of_an_image_are_grey_or_none(rng):
    image = rng.uniform(size=(30, 30, 3)).astype(np.float32)
    views = VIEWS["jigsaw"](size=8, gap=2, jitter=2, resize=None)
    found = drawn(views, image, 2000)
    grey = (np.ptp(found, axis=-1) < 1e-6).all((2, 3))
    assert (grey.all(1) == grey.any(1)).all()
    laws.has_probability(grey[:, 0], 0.66)


def test_channels_of_a_tile_move_apart_within_their_cell():
    place = where(21, 21)
    place[..., 2] = place[..., 0]
    views = VIEWS["jigsaw"](
        size=3, gap=4, jitter=2, resize=None, channel_jitter=1, **UNTOUCHED
    )
    found = drawn(views, place, 1500) * 64
    first = found[:, :, 0, 0]
    apart = (first[..., 0] - first[..., 2]).round().astype(int)
    laws.follows_shares(apart.ravel() + 2, np.array([1, 2, 3, 2, 1]) / 9)
    cell = 7 * (np.arange(9) // 3)
    assert (first[..., 0] >= cell).all()
    assert (found[:, :, -1, -1, 0] < cell + 7).all()


def test_boards_have_the_tiles_in_their_places(rng):
    tiles = rng.uniform(size=(2, 9, 5, 5, 3)).astype(np.float32)
    board = np.asarray(pieced(tiles))
    assert board.shape == (2, 21, 21, 3)
    for k in range(9):
        i, j = divmod(k, 3)
        there = board[:, 7 * i + 1 : 7 * i + 6, 7 * j + 1 : 7 * j + 6]
        np.testing.assert_array_equal(there, tiles[:, k])
    assert (board[:, 6] == 0.5).all()
    seen = np.asarray(visible(tiles - 7))
    np.testing.assert_allclose(seen, np.clip(seen, 0, 1))
    assert seen.mean() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        ("relative_patch", {"gap": 8, "jitter": 5}, "jitter = 5 .* at most 4"),
        ("relative_patch", {"size": 0}, "size = 0 must be at least 1"),
        ("relative_patch", {"areas": (9, 4)}, r"areas = \(9, 4\): the first must"),
        ("relative_patch", {"areas": (0, 4)}, "areas = .* must be at least 1"),
        ("relative_patch", {"mean": (0.5,), "std": (1.0,)}, "views.normalize = False"),
        ("relative_patch", {"colours": "grey"}, "colours = 'grey' must be one of"),
        ("relative_patch", {"coarse_areas": (0.5, 2)}, "coarse_areas"),
        ("jigsaw", {"channel_jitter": 1}, "channel_jitter = 1 .* the gap = 21"),
        ("jigsaw", {"resize": 250}, "resize = 250 is less than three cells .* 85"),
        ("jigsaw", {"gray_probability": 2.0}, "gray_probability = 2.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(recipe, settings, message):
    with pytest.raises(ValueError, match=message):
        VIEWS[recipe](**settings)


def test_grey_images_need_their_colours_left_alone():
    example = {"image": jnp.zeros((30, 30, 1), jnp.uint8)}
    small = {"size": 8, "gap": 2, "jitter": 1}
    with pytest.raises(ValueError, match="gray_probability=0"):
        jax.eval_shape(VIEWS["jigsaw"](**small, resize=None), KEY, example)
    project = functools.partial(VIEWS["relative_patch"], areas=None, **small)
    with pytest.raises(ValueError, match="1 channel"):
        jax.eval_shape(project(colours="project"), KEY, example)
    kept = jax.eval_shape(project(colours="keep"), KEY, example)
    assert kept.shape == (9, 8, 8, 1)
