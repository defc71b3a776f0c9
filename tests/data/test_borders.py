"""Distances to the borders of cells against all pairs of pixels."""

import numpy as np
import pytest
from scipy import ndimage

from jax_ssl.data.borders import border_distances


def by_all_pairs(cells, reach):
    """d1 + d2 in float64."""
    places = np.stack(np.mgrid[: cells.shape[0], : cells.shape[1]], -1).astype(float)
    found = np.zeros(cells.shape)
    for y, x in np.ndindex(cells.shape):
        away = np.hypot(*np.moveaxis(places - (y, x), -1, 0))
        each = [reach, reach]
        for cell in range(1, cells.max() + 1):
            own = cells == cell
            other = ~own if own[y, x] else own
            each.append(min(away[other].min(initial=reach), reach))
        found[y, x] = sum(sorted(each)[:2])
    return found


@pytest.mark.parametrize("reach", [4.0, 100.0])
def test_they_are_those_of_all_pairs(rng, reach):
    cells, count = ndimage.label(rng.uniform(size=(13, 17)) < 0.4)
    assert count > 5
    found = border_distances(cells, reach=reach)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_all_pairs(cells, reach), rtol=1e-6)


@pytest.mark.parametrize("fill", [0, 1])
def test_fewer_than_two_cells_are_far(fill):
    cells = np.full((5, 6), fill)
    np.testing.assert_array_equal(border_distances(cells, reach=7.0), 14)
    cells[2:, :] = 1 - fill
    found = border_distances(cells, reach=7.0)
    far = found.max() if fill else 14
    assert found.min() == 8  # One pixel to the only border.
    assert far <= 14


def test_a_gap_between_two_cells_is_where_the_weight_is():
    cells = np.zeros((9, 9), int)
    cells[:, :4], cells[:, 5:] = 1, 2
    found = border_distances(cells)
    assert (found[:, 4] == 2).all()
    assert (found == found.T[:, ::-1].T[::-1]).all()
    assert (np.diff(found[4, 4:]) > 0).all()
