"""The 313 bins, and what is encoded into them and decoded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import ConvexHull, Delaunay

from jax_ssl.ops.color_bins import (
    annealed_mean,
    class_weights,
    gamut_bins,
    histogram,
    smoothed,
    soft_encode,
)
from tests.references import color as reference


@pytest.fixture(scope="module")
def srgb():
    """(a, b) of colours all over sRGB, [n, 2] float64."""
    levels = np.linspace(0, 1, 33)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    return reference.rgb_to_lab(cube)[:, 1:]


def test_bins_are_the_corners_of_cells_that_the_hull_enters(srgb):
    bins = gamut_bins()
    assert bins.shape == (313, 2)
    hull = Delaunay(srgb[ConvexHull(srgb).vertices])
    fine = np.arange(-120, 120, 0.25)
    points = np.stack(np.meshgrid(fine, fine), -1).reshape(-1, 2)
    inside = points[hull.find_simplex(points) >= 0]
    cells = np.unique(np.floor(inside / 10), axis=0)
    offsets = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    corners = np.unique((cells[:, None] + offsets).reshape(-1, 2), axis=0)
    # Both are in the order of a, then of b.
    np.testing.assert_array_equal(bins, 10 * corners)


def test_bins_are_found_inside_of_a_program():
    gamut_bins.cache_clear()
    found, _ = jax.jit(lambda x: soft_encode(x, 1))(jnp.array([[20.0, -30.0]]))
    np.testing.assert_array_equal(gamut_bins()[found[0, 0]], [20, -30])


@pytest.mark.parametrize("neighbors", [1, 5, 10])
def test_colors_are_shared_among_the_nearest_bins(srgb, neighbors):
    ab = srgb[::97]
    found, shares = soft_encode(jnp.float32(ab), neighbors)
    expected = reference.soft_encode(np.float32(ab), gamut_bins(), neighbors)
    target = np.zeros(expected.shape)
    np.put_along_axis(target, np.asarray(found), np.asarray(shares), axis=-1)
    # Of bins at one distance either may be the last one that has a share.
    np.testing.assert_allclose(np.sort(target), np.sort(expected), atol=1e-5)
    assert (np.abs(target - expected).max(-1) < 1e-5).mean() > 0.95
    np.testing.assert_allclose(target.sum(-1), 1, rtol=1e-6)
    assert ((target > 0).sum(-1) <= neighbors).all()
    nearest = ((ab[:, None] - gamut_bins()) ** 2).sum(-1).min(-1)
    first = ((ab - gamut_bins()[np.asarray(found)[:, 0]]) ** 2).sum(-1)
    np.testing.assert_allclose(first, nearest, atol=1e-3)


def test_what_was_encoded_as_a_center_is_decoded_exactly():
    bins = jnp.asarray(gamut_bins())
    found, shares = soft_encode(bins, 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(313))
    np.testing.assert_array_equal(shares, 1)
    logits = jnp.where(jnp.eye(313) > 0, 0.0, -jnp.inf)
    np.testing.assert_array_equal(annealed_mean(logits, 0.38), bins)


def test_annealed_mean_goes_from_the_mean_to_the_mode(rng):
    logits = rng.normal(size=(7, 313)).astype(np.float32)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(-1, keepdims=True)
    np.testing.assert_allclose(annealed_mean(logits, 1.0), p @ gamut_bins(), atol=1e-4)
    sharp = p ** (1 / 0.38)
    sharp /= sharp.sum(-1, keepdims=True)
    found = annealed_mean(logits, 0.38)
    np.testing.assert_allclose(found, sharp @ gamut_bins(), atol=1e-3)
    mode = gamut_bins()[logits.argmax(-1)]
    np.testing.assert_allclose(annealed_mean(logits, 1e-3), mode, atol=0.1)


def test_colors_are_counted_in_their_nearest_bins(srgb):
    ab = np.float32(srgb)
    nearest = [((row - gamut_bins()) ** 2).sum(-1).argmin() for row in ab[::7]]
    expected = np.bincount(nearest, minlength=313)
    np.testing.assert_array_equal(histogram(jnp.asarray(ab[::7])), expected)


def test_smoothing_moves_colors_to_neighbours_and_loses_none(rng):
    prior = rng.dirichlet(np.full(313, 0.05)).astype(np.float32)
    found = np.asarray(smoothed(jnp.asarray(prior)))
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert found.min() >= 0
    one = np.asarray(smoothed(jnp.eye(313)[150]))
    squares = ((gamut_bins() - gamut_bins()[150]) ** 2).sum(-1)
    np.testing.assert_allclose(one / one[150], np.exp(-squares / 50), atol=1e-6)


def test_weights_are_those_of_equation_4(rng):
    prior = rng.dirichlet(np.full(313, 0.1)).astype(np.float32)
    for share in (0.01, 0.5, 1.0):
        weights = np.asarray(class_weights(jnp.asarray(prior), share), np.float64)
        expected = reference.class_weights(prior.astype(np.float64), share)
        np.testing.assert_allclose(weights, expected, rtol=1e-4)
        assert (prior * weights).sum() == pytest.approx(1, abs=1e-4)
    even = class_weights(jnp.full(313, 1 / 313), 0.5)
    np.testing.assert_allclose(even, 1, rtol=1e-5)
    np.testing.assert_allclose(class_weights(jnp.asarray(prior), 1.0), 1, rtol=1e-5)
