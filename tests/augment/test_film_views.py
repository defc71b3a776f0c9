"""Views of films show what their cameras' matrices say, and change colours as set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.augment.photometry import Tones
from jax_ssl.config.bind import resolve
from jax_ssl.core.fields import read_by
from jax_ssl.data.synthetic_scenes import synthetic_scenes

H, W, T = 24, 36, 3
K = np.array([[30.0, 0, 16], [0, 32, 13], [0, 0, 1]], np.float32)
BASELINE = 0.3
PLAIN = {"strength": 0.0, "flip": 0.0}
# Of everything that moves pixels, a bit. Enlarged, for then ramps stay ramps exactly.
MOVED = {"size": (28, 40), "min_scale": 1.0, "max_scale": 1.4, "strength": 0.0}


def ramps(camera=0):
    """Frames whose channels say (x / W, y / H, number of the frame and the camera)."""
    y, x = np.mgrid[:H, :W].astype(np.float32)
    return np.stack(
        [
            np.stack([x / W, y / H, np.full((H, W), (t + 4 * camera) / 10)], -1)
            for t in range(T)
        ]
    ).astype(np.float32)


def one_camera():
    return {"frames": ramps(), "intrinsics": K}


def two_cameras():
    left = np.concatenate([K, np.zeros((3, 1), np.float32)], axis=1)
    right = np.concatenate([K, K @ [[-BASELINE], [0], [0]]], axis=1).astype(np.float32)
    return {
        "left_frames": ramps(),
        "right_frames": ramps(1),
        "left_camera": left,
        "right_camera": right,
    }


def drawn(count, example, name="film", **settings):
    fn = VIEWS[name](**settings)
    keys = jax.random.split(jax.random.key(0), count)
    out = jax.jit(jax.vmap(fn, (0, None)))(keys, example)
    return {name: np.asarray(value) for name, value in out.items()}


def sources(frame):
    """Pixels [h, w, 2] of the source that a view's ramps show, and where it is true."""
    where = frame[..., :2] * [W, H]
    inner = (where > 1) & (where < [W - 2, H - 2])
    return where.astype(np.float64), inner.all(-1)


def check_camera(frame, camera, source_camera, mirrored):
    """A view's pixel is where its camera sees the point that the source's sees there.

    Points at 2 metres in the coordinates of the left source camera, mirrored in a
    mirrored view.
    """
    where, inner = sources(frame)
    source = source_camera.astype(np.float64)
    shift = np.linalg.solve(source[:, :3], source[:, 3]) if source.shape[1] == 4 else 0
    ones = np.ones((*where.shape[:2], 1))
    rays = np.concatenate([where, ones], -1) @ np.linalg.inv(source[:, :3]).T
    points = 2 * rays - shift
    if mirrored:
        points = points * [-1, 1, 1]
    camera = camera.astype(np.float64)
    seen = points @ camera[:, :3].T
    if camera.shape[1] == 4:
        seen = seen + camera[:, 3]
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    found = seen[..., :2] / seen[..., 2:]
    expected = np.stack([x, y], -1)
    assert inner.mean() > 0.5
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-3)


@pytest.mark.parametrize(
    "settings", [{}, {"window": (20, 30), "min_scale": 0.9}, {"joint_scale": True}]
)
def test_the_intrinsics_lead_to_the_pixels_of_the_view(settings):
    views = drawn(24, one_camera(), **{**MOVED, **settings})
    assert views["frames"].shape == (24, T, 28, 40, 3)
    assert views["inputs"].shape == (24, T, 28, 40, 3)
    turned = 0
    for frames, camera in zip(views["frames"], views["intrinsics"], strict=True):
        mirrored = frames[0, 8, 2, 0] > frames[0, 8, -3, 0]
        turned += mirrored
        for frame in frames:
            check_camera(frame, camera, K, mirrored)
    assert 4 < turned < 20
    focal = views["intrinsics"][:, [0, 1], [0, 1]] / [K[0, 0], K[1, 1]]
    base = np.array(settings.get("window", (H, W)))[::-1]
    factors = focal * base / [40, 28]
    low = settings.get("min_scale", 1.0)
    assert ((factors > low - 1e-3) & (factors < 1.4 + 1e-3)).all()
    assert np.ptp(factors, axis=0).min() > 0.2
    alike = abs(factors[:, 0] - factors[:, 1]).max() < 1e-3
    assert alike == settings.get("joint_scale", False)


def test_a_mirror_image_exchanges_two_cameras():
    example = two_cameras()
    views = drawn(24, example, **MOVED)
    turned = 0
    for i in range(24):
        first = round(float(views["left_frames"][i, 0, 0, 0, 2]) * 10)
        mirrored = first == 4
        turned += mirrored
        sides = ("right", "left") if mirrored else ("left", "right")
        for side, source in zip(("left", "right"), sides, strict=True):
            frames = views[f"{side}_frames"][i]
            number = np.round(frames[:, 4, 4, 2] * 10)
            assert number.tolist() == [
                0 + 4 * (source == "right") + t for t in (0, 1, 2)
            ]
            check_camera(
                frames[0],
                views[f"{side}_camera"][i],
                example[f"{source}_camera"],
                mirrored,
            )
    assert 4 < turned < 20


def test_a_left_film_of_two_cameras_is_one_of_one():
    views = drawn(4, two_cameras(), cameras="left", **MOVED)
    alone = drawn(4, one_camera(), **MOVED)
    assert views.keys() == {"frames", "inputs", "intrinsics"}
    for name, value in views.items():
        np.testing.assert_array_equal(value, alone[name])
    # Nothing of the right camera need be decoded.
    fields = synthetic_scenes(num_examples=1, size=(8, 8), stereo=True).fields
    read = read_by(VIEWS["whole_film"](cameras="left"), fields)
    assert set(read) == {"left_frames", "left_camera"}


def test_labels_follow_the_window_and_the_laws_of_the_renderer():
    """Frames warped by the view's own depth, poses and intrinsics are the target."""
    source = synthetic_scenes(num_examples=3, size=(48, 72), max_rotation=(0.2,) * 3)
    names = ("frames", "intrinsics", "depth", "poses", "flow")
    settings = {"size": (48, 72), "max_scale": 1.3, "strength": 0.0}
    fn = VIEWS["film"](source.fields, carried=("depth", "poses", "flow"), **settings)
    rows = source[np.arange(3)]
    y, x = np.mgrid[:48, :72].astype(np.float64)
    right, wrong = [], []
    for i in range(3):
        example = {name: rows[name][i] for name in names}
        for key in range(3):
            view = jax.jit(fn)(jax.random.key(key), example)
            view = {name: np.asarray(v, np.float64) for name, v in view.items()}
            camera, rest = view["intrinsics"], [[0, 0, 0, 1]]
            now, after = (np.concatenate([view["poses"][t], rest]) for t in (1, 2))
            motion = np.linalg.inv(after) @ now
            rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera).T
            points = view["depth"][..., None] * rays
            seen = (points @ motion[:3, :3].T + motion[:3, 3]) @ camera.T
            flow = seen[..., :2] / seen[..., 2:] - np.stack([x, y], -1)
            # Labels are those of the nearest pixel, half a pixel away at most.
            assert np.median(abs(flow - view["flow"][..., :2])) < 0.1
            for sign, found in ((1, right), (-1, wrong)):
                u = np.rint(x + sign * flow[..., 0]).astype(int)
                v = np.rint(y + sign * flow[..., 1]).astype(int)
                there = (u >= 0) & (u < 72) & (v >= 0) & (v < 48)
                target = view["frames"][1][there]
                found.append(abs(view["frames"][2][v[there], u[there]] - target).mean())
    assert np.mean(wrong) > 1.5 * np.mean(right)


def test_frames_after_the_target_have_a_scale_of_their_own():
    settings = {"min_relative_scale": 0.8, "max_relative_scale": 1.25, **PLAIN}
    views = drawn(16, one_camera(), size=(H, W), **settings)
    factors = []
    for frames, camera in zip(views["frames"], views["intrinsics"], strict=True):
        np.testing.assert_allclose(camera, K, atol=1e-5)
        for t in (0, 1):
            np.testing.assert_allclose(frames[t], ramps()[t], atol=1e-5)
        (where, inner), x = sources(frames[2]), np.arange(W) - (W - 1) / 2
        line = inner[H // 2]
        off = where[H // 2, :, 0] - (W - 1) / 2
        slopes = off[line][[0, -1]] / x[line][[0, -1]]
        np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-3)
        factors.append(1 / slopes[0])
    assert 0.8 <= min(factors) < 0.9
    assert 1.1 < max(factors) <= 1.25


@pytest.mark.parametrize(("num_frames", "gap"), [(2, 1), (2, 2), (1, 1)])
def test_shorter_films_begin_at_any_moment(num_frames, gap):
    views = drawn(60, one_camera(), num_frames=num_frames, gap=gap, **PLAIN)
    numbers = np.round(views["frames"][:, :, 2, 2, 2] * 10).astype(int)
    assert (np.diff(numbers, axis=1) == gap).all()
    places = T - (num_frames - 1) * gap
    counts = np.bincount(numbers[:, 0], minlength=places)
    assert len(counts) == places
    assert counts.min() > 60 / places / 2


def test_the_whole_film_is_around_the_target_and_the_same_for_every_key():
    views = drawn(2, one_camera(), "whole_film", num_frames=2, mean=(0.5,), std=(0.25,))
    np.testing.assert_array_equal(views["frames"][0], views["frames"][1])
    np.testing.assert_allclose(views["frames"][0], ramps()[1:], atol=1e-5)
    np.testing.assert_allclose(views["image"][0], (ramps()[1] - 0.5) / 0.25, atol=1e-4)
    np.testing.assert_array_equal(views["inputs"][:, 0], views["image"])
    both = drawn(1, two_cameras(), "whole_film", size=(12, 18))
    assert both["image"].shape == (1, 12, 18, 3)
    np.testing.assert_array_equal(both["image"], both["left_inputs"][:, 1])
    check_camera(both["right_frames"][0, 0], both["right_camera"][0],
                 two_cameras()["right_camera"], mirrored=False)  # fmt: skip


@pytest.mark.parametrize("name", ["film", "whole_film"])
def test_only_the_filled_part_of_a_canvas_is_seen(name):
    example = one_camera()
    frames = np.zeros((T, H + 6, W + 8, 3), np.float32)
    frames[:, :H, :W] = example["frames"]
    canvas = example | {"frames": frames, "size": np.int32([H, W])}
    settings = {"size": (12, 20)} | (PLAIN if name == "film" else {})
    found, expected = (drawn(1, e, name, **settings) for e in (canvas, example))
    for field, value in found.items():
        np.testing.assert_allclose(value, expected[field], atol=1e-5)


def test_fields_that_are_carried_are_in_the_new_pixels():
    source = synthetic_scenes(num_examples=1, size=(16, 24), stereo=True, num_frames=2)
    row = {name: value[0] for name, value in source[np.arange(1)].items()}
    carried = ("depth", "disparity", "flow", "occlusion", "poses")
    fn = VIEWS["whole_film"](source.fields, size=(8, 8), carried=carried)
    view = fn(jax.random.key(0), row)
    at = np.ix_(np.arange(1, 16, 2), np.arange(1, 24, 3))
    np.testing.assert_allclose(view["depth"], row["depth"][at])
    np.testing.assert_allclose(view["disparity"], row["disparity"][at] / 3, rtol=1e-5)
    np.testing.assert_allclose(view["flow"], row["flow"][at] / [3, 2, 1], rtol=1e-5)
    np.testing.assert_array_equal(view["occlusion"], row["occlusion"][at])
    np.testing.assert_array_equal(view["poses"], row["poses"])


def noisy(rng):
    frame = rng.uniform(0.2, 0.8, (1, H, W, 3)).astype(np.float32)
    return {"frames": np.repeat(frame, T, 0)}


@pytest.mark.parametrize(
    "colours",
    [
        {"jitter_probability": 1.0},
        {"strength": 0.0, "tones_probability": 1.0, "offset": 0.1, "noise": 0.05},
    ],
)
def test_colours_change_inputs_alone_and_may_be_shared(rng, colours):
    example = noisy(rng)
    frames = example["frames"]
    views = drawn(6, example, flip=0.0, **colours)
    np.testing.assert_allclose(views["frames"], np.stack([frames] * 6), atol=1e-5)
    np.testing.assert_allclose(views["inputs"][:, 0], views["inputs"][:, 2], atol=1e-5)
    change = abs(views["inputs"] - frames).max((1, 2, 3, 4))
    assert (change > 0.02).all()
    other = {"shared": False, "in_losses": True, "mean": (0.4,), "std": (0.5,)}
    own = drawn(6, example, flip=0.0, **other, **colours)
    assert (abs(own["frames"][:, 0] - own["frames"][:, 2]).max((1, 2, 3)) > 0.01).all()
    np.testing.assert_allclose(own["inputs"], (own["frames"] - 0.4) / 0.5, atol=1e-4)


def test_tones_are_those_of_the_papers(rng):
    image = rng.uniform(0, 1, (2, 4, 5, 3)).astype(np.float32)
    fixed = {"gamma": (2.0, 2.0), "gain": (1.5, 1.5), "colour": (0.9, 0.9)}
    fixed["probability"] = 1.0
    found = Tones(**fixed)(jax.random.key(0), image)
    np.testing.assert_allclose(found, np.clip(1.35 * image**2, 0, 1), atol=1e-5)
    found = Tones(**fixed, gamma_first=False)(jax.random.key(0), image)
    np.testing.assert_allclose(found, np.clip(1.35 * image, 0, 1) ** 0.5, atol=1e-5)
    still = {"gamma": (1.0, 1.0), "gain": (1.0, 1.0), "colour": (1.0, 1.0)}
    middle = np.full((1, 1, 3), 0.5, np.float32)
    keys = jax.random.split(jax.random.key(1), 400)
    for name, first in (("offset", True), ("noise", False)):
        step = Tones(**still, probability=1.0, gamma_first=first, **{name: 0.05})
        added = np.asarray(jax.jit(jax.vmap(step, (0, None)))(keys, middle)) - 0.5
        assert np.ptp(added, axis=-1).max() < 1e-6
        assert abs(added.mean()) < 0.01
        assert abs(added[:, 0, 0, 0].std() - 0.05) < 0.01
    step = Tones(gamma=(1.0, 1.0), gain=(0.5, 2.0), colour=(0.8, 1.2), probability=0.5)
    factors = np.asarray(jax.jit(jax.vmap(step, (0, None)))(keys, middle / 5)) * 10
    same = (factors == 1).all((1, 2, 3))
    assert 0.4 < same.mean() < 0.6
    assert 0.4 <= factors.min() < 0.6
    assert 2.0 < factors.max() <= 2.4
    between = np.ptp(factors[~same], axis=-1) / factors[~same].mean(-1)
    assert between.max() > 0.2


# Size, number of frames, the largest of scales, the mirror's probability, and what the
# losses see of changed colours.
PAPERS = {
    "sfmlearner": ((128, 416), 3, 1.15, 0.0, False),
    "monodepth": ((256, 512), 1, 1.0, 0.5, True),
    "monodepth2": ((192, 640), 3, 1.0, 0.5, False),
    "unflow": ((320, 1152), 2, 1.1, 0.5, False),
    "self_mono_sf": ((256, 832), 2, 1 / 0.93, 0.5, True),
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_views_have_their_numbers(name):
    settings = resolve(VIEWS[name], {})
    names = ("size", "num_frames", "max_scale", "flip", "in_losses")
    assert tuple(settings[each] for each in names) == PAPERS[name]
    stereo = name in ("monodepth", "self_mono_sf")
    small = {"size": (16, 24)}
    if settings["window"]:
        small["window"] = (20, 30)
    example = two_cameras() if stereo else one_camera()
    out = jax.eval_shape(VIEWS[name](**small), jax.random.key(0), example)
    for side in ("left_", "right_") if stereo else ("",):
        for field in ("frames", "inputs"):
            assert out[side + field].shape == (PAPERS[name][1], 16, 24, 3)
            assert out[side + field].dtype == jnp.float32


def test_films_that_cannot_be_seen_are_refused():
    key, grey = jax.random.key(0), {"frames": ramps()[..., :1]}
    view = VIEWS["film"]
    for fn, example, message in (
        (view(num_frames=4), one_camera(), "num_frames = 4 with gap = 1 do not fit"),
        (VIEWS["whole_film"](num_frames=2, gap=2), one_camera(), "their target, numb"),
        (view(), {"image": ramps()[0]}, r"'frames' \[T, H, W, C\].*\['image'\]"),
        (view(), grey, "1 channel.* strength=0"),
    ):
        with pytest.raises(ValueError, match=message):
            fn(key, example)
    jax.eval_shape(view(strength=0.0), key, grey)
    for settings in (
        {"gap": 0},
        {"size": (0, 4)},
        {"window": (4, 0)},
        {"cameras": "right"},
        {"interpolation": "x"},
        {"min_scale": 0.0},
        {"min_scale": 2.0},
        {"flip": 1.5},
        {"gain": (2.0, 1.0)},
        {"colour": (0.0, 1.0)},
        {"noise": -1.0},
        {"carried": ("depth",)},
        {"mean": (0.5,)},
    ):
        with pytest.raises(ValueError, match=next(iter(settings))):
            view(**settings)
    fields = synthetic_scenes(num_examples=1, size=(8, 8)).fields
    with pytest.raises(ValueError, match=r"carried = .* give 1 for both"):
        view(fields, carried=("depth",), max_relative_scale=1.1)
