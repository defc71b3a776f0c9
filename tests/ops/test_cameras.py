"""Cameras and motions, against float64, matrix exponentials and exact films."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.data.synthetic_frames import synthetic_frames
from jax_ssl.ops import cameras, warp
from tests.references import geometry as reference
from tests.references import views

B, H, W = 3, 5, 7
CAMERA = np.float32([[9, 0.4, 3.2], [0, 8, 1.9], [0, 0, 1]])
STILL = np.eye(3, 4, dtype=np.float32)


@pytest.fixture
def scene(rng):
    """Depths [B, H, W], cameras [B, 3, 3] and small motions [B, 3, 4]."""
    depth = rng.uniform(2, 6, (B, H, W)).astype(np.float32)
    scale = rng.uniform(0.8, 1.2, (B, 2, 1)).astype(np.float32)
    intrinsics = np.concatenate(
        [CAMERA[:2] * scale, CAMERA[2:].repeat(B, 0)[:, None]], 1
    )
    return depth, intrinsics, motions(rng)


def motions(rng, spread=0.2):
    twists = rng.normal(0, spread, (B, 6))
    return np.float32([reference.se3_exp(twist) for twist in twists])


project = jax.jit(cameras.project)
backproject = jax.jit(cameras.backproject)
se3_exp = jax.jit(cameras.se3_exp)
rigid_flow = jax.jit(cameras.rigid_flow)
euler_motion = jax.jit(cameras.euler_motion)
compose = jax.jit(cameras.compose)
inverse = jax.jit(cameras.inverse)
resized_intrinsics = jax.jit(cameras.resized_intrinsics)
slope_of_exp = jax.jit(jax.jacrev(cameras.se3_exp))


def test_points_and_pixels_are_the_references(scene):
    depth, intrinsics, motion = scene
    points = backproject(depth, intrinsics)
    seen = project(points, intrinsics, motion)
    flow = rigid_flow(depth, intrinsics, motion)
    for b in range(B):
        judge = reference.backproject(depth[b], intrinsics[b])
        np.testing.assert_allclose(points[b], judge, rtol=1e-5, atol=1e-6)
        pixels = reference.project(judge, intrinsics[b], motion[b])
        np.testing.assert_allclose(seen.pixels[b], pixels, atol=1e-5)
        far = (judge @ motion[b, :, :3].T + motion[b, :, 3])[..., 2]
        np.testing.assert_allclose(seen.depth[b], far, atol=1e-5)
        np.testing.assert_allclose(flow[b], pixels - reference.grid(H, W), atol=1e-5)


def test_every_example_has_its_own_camera(scene):
    """A batch gives what its examples give alone."""
    flow = rigid_flow(*scene)
    alone = [rigid_flow(*(x[b] for x in scene)) for b in range(B)]
    np.testing.assert_allclose(flow, alone, atol=1e-5)


def test_project_undoes_backproject(scene):
    depth, intrinsics, _ = scene
    for motion in (None, STILL):
        seen = project(backproject(depth, intrinsics), intrinsics, motion)
        grid = np.broadcast_to(reference.grid(H, W), (B, H, W, 2))
        np.testing.assert_allclose(seen.pixels, grid, atol=2e-6)
        np.testing.assert_array_equal(seen.depth, depth)


def test_what_is_behind_the_camera_has_finite_pixels_and_gradients():
    points = jnp.array([[[0.1, 0.2, z] for z in (-3.0, -1e-6, 0.0, 1e-6, 2.0)]])

    def total(points):
        return jnp.sin(cameras.project(points, CAMERA).pixels).sum()

    seen = project(points, CAMERA, None)
    assert np.isfinite(seen.pixels).all()
    assert np.isfinite(jax.jit(jax.grad(total))(points)).all()
    assert (np.asarray(seen.depth[0]) > 0).tolist() == [False] * 3 + [True] * 2


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-3, 0.3, 0.499, 0.501, 2.0, 3.1, 7.0])
def test_the_exponential_is_that_of_matrices(rng, angle):
    twists = rng.normal(size=(B, 6))
    twists[:, 3:] *= angle / np.linalg.norm(twists[:, 3:], axis=1, keepdims=True)
    got = se3_exp(np.float32(twists))
    judge = [reference.se3_exp(twist) for twist in np.float32(twists).astype(float)]
    np.testing.assert_allclose(got, judge, atol=3e-6)
    rotation = np.float64(got)[:, :, :3]
    np.testing.assert_allclose(
        rotation @ rotation.swapaxes(1, 2), np.eye(3)[None].repeat(B, 0), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-6)
    round_trip = compose(got, se3_exp(-np.float32(twists)))
    np.testing.assert_allclose(round_trip, np.stack([STILL] * B), atol=2e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-4, 0.4999, 0.7])
def test_gradients_of_the_exponential_are_right_at_every_angle(angle):
    twist = np.array([0.4, -0.2, 0.7, *(angle * np.array([2, -1, 2]) / 3)])
    got = slope_of_exp(jnp.float32(twist))
    steps = 1e-5 * np.eye(6)
    judge = [
        (reference.se3_exp(twist + s) - reference.se3_exp(twist - s)) / 2e-5
        for s in steps
    ]
    np.testing.assert_allclose(got, np.moveaxis(judge, 0, -1), atol=5e-6)


def test_euler_angles_turn_about_z_first(rng):
    vector = rng.normal(size=(B, 6))
    got = euler_motion(np.float32(vector))
    judge = [reference.euler_motion(v) for v in vector]
    np.testing.assert_allclose(got, judge, atol=1e-6)
    at_zero = jax.jit(jax.jacrev(cameras.euler_motion))(jnp.zeros(6))
    assert np.isfinite(at_zero).all()
    # One axis alone is its rotation by the exponential map.
    alone = np.float32(0.4 * np.eye(6)[3:])
    np.testing.assert_allclose(euler_motion(alone), se3_exp(alone), atol=1e-6)


def test_motions_are_composed_and_inverted_as_matrices(rng):
    a, b = motions(rng, 1.0), motions(rng, 1.0)
    together = compose(a, b)
    back = inverse(a)
    for i in range(B):
        one, other = reference.homogeneous(a[i]), reference.homogeneous(b[i])
        np.testing.assert_allclose(together[i], (one @ other)[:3], atol=2e-6)
        np.testing.assert_allclose(back[i], np.linalg.inv(one)[:3], atol=2e-6)
    # A motion for all of a batch.
    shared = compose(a[:1], b)
    np.testing.assert_allclose(shared[0], together[0], atol=1e-6)


def test_a_plane_that_faces_the_camera_moves_by_f_t_over_z():
    motion = np.float32([[1, 0, 0, 0.6], [0, 1, 0, -0.3], [0, 0, 1, 0]])
    flow = rigid_flow(np.full((H, W), 4, np.float32), CAMERA, motion)
    expected = [(9 * 0.6 - 0.4 * 0.3) / 4, 8 * -0.3 / 4]
    np.testing.assert_allclose(flow, np.broadcast_to(expected, (H, W, 2)), atol=2e-6)


def test_a_move_forwards_leads_away_from_the_principal_point(rng):
    depth = rng.uniform(2, 6, (H, W)).astype(np.float32)
    motion = STILL + np.float32([[0] * 4, [0] * 4, [0, 0, 0, -0.5]])
    flow = rigid_flow(depth, CAMERA, motion)
    from_center = reference.grid(H, W) - CAMERA[:2, 2]
    expected = from_center * (0.5 / (depth - 0.5))[..., None]
    np.testing.assert_allclose(flow, expected, atol=1e-5)


def test_a_rotation_alone_says_nothing_about_depth(rng):
    turn = np.concatenate([np.zeros(3), rng.normal(0, 0.1, 3)]).astype(np.float32)
    motion = se3_exp(turn)
    depth = rng.uniform(2, 6, (H, W)).astype(np.float32)
    flow = rigid_flow(depth, CAMERA, motion)
    other = rigid_flow(3 * depth + 1, CAMERA, motion)
    np.testing.assert_allclose(flow, other, atol=5e-6)

    def total(depth):
        return cameras.rigid_flow(depth, CAMERA, motion).sum()

    np.testing.assert_allclose(jax.jit(jax.grad(total))(depth), 0, atol=5e-6)


def test_depth_and_translation_share_one_scale(scene):
    depth, intrinsics, motion = scene
    larger = motion * np.float32([1, 1, 1, 5])
    flow = rigid_flow(depth, intrinsics, motion)
    np.testing.assert_allclose(
        rigid_flow(5 * depth, intrinsics, larger), flow, atol=1e-5
    )


@pytest.mark.parametrize("planes", [1, 2])
def test_the_flow_of_exact_films_is_that_of_depth_and_pose(planes):
    move = (0.3, 0.1, 0.2)
    source = synthetic_frames(num_examples=4, planes=planes, translation=move)
    film = source[np.arange(4)]
    motion = STILL - np.pad(np.float32(move)[:, None], ((0, 0), (3, 0)))
    flow = rigid_flow(film["depth"], film["intrinsics"], motion)
    known = film["flow"][..., 2] == 1
    assert known.mean() > 0.5
    error = np.abs(flow - film["flow"][..., :2])[known]
    assert error.max() < 1e-4, error.max()
    other_way = rigid_flow(film["depth"], film["intrinsics"], inverse(motion))
    assert np.abs(other_way - film["flow"][..., :2])[known].mean() > 1


def test_intrinsics_follow_a_resized_picture(rng):
    """The point seen in the middle of four pixels is seen at the one made of them."""
    half = resized_intrinsics(CAMERA, 0.5, 0.5)
    points = rng.uniform([-1, -1, 2], [1, 1, 5], (1, 20, 3)).astype(np.float32)
    before = np.float64(project(points, CAMERA, None).pixels)
    after = project(points, half, None).pixels
    # The middle of pixels 0 and 1 is 1/2, and they become pixel 0.
    np.testing.assert_allclose(after, (before - 0.5) / 2, atol=1e-5)
    batch = np.stack([CAMERA] * B)
    uneven = resized_intrinsics(batch, np.float32([1, 2, 3]), 0.25)
    np.testing.assert_allclose(uneven[0, 0], CAMERA[0], atol=1e-6)
    np.testing.assert_allclose(uneven[1, 0], [18, 0.8, 2 * 3.7 - 0.5], atol=1e-5)
    np.testing.assert_allclose(uneven[2, 1], [0, 2, 2.4 / 4 - 0.5], atol=1e-6)


def test_two_cameras_know_their_baseline_and_focal_length(scene):
    depth, intrinsics, _ = scene
    baseline = np.float32([0.1, 0.54, 2.0])
    beside = np.zeros((B, 3, 1), np.float32)
    left = np.concatenate([intrinsics, beside], 2)
    beside[:, 0, 0] = -baseline
    right = np.concatenate([intrinsics, intrinsics @ beside], 2)
    np.testing.assert_allclose(cameras.baseline_of(left, right), baseline, rtol=1e-5)
    np.testing.assert_array_equal(cameras.intrinsics_of(right), intrinsics)
    # In a mirror they change places, and the distance stays.
    flip = np.diag(np.float32([-1, 1, 1, 1]))
    turn = np.float32([[-1, 0, W - 1], [0, 1, 0], [0, 0, 1]])
    mirrored = [turn @ camera @ flip for camera in (right, left)]
    np.testing.assert_allclose(cameras.baseline_of(*mirrored), baseline, rtol=1e-5)
    # And the point a pixel shows is seen as much further left by the right camera.
    focal = intrinsics[:, 0, 0]
    disparity = cameras.disparity_of_depth(depth, focal, baseline)
    motion = np.concatenate([np.eye(3)[None].repeat(B, 0), beside], 2)
    flow = rigid_flow(depth, intrinsics, np.float32(motion))
    np.testing.assert_allclose(flow[..., 0], -disparity, rtol=1e-4, atol=1e-5)
    back = cameras.depth_of_disparity(disparity, focal, baseline)
    np.testing.assert_allclose(back, depth, rtol=1e-5)


def test_an_unknown_disparity_is_an_unknown_depth():
    disparity = jnp.array([[0.0, -1.0, 2.0]])
    depth = cameras.depth_of_disparity(disparity, 10.0, 0.5)
    assert np.asarray(depth).tolist() == [[0, 0, 2.5]]
    gradient = jax.jit(
        jax.grad(lambda d: cameras.depth_of_disparity(d, 10.0, 0.5).sum())
    )
    np.testing.assert_allclose(gradient(disparity), [[0, 0, -10 * 0.5 / 4]])


def test_depth_and_pose_learn_through_the_weights_of_a_warp(rng, scene):
    """The gradient of a warped picture is that of the whole chain in float64."""
    depth, intrinsics, _ = (x[0] for x in scene)
    image = rng.random((H, W, 2)).astype(np.float32)
    twist = np.float32([0.21, -0.13, 0.17, 0.05, -0.03, 0.04])
    weight = rng.normal(size=(H, W, 2)).astype(np.float32)

    @jax.jit
    def ours(depth, twist):
        points = cameras.backproject(depth, intrinsics)
        seen = cameras.project(points, intrinsics, cameras.se3_exp(twist))
        return (weight * warp.warp(image, seen.pixels, "edge").values).sum()

    def judge(depth, twist):
        points = reference.backproject(depth, intrinsics)
        pixels = reference.project(points, intrinsics, reference.se3_exp(twist))
        return (weight * views.bilinear_sample(image, pixels, "edge")).sum()

    exact = np.float64(depth), np.float64(twist)
    np.testing.assert_allclose(ours(depth, twist), judge(*exact), atol=2e-5)
    to_depth, to_twist = jax.grad(ours, (0, 1))(depth, twist)
    for k in range(6):
        step = 1e-6 * np.eye(6)[k]
        slope = judge(exact[0], exact[1] + step) - judge(exact[0], exact[1] - step)
        np.testing.assert_allclose(to_twist[k], slope / 2e-6, rtol=1e-3, atol=1e-3)
    for place in ((0, 0), (2, 3), (4, 6), (3, 1)):
        step = np.zeros((H, W))
        step[place] = 1e-6
        slope = judge(exact[0] + step, exact[1]) - judge(exact[0] - step, exact[1])
        np.testing.assert_allclose(to_depth[place], slope / 2e-6, rtol=1e-3, atol=1e-4)
