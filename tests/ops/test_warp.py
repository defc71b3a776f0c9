"""Sampling and affine maps, against loops, SciPy, Pillow and NumPy's rot90."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

from jax_ssl.ops import warp
from tests.references import geometry, pixels
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


warp_by = jax.jit(warp.warp, static_argnames="border")


@functools.partial(jax.jit, static_argnames="border")
def along(image, flow, border="zero"):
    return warp.warp(image, warp.flow_pixels(flow), border)


@functools.partial(jax.jit, static_argnames="side")
def other_picture(image, disparity, side):
    return warp.warp(image, warp.stereo_pixels(disparity, side)).values


@pytest.mark.parametrize("border", warp.BORDERS)
def test_every_image_is_warped_by_its_own_places(rng, border):
    images = rng.random((3, 5, 6, 2)).astype(np.float32)
    places = rng.uniform(-1.5, 6, (3, 4, 7, 2)).astype(np.float32)
    got = warp_by(images, places, border=border)
    x, y = np.moveaxis(places, -1, 0)
    inside = (x >= 0) & (x <= 5) & (y >= 0) & (y <= 4)
    np.testing.assert_array_equal(got.inside, inside)
    assert 0.2 < inside.mean() < 0.8
    for i in range(3):
        judge = reference.bilinear_sample(images[i], np.float64(places[i]), border)
        np.testing.assert_allclose(got.values[i], judge, atol=1e-5)
    # Further axes lead, and what lies inside does not depend on the border.
    deep = warp_by(images[None], places[None], border=border)
    np.testing.assert_allclose(deep.values[0], got.values, atol=1e-6)
    edge = np.asarray(warp_by(images, places, border="edge").values)
    values = np.asarray(got.values)
    np.testing.assert_allclose(edge[inside], values[inside], atol=1e-6)


@pytest.mark.parametrize("border", warp.BORDERS)
def test_a_flow_of_zeros_keeps_every_bit(rng, border):
    images = rng.random((2, 5, 6, 3)).astype(np.float32)
    got = along(images, np.zeros((2, 5, 6, 2), np.float32), border)
    np.testing.assert_array_equal(got.values, images)
    assert got.inside.all()


def test_half_a_pixel_of_a_ramp_is_exact():
    x, y = np.meshgrid(np.arange(8.0), np.arange(6.0))
    ramp = np.float32(3 * x - 2 * y)[None, ..., None]
    flow = np.broadcast_to(np.float32([0.5, -0.5]), (1, 6, 8, 2))
    got = along(ramp, flow)
    inner = np.s_[:, 1:, :-1]
    values, inside = map(np.asarray, got)
    np.testing.assert_array_equal(values[inner], ramp[inner] + 2.5)
    assert inside[inner].all()
    assert inside.sum() == 5 * 7


def test_whole_pixels_read_to_the_right_and_below(rng):
    images = rng.random((1, 6, 8, 1)).astype(np.float32)
    flow = np.broadcast_to(np.float32([2, 1]), (1, 6, 8, 2))
    got = np.asarray(along(images, flow).values)
    np.testing.assert_array_equal(got[:, :-1, :-2], images[:, 1:, 2:])
    assert not got[:, -1].any()
    assert not got[:, :, -2:].any()


@pytest.mark.parametrize("border", warp.BORDERS)
def test_gradients_of_a_warp_are_those_of_float64(rng, border):
    image = rng.random((1, 5, 6, 2)).astype(np.float32)
    # No nearer to a whole number than 1/100, where the slope changes.
    whole, part = rng.integers(-2, 6, (1, 3, 4, 2)), rng.uniform(0.01, 0.99, (3, 4, 2))
    places = np.float32(whole + part)
    weight = rng.normal(size=(1, 3, 4, 2)).astype(np.float32)

    @jax.jit
    def gradients(image, places):
        def total(image, places):
            return (weight * warp.warp(image, places, border).values).sum()

        return jax.grad(total, (0, 1))(image, places)

    def judge(image, places):
        sampled = reference.bilinear_sample(image[0], places[0], border)
        return (weight[0] * sampled).sum()

    got = gradients(image, places)
    step = 1e-6
    for k, values in enumerate((np.float64(image), np.float64(places))):
        given = [np.float64(image), np.float64(places)]
        for at in np.ndindex(values.shape):
            ends = []
            for sign in (1, -1):
                given[k] = values.copy()
                given[k][at] += sign * step
                ends.append(judge(*given))
            slope = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(got[k][at], slope, atol=1e-5)


def test_disparities_lead_to_the_other_picture(rng):
    """The left picture at x shows what the right one shows at x - d."""
    right = rng.random((1, 4, 9, 1)).astype(np.float32)
    left = np.roll(right, 2, axis=2)
    d = np.full((1, 4, 9), 2, np.float32)
    got = other_picture(right, d, "left")
    np.testing.assert_array_equal(got[:, :, 2:], left[:, :, 2:])
    got = other_picture(left, d, "right")
    np.testing.assert_array_equal(got[:, :, :-2], right[:, :, :-2])
    with pytest.raises(ValueError, match="'middle'"):
        warp.stereo_pixels(d, "middle")


splat = jax.jit(warp.splat)


def test_splatting_is_the_reference(rng):
    flow = rng.normal(0, 1.5, (2, 4, 5, 2)).astype(np.float32)
    weights = rng.random((2, 4, 5)).astype(np.float32)
    got = splat(flow, weights)
    judge = [geometry.splat(*pair) for pair in zip(flow, weights, strict=True)]
    np.testing.assert_allclose(got, judge, atol=1e-5)
    np.testing.assert_array_equal(splat(np.zeros_like(flow), weights), weights)


def test_splatting_is_the_transpose_of_a_warp(rng):
    """<splat(w), v> = <w, warp(v)>, and so are their gradients along the flow."""
    flow = rng.normal(0, 1.5, (2, 4, 5, 2)).astype(np.float32)
    w, v = rng.random((2, 2, 4, 5)).astype(np.float32)

    def one(flow):
        return (warp.splat(flow, w) * v).sum()

    def other(flow):
        return (
            warp.warp(v[..., None], warp.flow_pixels(flow)).values[..., 0] * w
        ).sum()

    (a, to_a), (b, to_b) = (jax.jit(jax.value_and_grad(f))(flow) for f in (one, other))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(to_a, to_b, atol=1e-5)


def test_no_row_of_a_batch_waits_for_another():
    """A batch that is spread over devices is warped without a word between them."""
    mesh = jax.sharding.Mesh(jax.devices(), ("rows",))
    where = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
    rows = len(jax.devices())

    def gradients(image, flow):
        def total(image, flow):
            warped = warp.warp(image, warp.flow_pixels(flow)).values[..., 0]
            return jnp.square(warped + warp.splat(flow, warped)).sum((1, 2))

        out, back = jax.vjp(total, image, flow)
        return back(jnp.ones_like(out))

    shapes = [(rows, 4, 5, 1), (rows, 4, 5, 2)]
    traced = [jax.ShapeDtypeStruct(s, jnp.float32, sharding=where) for s in shapes]
    program = jax.jit(gradients).lower(*traced).compile().as_text()
    for word in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
        assert word not in program
