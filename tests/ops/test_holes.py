"""Regions that are taken out: their areas, places and borders."""

import jax
import numpy as np
import pytest

from jax_ssl.ops.holes import center_hole, eroded, random_blocks, random_regions
from tests.laws import is_spread_evenly

KEY = jax.random.key(0)


def test_centre_is_the_middle_half():
    hole = np.asarray(center_hole(2, 8, 12))
    expected = np.zeros((8, 12), bool)
    expected[2:6, 3:9] = True
    np.testing.assert_array_equal(hole, [expected, expected])


@pytest.mark.parametrize("area", [0.1, 0.25])
def test_irregular_shapes_have_their_area_and_are_no_dust(area):
    found = np.asarray(random_regions(KEY, 50, 32, 24, area))
    np.testing.assert_array_equal(found.sum((1, 2)), round(area * 32 * 24))
    # Of pixels drawn one by one, neighbours would agree with the chance of strangers.
    alike = (found[:, 1:] == found[:, :-1]).mean()
    assert alike > 0.9 > area**2 + (1 - area) ** 2
    assert len(np.unique(found.reshape(50, -1), axis=0)) == 50


def test_blocks_cover_at_most_their_area_anywhere():
    found = np.asarray(random_blocks(KEY, 400, 16, 16, 0.25))
    covered = found.mean((1, 2))
    assert covered.max() <= 0.25
    assert covered.mean() > 0.15
    # One block of 2 x 2 pixels lies at each of 15 rows as often.
    one = np.asarray(random_blocks(KEY, 3000, 16, 16, 4 / 256))
    assert (one.sum((1, 2)) == 4).all()
    is_spread_evenly(one.any(2).argmax(1), 15)


def test_erosion_keeps_what_is_far_from_the_outside():
    region = np.zeros((1, 9, 9), bool)
    region[0, :6, 2:8] = True
    expected = np.zeros((9, 9), bool)
    expected[:4, 4:6] = True  # The image ends at the top: that is no border.
    np.testing.assert_array_equal(eroded(region, 2)[0], expected)
    np.testing.assert_array_equal(eroded(region, 0), region)
