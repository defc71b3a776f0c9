"""SfMLearner: its loss in float64, scenes whose warps are known, masks, poses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods.sfmlearner import difference, sfmlearner, synthesized
from jax_ssl.ops.cameras import euler_motion
from tests.case import Case
from tests.films import enlarged, film_of_one_camera
from tests.methods import depth_nets as nets
from tests.methods.errors import KEY, Comparison, errors
from tests.references import depth as reference

SMALL = {"decoder_widths": (8, 8), "pose_widths": (8, 8, 8), "num_scales": 1}
CASES = {
    "sfmlearner": Case(
        "sfmlearner",
        {**SMALL, "explainability_weight": 0.2, "explain_widths": (8, 8)},
        film_of_one_camera,
        encoder={"name": "dispnet", "widths": (8, 8), "kernels": (3,)},
        share=0.95,
        steps=20,
        learning_rate=0.05,
        reads=enlarged,
    ),
    "sfmlearner-five": Case(
        "sfmlearner",
        {**SMALL, "num_frames": 5, "num_scales": 2, "norm": "batch"},
        functools.partial(film_of_one_camera, frames=5),
        encoder={"name": "convnet", "widths": (4, 8, 8)},
        share=0.95,
        learning_rate=0.05,
        reads=enlarged,
    ),
}
MAPS = nets.Maps(scale=10.0, offset=0.01)
HEADS = {"decoder": MAPS, "pose": nets.Explained()}


def compared(explaining=0.2, frames=3):
    return errors(
        Comparison(
            "sfmlearner",
            {
                "num_scales": 2,
                "num_frames": frames,
                "explainability_weight": explaining,
            },
            functools.partial(
                reference.sfmlearner, smoothness=0.5, explaining=explaining
            ),
            views=nets.one_camera(frames),
            wires={"encoder": nets.Cells(), "heads": HEADS},
        )
    )


def test_loss_and_gradient_are_float64s():
    found = compared()
    assert all(error < 1e-5 for error in found.values()), found


@pytest.mark.slow
def test_five_frames_without_masks_are_float64s():
    found = compared(0.0, 5)
    assert all(error < 1e-5 for error in found.values()), found


@pytest.fixture(scope="module")
def method():
    return sfmlearner(
        nets.Cells(), None, HEADS, num_scales=2, explainability_weight=0.2
    )


@pytest.fixture(scope="module")
def first(method):
    views = nets.film_of(np.zeros((3, nets.HEIGHT, nets.WIDTH, 1)))
    return jax.jit(method.init)(KEY, views)


@pytest.fixture(scope="module")
def loss(method):
    return jax.jit(functools.partial(method.loss, key=KEY, step=jnp.int32(0)))


def still(params):
    """Params of cameras that stand still, and masks that let everything through."""
    pose = jax.tree.map(jnp.zeros_like, params["pose"])
    pose["mask"]["bias"] = jnp.array([-20.0, 20.0, -20.0, 20.0])
    return {**params, "pose": pose}


def test_cameras_that_stand_still_leave_the_difference_of_the_frames(first, loss, rng):
    params, state = first
    film = nets.smooth(rng, 3)
    _, (_, metrics) = loss(still(params), state, nets.film_of(film))
    halves = [film, reference.halved(film)]
    wanted = sum(
        2 * np.abs(x[i] - x[1]).mean() for x in halves for i in (0, 2)
    )  # Of colours in [-1, 1], over scales and sources.
    assert float(metrics["photometric_loss"]) == pytest.approx(wanted, rel=1e-5)
    assert metrics["explainability_loss"] == pytest.approx(0, abs=1e-6)
    assert metrics["inside_share"] == 1
    equal, (_, metrics) = loss(still(params), state, nets.film_of([film[0]] * 3))
    assert float(equal) == pytest.approx(float(metrics["smoothness_loss"]), abs=1e-5)


def test_a_plane_moves_by_focal_length_times_step_over_depth(rng):
    """By f t / Z pixels everywhere; twice the depth and the step are the same."""
    image = jnp.asarray(nets.smooth(rng))[None, None]
    k = jnp.asarray(nets.intrinsics(), jnp.float32)[None]
    shape = (1, nets.HEIGHT, nets.WIDTH, 1)
    for scale in (1.0, 2.0):
        step = euler_motion(jnp.array([[[2 * scale / nets.FOCAL, 0, 0, 0, 0, 0]]]))
        seen = synthesized(jnp.full(shape, 1 / scale), image, k, step)
        np.testing.assert_allclose(
            seen.values[0, 0, :, :-2], image[0, 0, :, 2:], atol=1e-5
        )
        assert not seen.inside[0, 0, :, -2:].any()
        assert seen.inside[0, 0, :, :-3].all()
        outside = difference(seen, image[:, 0])[0, 0, :, -1]
        grey = 2 * jnp.abs(0.5 - image[0, 0, :, -1]).mean(-1)
        np.testing.assert_allclose(outside, grey, rtol=1e-5)


def test_turning_on_the_spot_says_nothing_of_depth(rng):
    image = jnp.asarray(nets.smooth(rng))[None, None]
    k = jnp.asarray(nets.intrinsics(), jnp.float32)[None]
    turn = euler_motion(jnp.array([[[0, 0, 0, 0.03, -0.05, 0.1]]]))

    def total(disparity):
        return jnp.square(synthesized(disparity, image, k, turn).values).sum()

    disparity = jnp.asarray(rng.uniform(0.2, 1, (1, nets.HEIGHT, nets.WIDTH, 1)))
    assert float(jnp.abs(jax.grad(total)(disparity)).max()) < 1e-4


def test_poses_lead_to_the_first_camera(method, first, rng):
    """They agree with the motions from the target, turned about x, then y, then z."""
    params, state = first
    film = nets.smooth(rng, 3)
    seen = nets.film_of(film)
    poses = np.asarray(method.predicts["poses"](params, state, seen))[0]
    stacked = np.concatenate([film[i] for i in (1, 0, 2)], -1)
    wide = jax.tree.map(lambda x: np.asarray(x, np.float64), params["pose"]["motion"])
    vectors = 0.3 * reference.dense(stacked.mean((0, 1)), wide)
    motions = [reference.euler(v) for v in vectors.reshape(2, 6)]
    point = rng.normal(size=3)  # In the target's coordinates.
    places = [r @ point + t for r, t in motions]
    for pose, place in zip(poses, (places[0], point, places[1]), strict=True):
        np.testing.assert_allclose(
            pose[:, :3] @ place + pose[:, 3], places[0], atol=1e-5
        )
    np.testing.assert_allclose(poses[0], np.eye(3, 4), atol=1e-6)


def test_pictures_are_of_every_source(method, first, rng):
    params, state = first
    film = nets.smooth(rng, 3)
    views = nets.film_of(film)
    seen = {**views, "image": views["inputs"][:, 1]}
    (shown,) = method.shows(still(params), state, {"seen": seen}, KEY).values()
    columns = {name: np.asarray(x) for name, (_, x) in shown.columns.items()}
    for i, frame in ((1, 0), (2, 2)):
        np.testing.assert_allclose(
            columns[f"source {i}: warped"][0], film[frame], atol=1e-5
        )
        np.testing.assert_allclose(columns[f"source {i}: explained"], 1, atol=1e-5)
    depth = method.predicts["depth"](params, state, seen)
    np.testing.assert_allclose(columns["disparity"], 1 / depth, rtol=1e-5)


def test_without_their_weight_there_are_no_masks():
    method = CASES["sfmlearner-five"].build()
    assert "explainability_weight" not in CASES["sfmlearner-five"].settings
    views = {
        name: jax.ShapeDtypeStruct((2, *shape), jnp.float32)
        for name, shape in (
            ("frames", (5, 16, 24, 3)),
            ("inputs", (5, 16, 24, 3)),
            ("intrinsics", (3, 3)),
        )
    }
    params, state = jax.eval_shape(method.init, KEY, views)
    assert not [name for name in params["pose"] if name.startswith(("mask", "up"))]
    of = functools.partial(method.loss, key=KEY, step=jnp.int32(0))
    _, (_, metrics) = jax.eval_shape(of, params, state, views)
    assert "explained_share" not in metrics


def test_films_of_another_length_are_refused(method):
    for frames, message in ((2, "a film of 3 frames or more"), (4, "num_frames = 3")):
        views = nets.film_of(np.zeros((frames, 8, 10, 1)))
        with pytest.raises(ValueError, match=message):
            method.init(KEY, views)


def test_films_without_their_camera_are_refused(method):
    views = nets.film_of(np.zeros((3, 8, 10, 1)))
    del views["intrinsics"]
    with pytest.raises(ValueError, match="data with the matrices of their cameras"):
        method.init(KEY, views)


def test_masks_and_disparities_must_fit():
    """A ConvNet leaves a half column out, where convolutions make a whole of it."""
    method = sfmlearner(
        ENCODERS["convnet"](widths=(4, 4, 4)),
        None,
        decoder_widths=(4, 4),
        pose_widths=(4, 4),
        explain_widths=(4, 4),
        num_scales=2,
        explainability_weight=0.2,
    )

    def first_loss(views):
        return method.loss(*method.init(KEY, views), views, key=KEY, step=0)[0]

    views = nets.film_of(np.zeros((3, 9, 10, 3)))
    with pytest.raises(ValueError, match="masks have 5 x 5 pixels where the disp"):
        jax.eval_shape(first_loss, views)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": 1}, "num_frames = 1 must be at least 2"),
        ({"explainability_weight": -0.1}, "explainability_weight = -0.1 must be"),
        (
            {"explainability_weight": 0.2, "explain_widths": (4, 4)},
            r"explain_widths = \(4, 4\) must have num_scales = 4 levels or more",
        ),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        sfmlearner(ENCODERS["dispnet"](), None, **settings)
