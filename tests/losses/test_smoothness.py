"""Penalties on what changes from pixel to pixel: closed forms and float64."""

import jax
import numpy as np
import pytest

from jax_ssl.losses import smoothness
from tests.references import geometry as reference

H, W = 5, 7
smooth = jax.jit(
    smoothness.smoothness, static_argnames=("order", "sharpness", "padding")
)
flow_smoothness = jax.jit(smoothness.flow_smoothness)
mean_normalized = jax.jit(smoothness.mean_normalized)
second_differences = jax.jit(smoothness.second_differences)


def fields(rng, channels=2):
    """A field and a picture, [1, H, W, C]."""
    values = rng.normal(size=(1, H, W, channels)).astype(np.float32)
    return values, rng.random((1, H, W, 3)).astype(np.float32)


def slopes(x, y):
    """The field x u + y v at every pixel (u, v)."""
    return np.float32(reference.grid(H, W) @ [x, y])[None, ..., None]


def test_the_first_order_is_the_slope():
    out = smooth(slopes(3, -2))
    np.testing.assert_allclose(out.x, np.full((1, H, W - 1, 1), 3))
    np.testing.assert_allclose(out.y, np.full((1, H - 1, W, 1), 2))


def test_the_second_order_of_a_slope_is_0():
    out = smooth(slopes(3, -2), order=2)
    assert out.x.shape == (1, H, W - 2, 1)
    assert out.y.shape == (1, H - 2, W, 1)
    assert not out.x.any()
    assert not out.y.any()
    assert all(not d.any() for d in second_differences(slopes(3, -2)))


@pytest.mark.parametrize("order", [1, 2])
def test_edges_of_the_picture_may_be_edges_of_the_field(rng, order):
    sharpness = 10.0 / order
    values, image = fields(rng)
    out = smooth(values, image, order=order, sharpness=sharpness)
    same = smooth(values, image, order=order, sharpness=sharpness, padding="edge")
    d, picture = np.float64(values[0]), np.float64(image[0])
    for axis, got, whole in ((1, out.x[0], same.x[0]), (0, out.y[0], same.y[0])):
        d, picture = (np.moveaxis(x, axis, 0) for x in (d, picture))
        got, whole = (np.moveaxis(x, axis, 0) for x in (got, whole))
        length = len(d)
        for at in range(length):
            before, after = d[max(at - 1, 0)], d[min(at + 1, length - 1)]
            change = after - d[at] if order == 1 else before - 2 * d[at] + after
            edge = np.abs(picture[min(at + 1, length - 1)] - picture[at]).mean(-1)
            judge = np.abs(change) * np.exp(-sharpness * edge)[:, None]
            np.testing.assert_allclose(whole[at], judge, atol=1e-5)
            if order == 1 and at < length - 1:
                np.testing.assert_allclose(got[at], judge, atol=1e-5)
            if order == 2 and 0 < at < length - 1:
                np.testing.assert_allclose(got[at - 1], judge, atol=1e-5)
        d, picture = (np.moveaxis(x, 0, axis) for x in (d, picture))


def test_second_differences_are_those_of_a_polynomial():
    """Of u² - 3 u v + 2 v² they are 2, -3, -3 and 4 everywhere."""
    u, v = np.moveaxis(reference.grid(H, W), -1, 0)
    values = np.float32(u * u - 3 * u * v + 2 * v * v)[None, ..., None]
    for got, value, shape in zip(
        second_differences(values),
        (2, -3, -3, 4),
        ((H, W - 2), (H - 1, W - 1), (H - 1, W - 1), (H - 2, W)),
        strict=True,
    ):
        np.testing.assert_array_equal(got, np.full((1, *shape, 1), value))


def test_the_scale_of_a_normalized_disparity_does_not_matter(rng):
    disparity = rng.uniform(0.1, 1, (2, H, W, 1)).astype(np.float32)
    one = mean_normalized(disparity)
    np.testing.assert_allclose(np.mean(one, (1, 2)), 1, rtol=1e-5)
    scale = np.float32([3, 0.2])[:, None, None, None]
    np.testing.assert_allclose(mean_normalized(scale * disparity), one, rtol=1e-5)


def test_flow_smoothness_is_the_reference(rng):
    flow, _ = fields(rng)
    got = flow_smoothness(flow)
    judge = reference.flow_smoothness(np.float64(flow[0]))
    np.testing.assert_allclose(got[0], judge, rtol=1e-5, atol=1e-6)


def test_an_affine_flow_is_as_smooth_as_can_be(rng):
    flow = np.float32(reference.grid(H, W) @ rng.integers(-3, 4, (2, 2)))
    got = np.asarray(flow_smoothness(flow[None]))[0]
    floor = 1e-6**0.45
    np.testing.assert_allclose(got[1:-1, 1:-1], 2 * floor, rtol=1e-4)
    # Two directions are known at no corner, and one beside it.
    assert not got[0, 0]
    np.testing.assert_allclose(got[0, 1:-1], 2 * floor / 4, rtol=1e-4)


@pytest.mark.parametrize("wrong", [{"order": 3}, {"padding": "zero"}])
def test_what_is_not_known_is_refused(wrong):
    with pytest.raises(ValueError, match=str(*wrong.values())):
        smoothness.smoothness(np.zeros((4, 4, 1), np.float32), **wrong)
