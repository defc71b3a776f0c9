"""Lab against float64, published colours and, where it is installed, scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.ops.lab import lab_to_rgb, rgb_to_lab
from tests.references import color as reference


@pytest.fixture(scope="module")
def colors():
    """[n, 3] float32 sRGB: random, dark, grey, and the corners of the cube."""
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * 3), -1).reshape(-1, 3)
    greys = np.repeat(np.linspace(0, 1, 256)[:, None], 3, axis=1)
    some = [rng.uniform(size=(20_000, 3)), 0.06 * rng.uniform(size=(2000, 3))]
    return np.concatenate([*some, greys, corners]).astype(np.float32)


def test_lab_is_that_of_float64(colors):
    found = jax.jit(rgb_to_lab)(colors)
    np.testing.assert_allclose(found, reference.rgb_to_lab(colors), atol=1e-4)


def test_lab_is_scikit_images(colors):
    judge = pytest.importorskip("skimage.color")
    expected = judge.rgb2lab(colors.astype(np.float64))
    np.testing.assert_allclose(rgb_to_lab(colors), expected, atol=1e-4)
    np.testing.assert_allclose(lab_to_rgb(expected), colors, atol=1e-4)


def test_lab_of_known_colors():
    # Of sRGB under D65, as tables give them to a hundredth.
    known = {
        (1, 1, 1): (100.0, 0.0, 0.0),
        (0, 0, 0): (0.0, 0.0, 0.0),
        (1, 0, 0): (53.24, 80.09, 67.20),
        (0, 1, 0): (87.73, -86.18, 83.18),
        (0, 0, 1): (32.30, 79.19, -107.86),
    }
    found = rgb_to_lab(jnp.array(list(known), jnp.float32))
    np.testing.assert_allclose(found, list(known.values()), atol=0.02)


def test_there_and_back_again(colors):
    lab = rgb_to_lab(colors)
    np.testing.assert_allclose(lab_to_rgb(lab), colors, atol=1e-4)
    np.testing.assert_allclose(rgb_to_lab(lab_to_rgb(lab)), lab, atol=1e-3)


def test_colors_that_srgb_lacks_are_clipped():
    rgb = np.asarray(lab_to_rgb(jnp.array([[50.0, -120.0, 0.0], [120.0, 0.0, 0.0]])))
    assert rgb.min() == 0
    assert rgb.max() == 1


def test_slopes_are_finite_at_black_and_below():
    for value in (-0.2, 0.0, 0.5, 1.0):
        slope = jax.grad(lambda x: rgb_to_lab(x).sum())(jnp.full((3,), value))
        assert np.isfinite(slope).all()


def test_half_precision_is_widened_first():
    rgb = jnp.array([0.25, 0.5, 0.75], jnp.bfloat16)
    found = rgb_to_lab(rgb)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, rgb_to_lab(rgb.astype(jnp.float32)))
