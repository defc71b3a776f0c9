"""Gaussian blur, against a direct float64 convolution."""

import jax
import numpy as np
import pytest

from jax_ssl.ops.filters import gaussian_blur, gaussian_weights
from tests.references import views as reference

blur = jax.jit(gaussian_blur, static_argnames="kernel_size")


@pytest.mark.parametrize(
    ("shape", "kernel_size"), [((9, 14, 3), 5), ((12, 12, 1), 23), ((6, 5, 3), 1)]
)
@pytest.mark.parametrize("sigma", [0.1, 0.8, 2.0])
def test_blur_is_the_direct_convolution(rng, shape, kernel_size, sigma):
    image = rng.random(shape).astype(np.float32)
    expected = reference.gaussian_blur(image, sigma, kernel_size)
    got = blur(image, sigma, kernel_size=kernel_size)
    np.testing.assert_allclose(got, expected, atol=2e-6)


def test_a_wrong_sigma_would_be_seen(rng):
    image = rng.random((9, 9, 3))
    right = reference.gaussian_blur(image, 1.0, 9)
    for wrong in (1.02, 1.0 / np.sqrt(2), np.sqrt(2)):
        difference = np.abs(reference.gaussian_blur(image, wrong, 9) - right)
        assert difference.max() > 1e-4  # Fifty times the tolerance above.


def test_blur_of_an_impulse_has_its_variance_and_sum():
    image = np.zeros((41, 41, 1), np.float32)
    image[20, 20] = 1
    got = np.asarray(blur(image, 2.0, kernel_size=31), np.float64)[..., 0]
    x = np.arange(41) - 20
    assert got.sum() == pytest.approx(1, abs=1e-5)
    assert (got.sum(0) * x**2).sum() == pytest.approx(4.0, rel=1e-3)
    assert (got.sum(1) * x**2).sum() == pytest.approx(4.0, rel=1e-3)


def test_blur_keeps_constants_and_sigma_zero_keeps_everything(rng):
    flat = np.full((7, 8, 3), 0.3, np.float32)
    np.testing.assert_allclose(blur(flat, 1.5, kernel_size=7), flat, atol=1e-6)
    image = rng.random((7, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(blur(image, 0.0, kernel_size=7), image)


def test_blur_does_not_know_left_from_right(rng):
    image = rng.random((8, 8, 3)).astype(np.float32)
    a = blur(image, 1.0, kernel_size=5)[::-1, ::-1]
    b = blur(image[::-1, ::-1].copy(), 1.0, kernel_size=5)
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_impossible_kernels_are_refused():
    with pytest.raises(ValueError, match="size 4 is not a positive odd number; use 5"):
        gaussian_weights(8, 4, 1.0)
    with pytest.raises(ValueError, match="use at most 7"):
        gaussian_weights(4, 9, 1.0)
