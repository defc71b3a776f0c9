"""Self-Mono-SF: the whole loss in float64, scenes whose motion is known, refusals."""

import functools

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.types import Features
from jax_ssl.encoders import ENCODERS
from jax_ssl.losses.scene_flow import (
    Moving,
    balanced,
    disparity_terms,
    scene_flow_terms,
)
from jax_ssl.methods.self_mono_sf import self_mono_sf
from jax_ssl.nn.pairs import exchanged
from jax_ssl.nn.pwc import points_of
from jax_ssl.ops.cameras import backproject
from tests.case import Case
from tests.films import enlarged, film_of_one_camera, film_of_two_cameras
from tests.images import batch
from tests.methods.errors import central_differences, wide
from tests.references import flow as reference

SMALL = {
    "widths": (8, 6),
    "context_widths": (6,),
    "dilations": (1,),
    "max_displacement": 1,
    "level_weights": (1.0, 0.5),
    "flow_smoothness": 3.0,
}
TWO_LEVELS = {"name": "pwcnet", "widths": (4, 6)}
PYRAMID = {"name": "pwcnet", "widths": (4, 6, 8)}
CASES = {
    name: Case(
        "self_mono_sf",
        SMALL,
        film_of_two_cameras,
        encoder=encoder,
        reads=enlarged,
        learning_rate=0.006,
        share=0.85,
        steps=20,
    )
    # What is coarse to fine takes three times as long to compile.
    for name, encoder in (
        ("self_mono_sf", TWO_LEVELS),
        ("self_mono_sf-pyramid", PYRAMID),
    )
}
KEY = jax.random.key(0)
SIDES = (8, 16)
CAMERA = np.array([[18, 0, 7.3], [0, 17, 3.6], [0, 0, 1.0]])
BASELINE = 0.3


class Same(nn.Module):
    """An encoder of two levels that keeps an image's mean."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        cell = x.mean((1, 2), keepdims=True)
        return Features(pooled=cell[:, 0, 0], grid=cell, pyramid=(cell, cell, cell))


class Known(nn.Module):
    """Scene flow and disparity at a quarter and an eighth, as parameters.

    The images' mean shifts them, so that they differ between frames and cameras.
    """

    @nn.compact
    def __call__(self, own, other, intrinsics, baseline, *, train):
        del train, intrinsics, baseline
        flows, shares = [], []
        for i, k in enumerate((4, 8)):
            sides = SIDES[0] // k, SIDES[1] // k
            values = self.param(f"values{i}", nn.initializers.normal(0.5), (*sides, 4))
            shift = (other[1] - own[1])[..., :1]
            values = values + shift
            flows.append(0.1 * values[..., :3])
            shares.append(0.1 + 0.02 * values[..., 3:])
        return tuple(flows), tuple(shares)


def films(rng, rows=2, frames=2, sides=SIDES):
    """Smooth pictures that differ from frame to frame and between cameras."""
    coarse = rng.uniform(0.2, 0.8, (2, rows, frames, 3, 5, 3))
    both = jax.image.resize(coarse, (2, rows, frames, *sides, 3), "cubic")
    left, right = jnp.asarray(both, jnp.float32)
    camera = jnp.asarray(np.column_stack([CAMERA, np.zeros(3)]), jnp.float32)
    camera = jnp.broadcast_to(camera, (rows, 3, 4))
    return {
        "left_frames": left,
        "right_frames": right,
        "left_inputs": left - 0.5,
        "right_inputs": right - 0.5,
        "left_camera": camera,
        "right_camera": camera.at[:, 0, 3].set(-CAMERA[0, 0] * BASELINE),
    }


def loss_of(method, params, state, views):
    return method.loss(params, state, views, key=KEY, step=jnp.int32(0))


def halves(p, views, base=None):
    """Losses of scene flow and disparity, or their sum scaled as at `base`."""
    totals = np.zeros(2)
    lefts, rights = (wide(views[f"{side}_frames"]) for side in ("left", "right"))
    for left, right in zip(lefts, rights, strict=True):
        for i, weight in enumerate((4.0, 2.0)):
            own = p["decoder"][f"values{i}"]
            camera = np.diag([0.5**i, 0.5**i, 1]) @ CAMERA
            camera[:2, 2] += (0.5**i - 1) / 2

            def said(films, own=own):
                means = films.mean((1, 2))[:, 0]
                shifts = means[::-1] - means
                found = [reference.enlarged(own + shift, 4) for shift in shifts]
                return np.array(found)

            # Mirrored pictures have the same means, and what is said is mirrored back.
            here, there = said(left), said(right)[:, :, ::-1]
            totals += weight * np.array(
                reference.scene_flow(
                    np.array([reference.pooled(x, 2**i) for x in left]),
                    np.array([reference.pooled(x, 2**i) for x in right]),
                    *(0.1 * here[..., :3], 0.1 + 0.02 * here[..., 3]),
                    *(0.1 + 0.02 * there[..., 3], camera, BASELINE, i),
                )
            )
    totals = totals / len(lefts)
    if base is None:
        return totals
    return (totals * base.max() / base).sum()


def test_loss_and_gradient_are_those_in_float64(rng):
    method = self_mono_sf(Same(), None, {"decoder": Known()})
    views = films(rng)
    params, state = jax.jit(method.init)(KEY, views)
    loss = functools.partial(loss_of, method)
    (value, (_, metrics)), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        params, state, views
    )
    p = {**jax.tree.map(wide, params), "encoder": {}}
    base = halves(p, views)
    assert float(metrics["scene_flow_loss"]) == pytest.approx(base[0], rel=1e-5)
    assert float(metrics["disparity_loss"]) == pytest.approx(base[1], rel=1e-5)
    assert float(value) == pytest.approx(2 * base.max(), rel=1e-5)
    numeric = central_differences(functools.partial(halves, views=views, base=base), p)
    ours, theirs = (
        wide(jax.flatten_util.ravel_pytree(tree)[0]) for tree in (gradient, numeric)
    )
    assert np.linalg.norm(ours - theirs) < 1e-4 * np.linalg.norm(theirs)


def moving(image, depth, flow, focal=20.0):
    height, width = depth.shape
    camera = jnp.array(
        [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]
    )[None]
    points = backproject(jnp.asarray(depth, jnp.float32)[None], camera)
    flow = jnp.broadcast_to(jnp.asarray(flow, jnp.float32), points.shape)
    return Moving(image, points, flow, camera, jnp.ones((1, height, width), bool))


def test_a_scene_at_rest_has_no_error(rng):
    image = jnp.asarray(rng.uniform(size=(1, 8, 12, 3)), jnp.float32)
    still = moving(image, np.full((8, 12), 4.0), 0.0)
    terms = scene_flow_terms(still, still)
    # Pixels are found again to float32, at borders from either side.
    np.testing.assert_allclose(terms.data, 0, atol=1e-5)
    np.testing.assert_allclose(terms.points, 0, atol=1e-5)
    np.testing.assert_allclose(terms.smoothness, 0, atol=1e-6)
    np.testing.assert_allclose(terms.visible, 1)


def test_moving_ahead_expands_the_picture_about_the_principal_point():
    depth = np.full((9, 13), 5.0)
    ahead = moving(jnp.zeros((1, 9, 13, 3)), depth, (0.0, 0.0, -1.0))
    y, x = np.mgrid[:9, :13]
    center = np.array([6.0, 4.0])
    places = np.stack([x, y], -1)
    np.testing.assert_allclose(
        ahead.pixels[0] - places, (1.0 / (5.0 - 1.0)) * (places - center), atol=1e-5
    )


def test_points_that_arrive_have_no_error(rng):
    image = jnp.asarray(rng.uniform(size=(1, 8, 12, 3)), jnp.float32)
    near = moving(image, np.full((8, 12), 4.0), (0.2, 0.0, 0.0))  # By one pixel.
    other = moving(image, np.full((8, 12), 4.0), (-0.2, 0.0, 0.0))
    terms = scene_flow_terms(near, other)
    np.testing.assert_allclose(terms.points, 0, atol=1e-6)
    np.testing.assert_allclose(terms.visible, 11 / 12, rtol=1e-6)
    off = scene_flow_terms(near, moving(image, np.full((8, 12), 4.4), (-0.22, 0, 0)))
    assert float(off.points[0]) > 0.05


def test_smoothness_is_a_mean_over_the_axes_of_space():
    """As in the released code, so that its weight of 200 means the same."""
    x = np.mgrid[:8, :12][1]
    slope = 0.01 * x.astype(float)  # It bends at the two ends of a row alone.
    ends = 0.01 * np.isin(x, (0, 11))
    bent = moving(jnp.zeros((1, 8, 12, 3)), np.full((8, 12), 4.0), 0.0)
    away = np.linalg.norm(np.asarray(bent.points[0], np.float64), axis=-1)
    along_z = jnp.asarray(slope[None, ..., None] * [0, 0, 1.0], jnp.float32)
    alike = jnp.asarray(slope[None, ..., None] * np.ones(3), jnp.float32)
    for flow, axes in ((along_z, 1), (alike, 3)):
        terms = scene_flow_terms(bent._replace(flow=flow), bent)
        expected = axes / 3 * (ends / away).mean()
        np.testing.assert_allclose(terms.smoothness, expected, rtol=1e-5)


def test_the_true_disparity_has_no_error(rng):
    wide_image = jnp.asarray(rng.uniform(size=(1, 8, 16, 3)), jnp.float32)
    left, right = wide_image[:, :, :12], wide_image[:, :, 3:15]
    disparity = jnp.full((1, 8, 12), 3.0)
    seen = (jnp.arange(12) >= 3)[None, None] & jnp.ones((1, 8, 12), bool)
    inner = seen & (jnp.arange(12) >= 4)
    terms = disparity_terms(left, right, disparity, inner)
    np.testing.assert_allclose(terms.data, 0, atol=1e-6)
    np.testing.assert_allclose(terms.smoothness, 0)
    assert float(disparity_terms(left, right, disparity - 1, inner).data[0]) > 0.1


def test_balanced_losses_pull_alike():
    gradient = jax.grad(lambda a, b: balanced(a**2, 3 * b), argnums=(0, 1))(2.0, 5.0)
    # 4 is scaled to 15.
    np.testing.assert_allclose(gradient, (4 * 15 / 4, 3.0), rtol=1e-6)
    assert float(balanced(4.0, 15.0)) == pytest.approx(30)


def test_the_direction_of_time_does_not_matter(rng):
    method = self_mono_sf(Same(), None, {"decoder": Known()})
    views = films(rng)
    turned = {n: x[:, ::-1] if x.ndim == 5 else x for n, x in views.items()}
    params, state = jax.jit(method.init)(KEY, views)
    loss = jax.jit(lambda views: loss_of(method, params, state, views)[0])
    assert float(loss(views)) == pytest.approx(float(loss(turned)), rel=1e-6)


def test_predictions_agree_with_each_other():
    settings = dict(TWO_LEVELS)
    method = self_mono_sf(ENCODERS[settings.pop("name")](**settings), None, **SMALL)
    views = jax.vmap(film_of_two_cameras, (None, 0))(KEY, batch())

    @jax.jit
    def found(views):
        params, state = method.init(KEY, views)
        said = {n: f(params, state, views) for n, f in method.predicts.items()}
        (shown,) = method.shows(params, state, {"seen": views}, KEY).values()
        return said, {name: x for name, (_, x) in shown.columns.items()}

    said, columns = found(views)
    assert said["flow"].shape == (16, 16, 24, 2)
    focal, baseline = 20.0, 0.2
    np.testing.assert_allclose(
        said["depth"] * said["disparity"], focal * baseline, rtol=1e-5
    )
    np.testing.assert_array_equal(columns["disparity"], said["disparity"])
    np.testing.assert_array_equal(columns["frame"], views["left_frames"][:, 0])
    for values in columns.values():
        assert len(values) == 16


def test_what_comes_nearer_has_a_larger_disparity_next(rng):
    """Everything moves (x, y, z) metres: f b / (Z + z), and the flow of each pixel."""
    x, y, z = 0.2, -0.1, -1.5
    flow, share = jnp.array([x, y, z]), 0.06
    width = SIDES[1]

    class Moving(nn.Module):
        def __call__(self, own, other, intrinsics, baseline, *, train):
            del other, intrinsics, baseline, train
            both = jnp.zeros((len(own[-1]), SIDES[0] // 4, SIDES[1] // 4, 1))
            return (both + flow,), (both + share,)

    method = self_mono_sf(Same(), None, {"decoder": Moving()}, level_weights=(1.0,))
    views = films(rng)
    params, state = method.init(KEY, views)
    said = {n: f(params, state, views) for n, f in method.predicts.items()}
    (fx, _, cx), (_, fy, cy), _ = CAMERA
    depth = fx * BASELINE / (share * width)
    later = depth + z
    np.testing.assert_allclose(said["depth"], depth, rtol=1e-5)
    np.testing.assert_allclose(said["disparity_next"], fx * BASELINE / later, rtol=1e-5)
    rows, columns = np.mgrid[: SIDES[0], : SIDES[1]]
    moved = np.stack(
        [
            (depth * (columns - cx) + fx * x) / later - (columns - cx),
            (depth * (rows - cy) + fy * y) / later - (rows - cy),
        ],
        axis=-1,
    )
    np.testing.assert_allclose(said["flow"][0], moved, atol=1e-4)


def test_points_stay_between_a_millimetre_and_eighty_metres():
    camera, one = jnp.asarray(CAMERA, jnp.float32)[None], jnp.ones(1)
    for share, depth in ((0.0, 80.0), (1.0, 18 / 16), (1e9, 1e-3)):
        points = points_of(jnp.full((1, 8, 16), share), camera, one)
        np.testing.assert_allclose(points[..., 2], depth, rtol=1e-6)


def test_partners_change_places():
    rows = jnp.arange(6).reshape(6, 1)
    np.testing.assert_array_equal(exchanged(rows)[:, 0], [1, 0, 3, 2, 5, 4])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dilations": (1, 2)}, r"context_widths = \(6,\) and dilations = \(1, 2\)"),
        ({"point_weight": -1.0}, "point_weight = -1.0 must be at least 0"),
        ({"heads": {"pwc": None}}, "no 'pwc'; its heads are decoder"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        self_mono_sf(Same(), None, **{**SMALL, **settings})


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (lambda rng: films(rng, frames=1), "2 frames"),
        (lambda rng: films(rng, sides=(8, 18)), "8 x 18 pixels: the coarsest cells"),
        (
            lambda rng: jax.vmap(film_of_one_camera, (None, 0))(KEY, batch()),
            "films of two cameras",
        ),
    ],
)
def test_films_that_do_not_fit_are_refused(rng, views, message):
    settings = dict(PYRAMID)
    method = self_mono_sf(ENCODERS[settings.pop("name")](**settings), None, **SMALL)
    seen = views(rng)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: loss_of(method, *method.init(KEY, seen), seen))
