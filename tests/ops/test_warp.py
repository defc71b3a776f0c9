"""Sampling and affine maps, against loops, SciPy, Pillow and NumPy's rot90."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

from jax_ssl.ops import warp
from tests.references import pixels
from tests.references import views as reference

SCIPY_MODES = {"zero": "grid-constant", "edge": "nearest"}


@pytest.mark.parametrize("border", warp.BORDERS)
def test_sampling_is_the_reference_and_scipys(rng, border):
    image = rng.random((6, 9, 2)).astype(np.float32)
    points = rng.uniform(-3, 11, (4, 50, 2)).astype(np.float32)
    got = jax.jit(warp.sample, static_argnames="border")(image, points, border=border)
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


RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
FILL = (124, 116, 104)
run = jax.jit(warp.affine_transform, static_argnames=("method", "fill"))


def rotation(degrees):
    """Counter-clockwise, as Pillow's `rotate`."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0]])


@pytest.fixture(scope="module")
def bytes_():
    return reference.picture(np.random.default_rng(9), 26, 32)


def ours(image, matrix, method, fill=FILL):
    unit = tuple(f / 255 for f in fill)
    out = run(jnp.asarray(image, jnp.float32) / 255, matrix, method=method, fill=unit)
    return 255 * np.asarray(out, np.float64)


@pytest.mark.parametrize("method", warp.METHODS)
@pytest.mark.parametrize("degrees", [7.0, -28.0])
def test_rotation_is_pillows(bytes_, method, degrees):
    turned = Image.fromarray(bytes_).rotate(degrees, RESAMPLING[method], fillcolor=FILL)
    got = np.clip(ours(bytes_, rotation(degrees), method), 0, 255)
    difference = np.floor(got + 1e-3) - np.asarray(turned, np.float64)
    # Pillow truncates; a few pixels on the rim fall on the other side of it.
    assert np.abs(difference).mean() < 0.02 if method != "nearest" else 0.5
    assert (np.abs(difference).max(-1) > 1).mean() < 0.01


@pytest.mark.parametrize("method", warp.METHODS)
def test_shear_and_shift_are_pillows(bytes_, method):
    height, width = bytes_.shape[:2]
    for a in (
        (1, 0.27, 0, 0, 1, 0),  # Rows, about the upper left corner.
        (1, 0, 0, -0.2, 1, 0),
        (1, 0, 5.3, 0, 1, 0),
        (1, 0, 0, 0, 1, -4.6),
    ):
        moved = Image.fromarray(bytes_).transform(
            (width, height), Image.Transform.AFFINE, a, RESAMPLING[method],
            fillcolor=FILL,
        )  # fmt: skip
        linear = np.array([[a[0], a[1]], [a[3], a[4]]])
        middle = np.array([width / 2, height / 2])
        shift = linear @ middle + [a[2], a[5]] - middle
        got = np.clip(ours(bytes_, np.c_[linear, shift], method), 0, 255)
        difference = np.floor(got + 1e-3) - np.asarray(moved, np.float64)
        assert np.abs(difference).mean() < 0.05, a


@pytest.mark.parametrize("method", warp.METHODS)
def test_transform_is_the_reference(rng, method):
    image = rng.random((8, 9, 2))
    matrix = np.c_[rng.normal(0, 0.2, (2, 2)) + np.eye(2), rng.uniform(-1, 1, 2)]
    expected = pixels.affine_transform(image, matrix, method, (0.3, 0.7))
    got = run(image, matrix, method=method, fill=(0.3, 0.7))
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("method", warp.METHODS)
def test_transform_by_the_identity_keeps_every_bit(rng, method):
    image = rng.random((7, 8, 3)).astype(np.float32)
    identity = jnp.eye(2, 3)
    np.testing.assert_array_equal(run(image, identity, method=method), image)


def test_the_other_direction_and_the_other_cubic_would_be_seen(bytes_):
    turned = Image.fromarray(bytes_).rotate(10, Image.Resampling.BICUBIC)
    expected = np.asarray(turned, np.float64)

    def error(image):
        return np.abs(np.clip(image, 0, 255) - expected).mean()

    assert error(ours(bytes_, rotation(10), "bicubic", (0, 0, 0))) < 0.6
    assert error(ours(bytes_, rotation(-10), "bicubic", (0, 0, 0))) > 10
    assert error(ours(bytes_, rotation(10), "bilinear", (0, 0, 0))) > 2


def test_frames_share_the_map(rng):
    frames = rng.random((3, 8, 9, 3)).astype(np.float32)
    matrix = rotation(20)
    got = run(frames, matrix)
    np.testing.assert_array_equal(got, [run(frame, matrix) for frame in frames])


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="'lanczos'"):
        warp.affine_transform(jnp.zeros((4, 4, 3)), jnp.eye(2, 3), method="lanczos")
