"""One array of each kind as a picture."""

import itertools

import numpy as np
import pytest

from jax_ssl.report import Column
from jax_ssl.report.blocks import BARS, KINDS
from jax_ssl.report.tiles import TILE, TILES, UNKNOWN, tile
from tests.report.inputs import images


def drawn(values, kind="image", **more):
    """The tile of one array, and the same without its enlargement by whole pixels."""
    shown = tile(Column("", np.asarray(values)[None], kind, **more), 0)
    assert shown.dtype == np.uint8
    assert shown.shape[2] == 3
    return shown


def squares(shown, height):
    factor = shown.shape[0] // height
    assert (shown[::factor].repeat(factor, axis=0) == shown).all()
    return shown[::factor, ::factor]


def test_every_kind_has_a_picture():
    assert set(TILES) == {*itertools.chain(*KINDS.values())}


def test_small_images_are_enlarged_by_whole_pixels(rng):
    image = images(rng, 8, 5, 3)
    shown = drawn(image)
    factor = TILE // 8
    assert shown.shape == (8 * factor, 5 * factor, 3)
    np.testing.assert_array_equal(squares(shown, 8), np.round(255 * image))


def test_large_images_fit_and_wide_ones_are_wide(rng):
    assert drawn(images(rng, 400, 300, 1)).shape[:2] == (TILE, round(TILE * 0.75))
    assert drawn(images(rng, 375, 1242, 3)).shape[:2] == (174, 3 * TILE)


@pytest.mark.parametrize(
    ("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (5, [0, 1, 2])]
)
def test_any_number_of_channels(rng, channels, shown):
    image = rng.integers(0, 256, (4, 4, channels), np.uint8)
    np.testing.assert_array_equal(squares(drawn(image), 4), image[..., shown])


def test_a_film_strip_goes_from_the_first_frame_to_the_last(rng):
    frames = rng.integers(0, 256, (7, 4, 4, 3), np.uint8)
    strip = squares(drawn(frames, "frames"), 4)
    np.testing.assert_array_equal(strip, np.concatenate(frames[[0, 2, 4, 6]], axis=1))
    pair = squares(drawn(frames[:2], "frames"), 4)
    np.testing.assert_array_equal(pair, np.concatenate(frames[:2], axis=1))


def test_regions_have_colours_of_their_own_and_void_is_grey():
    mask = np.array([[0, 1], [2, 255]], np.uint8)
    shown = squares(drawn(mask, "mask"), 2).reshape(4, 3)
    assert len(np.unique(shown[:3], axis=0)) == 3
    np.testing.assert_array_equal(shown[3], UNKNOWN)
    two = squares(drawn(mask == 1, "mask"), 2)
    assert (two[0, 0] != two[0, 1]).any()


def light(shown):
    return shown.astype(float) @ [0.299, 0.587, 0.114]


def test_heat_is_lighter_where_it_is_more():
    shown = squares(drawn([[0.0, 1.0], [3.0, 7.0]], "heat"), 2)
    assert (np.diff(light(shown).ravel()) > 0).all()
    constant = drawn(np.full((2, 2), 3.0), "heat")
    assert (constant == constant[0, 0]).all()


@pytest.mark.parametrize(("kind", "order"), [("depth", [1, 2]), ("disparity", [2, 1])])
def test_what_is_near_is_light_and_what_is_unknown_grey(kind, order):
    shown = squares(drawn([[0.0, 1.0, 80.0]], kind), 1)[0]
    np.testing.assert_array_equal(shown[0], UNKNOWN)
    assert light(shown[order[0]]) > light(shown[order[1]])


def test_flow_has_hues_for_directions_and_is_white_at_rest():
    u = np.array([[1.0, -1.0, 0.0, 0.5]])
    flow = np.stack([u, np.zeros_like(u)], axis=-1)
    right, left, rest, half = squares(drawn(flow, "flow"), 1)[0].astype(int)
    np.testing.assert_array_equal(rest, 255)
    np.testing.assert_array_equal(right, [255, 0, 0])
    np.testing.assert_array_equal(left, [0, 255, 255])  # The opposite hue.
    np.testing.assert_allclose(half, [255, 127.5, 127.5], atol=1)
    known = np.array([[[1.0, 0.0, 1.0], [9.0, 0.0, 0.0], [np.nan, 0.0, 1.0]]])
    shown = squares(drawn(known, "flow"), 1)[0]
    np.testing.assert_array_equal(shown[0], [255, 0, 0])
    np.testing.assert_array_equal(shown[1:], UNKNOWN)


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_a_tone_is_a_level_line_at_its_frequency(rate):
    t = np.arange(rate) / rate
    shown = light(drawn(np.sin(2 * np.pi * 1000 * t), "wave", rate=rate))
    assert shown.shape == (TILE, 2 * TILE)
    # Frequencies from 0 at the bottom to half the rate at the top.
    expected = TILE * (1 - 1000 / (rate / 2))
    assert np.abs(shown.argmax(axis=0) - expected).max() <= 3


@pytest.mark.parametrize("length", [1, 2, 50])
def test_short_sounds(length):
    assert drawn(np.ones(length), "wave").shape == (TILE, 2 * TILE, 3)


@pytest.mark.parametrize("classes", [2, 10, 48, 1000])
def test_bars_are_as_high_as_their_probabilities(classes, rng):
    """A bar for each class; neighbours share one where there are more than `BARS`."""
    p = rng.dirichlet(np.ones(classes))
    full = 1.25 * p.max()
    shown = drawn(p, "probabilities", full=full)
    assert shown.shape[0] == TILE
    count = min(classes, BARS)
    wide = shown.shape[1] // count
    bars = shown.reshape(TILE, count, wide, 3)
    ground = bars[0, 0, 0]
    heights = (bars != ground).any(-1).sum(0)  # [count, wide] pixels
    edges = [b * classes // count for b in range(count)] + [classes]
    groups = [p[a:b].max() for a, b in itertools.pairwise(edges)]
    wanted = np.round(TILE * np.array(groups) / full)
    np.testing.assert_array_equal(heights.max(1), wanted)
    # Bars stand on the ground, and a gap lies between two of them.
    lowest = (bars[-1] != ground).any(-1).any(-1)
    np.testing.assert_array_equal(lowest, wanted > 0)
    assert (heights[:, -1] == 0).all()
