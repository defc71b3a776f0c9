"""Monodepth2: its loss in float64, its identities, and what it predicts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.methods.monodepth2 import monodepth2, roughness
from jax_ssl.nn.films import chained
from jax_ssl.ops.cameras import inverse
from tests.case import Case
from tests.films import enlarged, film_of_one_camera, film_of_two_cameras
from tests.methods import depth_nets as nets
from tests.methods.errors import KEY, Comparison, errors
from tests.references import depth as reference

SMALL = {"decoder_widths": (8, 8), "pose_width": 8}
CASES = {
    "monodepth2": Case(
        "monodepth2",
        {**SMALL, "num_scales": 1},
        film_of_one_camera,
        encoder={"name": "dispnet", "widths": (8, 8)},
        share=0.95,
        steps=20,
        learning_rate=0.1,
        reads=enlarged,
    ),
    "monodepth2-both": Case(
        "monodepth2",
        {**SMALL, "sources": "both", "num_scales": 2, "full_resolution": False},
        film_of_two_cameras,
        encoder={"name": "convnet", "widths": (4, 8, 8)},
        share=0.95,
        learning_rate=0.1,
        reads=enlarged,
    ),
    "monodepth2-stereo": Case(
        "monodepth2",
        {**SMALL, "sources": "stereo", "num_scales": 2, "auto_mask": False},
        film_of_two_cameras,
        encoder={"name": "convnet", "widths": (4, 8, 8)},
        share=0.95,
        learning_rate=0.1,
        reads=enlarged,
    ),
}
DEPTHS = (0.7, 4.0)


def compared(sources, frames=3, *, minimum=True, auto_mask=True, full=True):
    """Errors of the whole loss and its gradient against float64."""
    count = {"mono": frames - 1, "stereo": 1, "both": frames}[sources]

    def drawn():
        def noise(s, height, width, scales=1):
            shape = (scales, nets.ROWS, count if minimum else 1, height, width)
            own = jax.random.fold_in(KEY, s)
            return 1e-5 * np.asarray(jax.random.normal(own, shape))

        h, w = nets.HEIGHT, nets.WIDTH
        return noise(0, h, w, 2) if full else [noise(0, h, w), noise(1, h // 2, w // 2)]

    heads = {"decoder": nets.Maps(), "pose": nets.Motion()}
    if sources == "stereo":
        del heads["pose"]
    view = nets.one_camera(frames) if sources == "mono" else nets.two_cameras(frames)
    return errors(
        Comparison(
            "monodepth2",
            {
                "sources": sources,
                "reprojection": "minimum" if minimum else "average",
                "auto_mask": auto_mask,
                "full_resolution": full,
                "num_scales": 2,
                "min_depth": DEPTHS[0],
                "max_depth": DEPTHS[1],
                "nominal_baseline": 0.2,
            },
            functools.partial(
                reference.monodepth2,
                sources=sources,
                minimum=minimum,
                auto_mask=auto_mask,
                full=full,
                depths=DEPTHS,
                nominal=0.2,
            ),
            drawn,
            view,
            {"encoder": nets.Cells(), "heads": heads},
        )
    )


def test_loss_and_gradient_are_float64s():
    found = compared("mono")
    assert all(error < 1e-5 for error in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sources", "frames", "settings"),
    [
        ("stereo", 1, {}),
        ("both", 2, {}),
        ("both", 3, {"full": False}),
        ("mono", 3, {"minimum": False}),
        ("mono", 2, {"auto_mask": False}),
    ],
)
def test_every_form_of_the_loss_is_float64s(sources, frames, settings):
    found = compared(sources, frames, **settings)
    assert all(error < 1e-5 for error in found.values()), found


@pytest.fixture(scope="module")
def method():
    heads = {"decoder": nets.Maps(), "pose": nets.Motion()}
    return monodepth2(nets.Cells(), None, heads, num_scales=2)


@pytest.fixture(scope="module")
def loss(method):
    """Loss, metrics and gradient by params, state and views, compiled."""
    of = functools.partial(method.loss, key=KEY, step=jnp.int32(0))
    return jax.jit(jax.value_and_grad(of, has_aux=True))


@pytest.fixture(scope="module")
def first(method):
    views = jax.tree.map(jnp.asarray, nets.one_camera()(np.random.default_rng(0)))
    return jax.jit(method.init)(KEY, nets.film_of(views["frames"][0]))


def test_a_film_that_stands_still_counts_for_nothing(first, loss, rng):
    """Every pixel is explained as it is: no gradient but that of smoothness."""
    params, state = first
    image = nets.smooth(rng)
    (value, (_, metrics)), gradient = loss(params, state, nets.film_of([image] * 3))
    assert metrics["static_share"] > 0.95
    assert metrics["photometric_loss"] < 1e-4
    smooth = float(metrics["smoothness_loss"])
    assert float(value) == pytest.approx(smooth, abs=1e-4)
    moved = jax.tree.leaves(gradient["pose"])
    assert max(float(jnp.abs(g).max()) for g in moved) < 1e-3


def test_cameras_that_stand_still_warp_nothing(method, first, rng):
    params, state = first
    still = {**params, "pose": jax.tree.map(jnp.zeros_like, params["pose"])}
    views = nets.film_of(nets.smooth(rng, 3))
    seen = {**views, "image": views["inputs"][:, 1]}
    (shown,) = method.shows(still, state, {"seen": seen}, KEY).values()
    columns = {name: np.asarray(x) for name, (_, x) in shown.columns.items()}
    for i in (1, 2):
        as_it_is, warped = (columns[f"source {i}: {w}"] for w in ("as it is", "warped"))
        np.testing.assert_allclose(warped, as_it_is, atol=2e-6)
    poses = method.predicts["poses"](still, state, seen)
    np.testing.assert_array_equal(poses, np.broadcast_to(np.eye(3, 4), (1, 3, 3, 4)))


def test_the_sigmoid_is_between_the_inverse_depths(method, first):
    params, state = first
    views = nets.film_of(np.zeros((3, nets.HEIGHT, nets.WIDTH, 1)))
    seen = {**views, "image": views["inputs"][:, 1]}
    for bias, wanted in ((-60.0, 100.0), (60.0, 0.1)):
        own = jax.tree.map(lambda x, b=bias: jnp.full_like(x, b), params["decoder"])
        depth = method.predicts["depth"]({**params, "decoder": own}, state, seen)
        assert depth.shape == (1, nets.HEIGHT, nets.WIDTH)
        np.testing.assert_allclose(depth, wanted, rtol=1e-5)


def test_roughness_is_of_the_shape_alone(rng):
    disparity = jnp.asarray(rng.uniform(0.2, 1, (2, 6, 8, 1)))
    image = jnp.asarray(rng.uniform(size=(2, 12, 16, 3)))
    once, thrice = roughness(disparity, image), roughness(3 * disparity, image)
    np.testing.assert_allclose(once, thrice, rtol=1e-5)
    assert roughness(jnp.ones((2, 6, 8, 1)), image) == 0


def test_poses_lead_to_the_first_camera(rng):
    """A point at rest has one place in the coordinates of the first camera."""
    turns = [reference.rotation(w) for w in 0.3 * rng.normal(size=(3, 3))]
    offsets = rng.normal(size=(3, 3))
    steps = np.stack([np.c_[r, t] for r, t in zip(turns, offsets, strict=True)])[None]
    poses = np.asarray(chained(jnp.asarray(steps, jnp.float32)))[0]
    point = first = rng.normal(size=3)
    for i in range(4):
        place = poses[i, :, :3] @ point + poses[i, :, 3]
        np.testing.assert_allclose(place, first, atol=1e-5)
        if i < 3:
            point = turns[i] @ point + offsets[i]
    back = np.asarray(inverse(jnp.asarray(poses)))
    np.testing.assert_allclose(back[0], np.eye(3, 4), atol=1e-6)


def test_two_cameras_give_metres():
    """The depth is f b / d, whatever length stands for the baseline."""
    views = nets.two_cameras(baseline=0.5)(np.random.default_rng(1))
    views = {name: jnp.asarray(x, jnp.float32) for name, x in views.items()}
    seen = {**views, "image": views["left_inputs"][:, 0]}
    for nominal, unit in ((0.1, 5.0), (None, 1.0)):
        method = monodepth2(
            nets.Cells(),
            None,
            {"decoder": nets.Maps()},
            sources="stereo",
            num_scales=2,
            nominal_baseline=nominal,
        )
        params, state = jax.jit(method.init)(KEY, views)
        depth = method.predicts["depth"](params, state, seen)
        bare = method.predicts["depth"](params, state, {"image": seen["image"]})
        np.testing.assert_allclose(depth, unit * bare, rtol=1e-6)
        disparity = method.predicts["disparity"](params, state, seen)
        np.testing.assert_allclose(disparity, nets.FOCAL * 0.5 / depth, rtol=1e-5)
        assert set(method.predicts) == {"depth", "disparity"}


def test_ways_beside_two_cameras_are_in_metres():
    """The network's unit is the nominal baseline: a way of 1 is one of 5 metres."""
    views = nets.two_cameras(3, baseline=0.5)(np.random.default_rng(1))
    views = {name: jnp.asarray(x, jnp.float32) for name, x in views.items()}
    heads = {"decoder": nets.Maps(), "pose": nets.Motion()}
    found = {}
    for nominal in (0.1, None):
        method = monodepth2(
            *(nets.Cells(), None, heads),
            sources="both",
            num_scales=2,
            nominal_baseline=nominal,
        )
        params, state = jax.jit(method.init)(KEY, views)
        found[nominal] = np.asarray(method.predicts["poses"](params, state, views))
    assert np.abs(found[None][:, 1:, :, 3]).min() > 1e-3
    np.testing.assert_allclose(found[0.1][..., 3], 5 * found[None][..., 3], rtol=1e-5)
    np.testing.assert_array_equal(found[0.1][..., :3], found[None][..., :3])


def test_what_inference_needs_is_exported(method, first):
    params, state = first
    kept = method.exports["depth"](params, state)
    assert set(kept["params"]) == {"encoder", "decoder"}
    assert set(params) == {"encoder", "decoder", "pose_encoder", "pose"}


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"frames": 3, "inputs": 3}, "and data with the matrices of their cameras"),
        ({"frames": 1, "inputs": 1, "intrinsics": 0}, "a film of 2 frames or more"),
    ],
)
def test_views_without_films_are_refused(method, views, message):
    shapes = {0: (1, 3, 3), 1: (1, 1, 8, 10, 1), 3: (1, 3, 8, 10, 1)}
    given = {name: jnp.zeros(shapes[kind]) for name, kind in views.items()}
    with pytest.raises(ValueError, match=message):
        method.init(KEY, given)


def test_an_encoder_without_a_pyramid_is_refused():
    vit = ENCODERS["vit"](dim=8, depth=1, num_heads=1, patch=4, image_size=8)
    method = monodepth2(vit, film_of_one_camera, **SMALL, num_scales=1)
    views = nets.film_of(np.zeros((3, 8, 8, 3)))
    with pytest.raises(ValueError, match="the encoder has no pyramid"):
        jax.eval_shape(method.init, KEY, views)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((8,), "doubles 1 times, and the encoder's pyramid halves 2 times or more"),
        ((8, 8, 8), "ends at 32 x 32 pixels, and the images have 16 x 16"),
    ],
)
def test_widths_that_do_not_fit_are_refused(widths, message):
    encoder = ENCODERS["convnet"](widths=(4, 4, 4))
    method = monodepth2(
        encoder, film_of_one_camera, decoder_widths=widths, num_scales=1, pose_width=4
    )
    views = nets.film_of(np.zeros((3, 16, 16, 3)))
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(functools.partial(first_loss, method), views)


def first_loss(method, views):
    return method.loss(*method.init(KEY, views), views, key=KEY, step=0)[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_scales": 6}, r"num_scales = 6 must be in \[1, 5\]"),
        ({"min_depth": 200.0}, "min_depth = 200.0 must be at most max_depth = 100.0"),
        ({"ssim_weight": 1.5}, "ssim_weight = 1.5 must be in"),
        ({"nominal_baseline": 0.0}, "nominal_baseline = 0.0 must be positive"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        monodepth2(nets.Cells(), None, **settings)
