"""Monodepth: its loss in float64, pairs whose disparity is known, and what it says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods.monodepth import monodepth, warped
from tests.case import Case
from tests.films import enlarged, film_of_two_cameras
from tests.methods import depth_nets as nets
from tests.methods.errors import KEY, Comparison, errors
from tests.references import depth as reference

CASES = {
    "monodepth": Case(
        "monodepth",
        {"decoder_widths": (8, 8), "num_scales": 1},
        film_of_two_cameras,
        encoder={"name": "monodepth_vgg", "widths": (8, 8), "kernels": (3,)},
        share=0.95,
        steps=20,
        learning_rate=0.1,
        reads=enlarged,
    ),
    "monodepth-convnet": Case(
        "monodepth",
        {"decoder_widths": (8, 8), "num_scales": 2, "smoothness_along": "rows"},
        film_of_two_cameras,
        encoder={"name": "convnet", "widths": (4, 8, 8)},
        share=0.95,
        learning_rate=0.1,
        reads=enlarged,
    ),
}
MAPS = nets.Maps(num_maps=2, scale=0.3)


def compared(along="both", weight=1.0):
    return errors(
        Comparison(
            "monodepth",
            {
                "smoothness_along": along,
                "left_right_weight": weight,
                "num_scales": 2,
            },
            functools.partial(reference.monodepth, along=along, left_right=weight),
            views=nets.two_cameras(),
            wires={"encoder": nets.Cells(), "heads": {"decoder": MAPS}},
        )
    )


def test_loss_and_gradient_are_float64s():
    found = compared()
    assert all(error < 1e-5 for error in found.values()), found


@pytest.mark.slow
def test_the_released_codes_sum_is_float64s():
    found = compared("rows", 0.5)
    assert all(error < 1e-5 for error in found.values()), found


def pair_of(left, right):
    """Views of a pair of pictures [H, W, 1], as a batch of one."""
    views = nets.two_cameras()(np.random.default_rng(0))
    views = {name: jnp.asarray(x[:1], jnp.float32) for name, x in views.items()}
    for side, image in (("left", left), ("right", right)):
        frame = jnp.asarray(image, jnp.float32)[None, None]
        views |= {f"{side}_frames": frame, f"{side}_inputs": frame}
    return views


@pytest.fixture(scope="module")
def method():
    return monodepth(nets.Cells(), None, {"decoder": MAPS}, num_scales=2)


@pytest.fixture(scope="module")
def loss(method):
    return jax.jit(functools.partial(method.loss, key=KEY, step=jnp.int32(0)))


def saying(method, share, views):
    """Params of a network that says one disparity everywhere, a share of the width."""
    params, state = jax.jit(method.init)(KEY, views)
    blind = jax.tree.map(jnp.zeros_like, params)
    raw = float(np.log(share / (0.3 - share)))
    for part in blind["decoder"].values():
        part["bias"] = jnp.full_like(part["bias"], raw)
    return blind, state


def test_constant_disparities_agree_and_are_smooth(method, loss, rng):
    image = nets.smooth(rng)
    views = pair_of(image, image)
    _, (_, metrics) = loss(*saying(method, 0.1, views), views)
    assert metrics["left_right_loss"] == pytest.approx(0, abs=1e-7)
    assert metrics["smoothness_loss"] == pytest.approx(0, abs=1e-7)
    assert metrics["mean_disparity"] == pytest.approx(0.1, abs=1e-6)


def test_a_picture_moved_by_whole_pixels_is_put_together_from_the_other(rng):
    wide = np.asarray(nets.smooth(rng))[None]
    for k in range(3):
        left, right = wide[:, :, : nets.WIDTH - k], wide[:, :, k:]
        share = jnp.full(left.shape[:3], k / left.shape[2])
        shown = np.asarray(warped(jnp.asarray(right), share, "left"))
        np.testing.assert_allclose(shown[:, :, k:], left[:, :, k:], atol=1e-6)
        shown = np.asarray(warped(jnp.asarray(left), share, "right"))
        stop = shown.shape[2] - k
        np.testing.assert_allclose(shown[:, :, :stop], right[:, :, :stop], atol=1e-6)


def test_no_disparity_leaves_the_other_picture_as_it_is(rng):
    image = jnp.asarray(nets.smooth(rng))[None]
    for side in ("left", "right"):
        shown = warped(image, jnp.zeros(image.shape[:3]), side)
        np.testing.assert_array_equal(shown, image)


def test_the_true_disparity_has_the_least_loss(method, loss, rng):
    """Of the constant ones, for a picture that is moved by a pixel."""
    wide = np.concatenate([nets.smooth(rng), nets.smooth(rng)[:, :1]], 1)
    views = pair_of(wide[:, :-1], wide[:, 1:])
    shares = np.array([0.5, 1, 1.5, 2]) / nets.WIDTH
    values = [
        float(loss(*saying(method, share, views), views)[1][1]["photometric_loss"])
        for share in shares
    ]
    assert int(np.argmin(values)) == 1


def test_cameras_need_not_be_known(method, loss, rng):
    """Of a pair of pictures without calibration the disparity is learned all the same.

    Depth is one over the disparity then.
    """
    image = nets.smooth(rng)
    views = pair_of(image, image)
    alone = {name: x for name, x in views.items() if not name.endswith("camera")}
    params, state = saying(method, 0.1, alone)
    known, unknown = (loss(params, state, seen)[0] for seen in (views, alone))
    assert known == unknown
    seen = {**alone, "image": alone["left_inputs"][:, 0]}
    disparity = method.predicts["disparity"](params, state, seen)
    depth = method.predicts["depth"](params, state, seen)
    np.testing.assert_allclose(disparity, 0.1 * nets.WIDTH, rtol=1e-5)
    np.testing.assert_allclose(depth, 1 / (0.1 * nets.WIDTH), rtol=1e-5)


def test_disparity_is_in_pixels_and_depth_in_metres(method, rng):
    image = nets.smooth(rng)
    views = pair_of(image, image)
    params, state = saying(method, 0.2, views)
    seen = {**views, "image": views["left_inputs"][:, 0]}
    disparity = method.predicts["disparity"](params, state, seen)
    np.testing.assert_allclose(disparity, 0.2 * nets.WIDTH, rtol=1e-5)
    depth = method.predicts["depth"](params, state, seen)
    np.testing.assert_allclose(depth, nets.FOCAL * 0.4 / 2.0, rtol=1e-5)
    bare = method.predicts["depth"](params, state, {"image": seen["image"]})
    np.testing.assert_allclose(bare, 1 / disparity, rtol=1e-5)


def test_pictures_and_exports(method, rng):
    image = nets.smooth(rng)
    views = pair_of(image, image)
    seen = {**views, "image": views["left_inputs"][:, 0]}
    params, state = saying(method, 1e-7, views)
    (shown,) = method.shows(params, state, {"seen": seen}, KEY).values()
    columns = {name: np.asarray(x) for name, (_, x) in shown.columns.items()}
    for side, other in (("left", "right"), ("right", "left")):
        put = columns[f"{side}: out of the {other} one"]
        np.testing.assert_allclose(put, columns[f"{side}: as it is"], atol=1e-5)
    assert set(method.exports["depth"](params, state)["params"]) == set(params)


def test_films_of_one_camera_are_refused(method):
    views = nets.film_of(np.zeros((1, 8, 10, 1)))
    with pytest.raises(ValueError, match="must be films of two cameras"):
        method.init(KEY, views)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_disparity": 0.0}, r"max_disparity = 0.0 must be in \(0, 1\]"),
        ({"num_scales": 8}, r"num_scales = 8 must be in \[1, 7\]"),
        ({"left_right_weight": -1.0}, "left_right_weight = -1.0 must be at least 0"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        monodepth(ENCODERS["monodepth_vgg"](), None, **settings)
