"""Rendered scenes obey the laws of cameras, in float64 without our own operations."""

import itertools

import numpy as np
import pytest

from jax_ssl.augment.geometry import mirror
from jax_ssl.data.synthetic_scenes import synthetic_scenes
from tests.data.test_synthetic_frames import read

H, W = 32, 48


def scenes(count=3, **settings):
    source = synthetic_scenes(**{"num_examples": count, "size": (H, W), **settings})
    return source, source[np.arange(count)]


def grid():
    y, x = np.mgrid[:H, :W].astype(np.float64)
    return x, y


def four(motion):
    return np.concatenate([motion.astype(np.float64), [[0, 0, 0, 1]]])


def moved(depth, camera, motion):
    """[H, W, 2] pixels of a picture's points in another camera, and their depth."""
    x, y = grid()
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera).T
    points = depth.astype(np.float64)[..., None] * rays
    seen = (points @ motion[:3, :3].T + motion[:3, 3]) @ camera.T
    return seen[..., :2] / seen[..., 2:], seen[..., 2]


@pytest.mark.parametrize("num_frames", [2, 3, 4])
def test_flow_of_what_rests_is_that_of_depth_and_poses(num_frames):
    _, rows = scenes(num_frames=num_frames, moving_boxes=2)
    target, x, y = (num_frames - 1) // 2, *grid()
    for i, camera in enumerate(rows["intrinsics"].astype(np.float64)):
        now, after = (four(rows["poses"][i, target + t]) for t in (0, 1))
        pixels, _ = moved(rows["depth"][i], camera, np.linalg.inv(after) @ now)
        flow, rests = rows["flow"][i], rows["mask"][i] < 2
        wrong = flow[..., :2] - (pixels - np.stack([x, y], -1))
        assert abs(wrong[rests]).max() < 1e-3
        assert not rests.all()
        assert abs(wrong[~rests]).max() > 0.1
        assert (flow[..., 2] == 1).all()
        np.testing.assert_allclose(rows["poses"][i, 0], np.eye(4)[:3], atol=1e-6)


def test_disparity_and_the_next_one_are_those_of_depth():
    _, rows = scenes(stereo=True, baseline=0.3, num_frames=2)
    for i, left in enumerate(rows["left_camera"].astype(np.float64)):
        right, camera = rows["right_camera"][i].astype(np.float64), left[:, :3]
        np.testing.assert_allclose(right[:, :3], camera)
        shift = np.linalg.inv(camera) @ right[:, 3]
        np.testing.assert_allclose(shift, [-0.3, 0, 0], atol=1e-6)
        np.testing.assert_allclose(
            rows["disparity"][i], camera[0, 0] * 0.3 / rows["depth"][i], rtol=1e-5
        )
        after = np.linalg.inv(four(rows["poses"][i, 1]))
        _, depth = moved(rows["depth"][i], camera, after)
        np.testing.assert_allclose(
            rows["disparity_next"][i], camera[0, 0] * 0.3 / depth, rtol=1e-4
        )


def inside(x, y):
    return (x >= 0) & (x <= W - 1) & (y >= 0) & (y <= H - 1)


def errors(film, other, x, y, where):
    """Grey levels between a frame and another one that is read at (x, y)."""
    where = where & inside(x, y)
    found = read(other, x[where], y[where])
    return abs(found - film[where]).mean(-1)


@pytest.mark.parametrize("texture", ["photographs", "noise"])
def test_the_next_frame_warped_by_the_flow_is_the_target(texture):
    _, rows = scenes(6, moving_boxes=2, texture=texture)
    x, y = grid()
    right, wrong = [], []
    for film, flow, occluded in zip(
        rows["frames"], rows["flow"], rows["occlusion"], strict=True
    ):
        visible = occluded == 0
        u, v = flow[..., 0], flow[..., 1]
        right.append(errors(film[1], film[2], x + u, y + v, visible))
        wrong.append(errors(film[1], film[2], x - u, y - v, visible))
        assert 0.5 < visible.mean() < 1
    right, wrong = np.concatenate(right), np.concatenate(wrong)
    # Between pixels a frame is read bilinearly, and at edges it mixes two surfaces.
    assert np.median(right) < 3
    assert right.mean() < 6
    assert wrong.mean() > 3 * right.mean()


def test_the_true_depth_and_motion_explain_the_frames_best():
    _, rows = scenes(4, size=(H, W), min_translation=(-0.2, 0, 0.3))
    factors = (0.7, 0.85, 1.0, 1.2, 1.5)
    depth_errors, turn_errors = [], []
    for i, camera in enumerate(rows["intrinsics"].astype(np.float64)):
        now, after = (four(rows["poses"][i, t]) for t in (1, 2))
        motion, film = np.linalg.inv(after) @ now, rows["frames"][i]
        visible = rows["occlusion"][i] == 0

        def error(depth, motion, camera=camera, film=film, visible=visible):
            pixels, _ = moved(depth, camera, motion)
            return errors(film[1], film[2], *np.moveaxis(pixels, -1, 0), visible).mean()

        depth_errors.append([error(rows["depth"][i] * f, motion) for f in factors])
        turns = []
        for angle in np.radians([-2, -1, 0, 1, 2]):
            turn = np.eye(4)
            turn[0, [0, 2]] = np.cos(angle), np.sin(angle)
            turn[2, [0, 2]] = -np.sin(angle), np.cos(angle)
            turns.append(error(rows["depth"][i], turn @ motion))
        turn_errors.append(turns)
    for found in (depth_errors, turn_errors):
        mean = np.mean(found, axis=0)
        assert mean.argmin() == 2
        assert (np.diff(mean[:3]) < 0).all()
        assert (np.diff(mean[2:]) > 0).all()


def test_the_right_frame_warped_by_the_disparity_is_the_left():
    _, rows = scenes(6, stereo=True, num_frames=1)
    x, y = grid()
    right, wrong = [], []
    for i, disparity in enumerate(rows["disparity"].astype(np.float64)):
        left, other = rows["left_frames"][i, 0], rows["right_frames"][i, 0]
        # A point is hidden from the right camera by one of more disparity that falls
        # beside it.
        there = x - disparity
        nearer = disparity[:, None, :] > disparity[:, :, None] + 0.5
        beside = abs(there[:, None, :] - there[:, :, None]) < 1
        visible = ~(nearer & beside).any(-1)
        right.append(errors(left, other, there, y, visible))
        wrong.append(errors(left, other, x + disparity, y, visible))
    right, wrong = np.concatenate(right), np.concatenate(wrong)
    assert np.median(right) < 3
    assert right.mean() < 6
    assert wrong.mean() > 3 * right.mean()


def test_what_is_occluded_is_hidden_by_something_nearer():
    """Depth of the next frame at the flow's end, from a film that begins there."""
    _, rows = scenes(4, num_frames=2, snippets=4)
    x, y = grid()
    for now, after in itertools.pairwise(range(4)):
        flow, occluded = rows["flow"][now], rows["occlusion"][now].astype(bool)
        camera = rows["intrinsics"][now].astype(np.float64)
        motion = np.linalg.inv(four(rows["poses"][now, 1]))
        pixels, depth = moved(rows["depth"][now], camera, motion)
        there = inside(*np.moveaxis(pixels, -1, 0))
        column, line = np.rint(pixels[there]).astype(int).T
        seen = rows["depth"][after][line, column]
        ratio = seen / depth[there]
        # One pixel's depth differs by some percent from that half a pixel away.
        assert (ratio[~occluded[there]] > 0.8).mean() > 0.98
        assert (ratio[occluded[there]] < 0.98).mean() > 0.6
        outside = ~inside(x + flow[..., 0], y + flow[..., 1])
        far = (abs(pixels - [(W - 1) / 2, (H - 1) / 2]) > [W / 2, H / 2]).any(-1)
        assert (occluded[far]).all()
        assert outside.sum() >= far.sum() > 0


def test_snippets_of_a_film_go_on_where_the_one_before_was():
    _, rows = scenes(6, num_frames=3, snippets=3)
    np.testing.assert_array_equal(rows["sequence"], [0, 0, 0, 1, 1, 1])
    for i in (0, 1, 3, 4):
        np.testing.assert_array_equal(rows["frames"][i, 1:], rows["frames"][i + 1, :2])
        first, second = rows["poses"][i], rows["poses"][i + 1]
        composed = four(first[1]) @ four(second[1])
        np.testing.assert_allclose(composed[:3], first[2], atol=1e-5)
    assert (rows["frames"][2, 2] != rows["frames"][3, 0]).any()


def test_boxes_carried_by_the_camera_rest_in_the_picture():
    settings = {"moving_boxes": 3, "num_boxes": 3, "box_motion": "camera"}
    _, rows = scenes(4, **settings)
    box = rows["mask"] == 2
    assert box.sum() > 100
    assert abs(rows["flow"][box][:, :2]).max() < 1e-4
    assert abs(rows["flow"][~box][:, :2]).mean() > 0.3
    inner = box & np.roll(box, 1, 1) & np.roll(box, -1, 1)
    inner &= np.roll(box, 1, 2) & np.roll(box, -1, 2)
    change = abs(np.diff(rows["frames"].astype(int), axis=1)).max((1, 4))
    assert np.median(change[inner]) == 0


def test_a_camera_at_rest_sees_the_same_picture():
    still = {"min_translation": (0, 0, 0), "max_translation": (0, 0, 0)}
    _, rows = scenes(**still, max_rotation=(0, 0, 0))
    np.testing.assert_array_equal(rows["frames"][:, 0], rows["frames"][:, 2])
    assert abs(rows["flow"][..., :2]).max() < 1e-4
    assert not rows["occlusion"].any()


def test_motions_stay_in_their_ranges():
    low, high = (-0.1, 0.05, 0.2), (0.2, 0.05, 0.3)
    settings = {"min_translation": low, "max_translation": high}
    _, rows = scenes(20, size=(8, 8), num_frames=4, **settings)
    steps = [
        np.linalg.inv(four(a)) @ four(b)
        for poses in rows["poses"]
        for a, b in itertools.pairwise(poses)
    ]
    places = np.array(steps)[:, :3, 3]
    assert (places >= np.array(low) - 1e-5).all()
    assert (places <= np.array(high) + 1e-5).all()
    assert (np.ptp(places, axis=0)[[0, 2]] > [0.2, 0.07]).all()
    cosines = (np.trace(np.array(steps)[:, :3, :3], axis1=1, axis2=2) - 1) / 2
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    assert 0.3 < angles.max() < np.sqrt(0.5**2 + 1 + 0.5**2)


def test_the_mirror_image_obeys_the_same_laws():
    source, rows = scenes(1)
    names = [name for name in rows if name not in ("index", "sequence")]
    example = {name: rows[name][0] for name in names}
    fields = {name: source.fields[name] for name in names}
    turned = {name: np.asarray(x) for name, x in mirror(example, fields).items()}
    camera = turned["intrinsics"].astype(np.float64)
    now, after = (four(turned["poses"][t]) for t in (1, 2))
    pixels, _ = moved(turned["depth"], camera, np.linalg.inv(after) @ now)
    flow = pixels - np.stack(grid(), -1)
    np.testing.assert_allclose(turned["flow"][..., :2], flow, atol=1e-3)


def test_a_row_depends_on_its_number_seed_and_split_alone():
    settings = {"size": (16, 24), "stereo": True, "moving_boxes": 1}
    _, many = scenes(6, **settings)
    source, few = scenes(2, **settings)
    for name, values in few.items():
        np.testing.assert_array_equal(values, many[name][:2])
    one = source.keep(["left_frames"])[np.array([1])]
    np.testing.assert_array_equal(one["left_frames"][0], many["left_frames"][1])
    assert set(one) == {"left_frames", "index"}
    assert len(np.unique(many["left_frames"].reshape(6, -1), axis=0)) == 6
    for other in ({"seed": 1}, {"split": "test"}, {"texture": "noise"}):
        changed = scenes(1, **settings, **other)[1]["left_frames"]
        assert (changed[0] != many["left_frames"][0]).any()


def test_fields_are_described():
    source, rows = scenes(1, stereo=True, channels=1)
    shapes = {name: (f.kind, f.shape) for name, f in source.fields.items()}
    film, plane = ("frames", (3, H, W, 1)), (H, W)
    assert shapes == {
        "left_frames": film,
        "right_frames": film,
        "left_camera": ("matrix", (3, 4)),
        "right_camera": ("matrix", (3, 4)),
        "depth": ("depth", plane),
        "disparity": ("disparity", plane),
        "disparity_next": ("disparity", plane),
        "flow": ("flow", (*plane, 3)),
        "occlusion": ("mask", plane),
        "mask": ("mask", plane),
        "poses": ("poses", (3, 3, 4)),
        "sequence": ("label", ()),
        "index": ("index", ()),
    }
    for name, values in rows.items():
        assert values.shape[1:] == source.fields[name].shape
        assert values.dtype == source.fields[name].dtype
    assert source[np.arange(0)]["left_frames"].shape == (0, 3, H, W, 1)
    alone = scenes(1, num_frames=1)[0].fields
    assert {"frames", "intrinsics", "depth"} <= set(alone)
    assert not {"flow", "occlusion", "disparity"} & set(alone)


def test_wrong_settings_are_refused():
    for settings in (
        {"num_frames": 0},
        {"size": (4, 8)},
        {"moving_boxes": 5},
        {"box_motion": "x"},
        {"texture": "x"},
        {"channels": 2},
        {"split": "x"},
        {"min_translation": (0.2, 0, 0)},
        {"max_rotation": (30.0, 0, 0)},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} = "):
            synthetic_scenes(**settings)
