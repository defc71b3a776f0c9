"""Bilinear sampling and affine maps, against loops, SciPy and NumPy's rot90."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from jax_ssl.ops import warp
from tests.references import views as reference

SCIPY_MODES = {"zero": "grid-constant", "edge": "nearest"}


@pytest.mark.parametrize("border", warp.BORDERS)
def test_sampling_is_the_reference_and_scipys(rng, border):
    image = rng.random((6, 9, 2)).astype(np.float32)
    points = rng.uniform(-3, 11, (4, 50, 2)).astype(np.float32)
    got = jax.jit(warp.bilinear_sample, static_argnames="border")(
        image, points, border=border
    )
    expected = reference.bilinear_sample(image, points, border)
    np.testing.assert_allclose(got, expected, atol=3e-6)
    yx = np.moveaxis(points[..., ::-1], -1, 0)
    for c in range(2):
        judge = map_coordinates(image[..., c], yx, order=1, mode=SCIPY_MODES[border])
        np.testing.assert_allclose(got[..., c], judge, atol=3e-6)


affine_sample = jax.jit(warp.affine_sample, static_argnames="border")
IDENTITY = np.array([[1, 0, 0], [0, 1, 0.0]], np.float32)


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 6, 3)])
@pytest.mark.parametrize("border", warp.BORDERS)
def test_identity_is_exact(rng, shape, border):
    image = rng.random(shape).astype(np.float32)
    same = affine_sample(image, IDENTITY, border=border)
    np.testing.assert_array_equal(same, image)


def test_matrix_reads_to_the_right_and_below(rng):
    image = rng.random((5, 6, 1)).astype(np.float32)
    matrix = IDENTITY + np.array([[0, 0, 2], [0, 0, 1]], np.float32)
    got = warp.affine_sample(image, matrix)
    np.testing.assert_array_equal(got[:-1, :-2], image[1:, 2:])
    np.testing.assert_array_equal(got[-1], 0)
    edge = warp.affine_sample(image, matrix, border="edge")
    np.testing.assert_array_equal(edge[-1, -3:], image[-1, -1:].repeat(3, 0))


def test_a_quarter_turn_is_rot90(rng):
    image = rng.random((7, 7, 2)).astype(np.float32)
    # Reads (x, y) at (-y, x): content moves counter-clockwise on a screen.
    matrix = jnp.array([[0, -1, 0], [1, 0, 0.0]])
    np.testing.assert_allclose(
        warp.affine_sample(image, matrix), np.rot90(image), atol=1e-6
    )


def test_unknown_border_is_refused():
    with pytest.raises(ValueError, match="'wrap'"):
        warp.affine_sample(jnp.zeros((2, 2, 1)), IDENTITY, border="wrap")
