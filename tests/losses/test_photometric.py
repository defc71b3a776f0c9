"""Errors of pictures and what hides them, against float64 loops and exact films."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.data.synthetic_frames import synthetic_frames
from jax_ssl.losses import photometric
from jax_ssl.ops import cameras, warp
from tests.references import geometry as reference

H, W = 6, 8
ssim_distance = jax.jit(photometric.ssim_distance, static_argnames="padding")
photometric_error = jax.jit(photometric.photometric_error, static_argnames="padding")
census_distance = jax.jit(photometric.census_distance, static_argnums=2)
forward_backward = jax.jit(photometric.forward_backward_occlusion)
left_right_error = jax.jit(photometric.left_right_error, static_argnums=2)
minimum = jax.jit(photometric.minimum_reprojection)
masked_mean = jax.jit(photometric.masked_mean, static_argnames="by")
outgoing_mask = jax.jit(photometric.outgoing_mask)
splat_visibility = jax.jit(photometric.splat_visibility)


@jax.jit
def warped_by_disparity(image, disparity):
    return warp.warp(image, warp.stereo_pixels(disparity), "edge").values


def pictures(rng, spread=1.0):
    """Two pictures [1, H, W, 3]; with a small spread they are bright and flat."""
    pair = 1 - spread * rng.random((2, 1, H, W, 3))
    return pair.astype(np.float32)


@pytest.mark.parametrize("spread", [1.0, 0.02])
def test_ssim_is_the_reference(rng, spread):
    a, b = pictures(rng, spread)
    judge = reference.ssim_distance(a[0], b[0])
    assert judge.max() > 0.05
    np.testing.assert_allclose(ssim_distance(a, b)[0], judge, atol=1e-5)
    inner = ssim_distance(a, b, padding="valid")[0]
    np.testing.assert_allclose(inner, judge[1:-1, 1:-1], atol=1e-5)
    zero = ssim_distance(a, b, padding="zero")[0]
    np.testing.assert_allclose(zero, np.pad(inner, ((1, 1), (1, 1), (0, 0))))


def test_ssim_of_a_picture_with_itself_is_0(rng):
    a, b = pictures(rng)
    assert not np.any(ssim_distance(a, a))
    np.testing.assert_allclose(ssim_distance(a, b), ssim_distance(b, a), atol=1e-6)
    # Constant pictures differ by their means alone.
    flat = [np.full((1, H, W, 3), x, np.float32) for x in (0.2, 0.7)]
    judge = (1 - (2 * 0.14 + 1e-4) / (0.04 + 0.49 + 1e-4)) / 2
    np.testing.assert_allclose(ssim_distance(*flat), judge, rtol=1e-5)


def test_photometric_error_is_the_weighted_sum(rng):
    a, b = pictures(rng)
    ssim = reference.ssim_distance(a[0], b[0])
    difference = np.abs(np.float64(a[0]) - b[0])
    judge = (0.85 * ssim + 0.15 * difference).mean(-1)
    np.testing.assert_allclose(photometric_error(a, b)[0], judge, atol=1e-5)
    inner = photometric_error(a, b, padding="valid")[0]
    np.testing.assert_allclose(inner, judge[1:-1, 1:-1], atol=1e-5)
    alone = photometric_error(a, b, ssim_weight=0.0)[0]
    np.testing.assert_allclose(alone, difference.mean(-1), atol=1e-6)
    gradient = jax.jit(jax.grad(lambda a: photometric.photometric_error(a, a).sum()))
    assert np.isfinite(gradient(a)).all()


def test_an_unknown_border_is_refused():
    with pytest.raises(ValueError, match="'wrap'"):
        photometric.ssim_distance(jnp.zeros((4, 4, 1)), jnp.zeros((4, 4, 1)), "wrap")


def test_charbonnier_and_its_gradient():
    x = np.float32([-3, -1e-3, 0, 2e-3, 5])
    judge = (np.float64(x) ** 2 + 1e-6) ** 0.45
    np.testing.assert_allclose(photometric.charbonnier(x), judge, rtol=1e-5)
    slope = jax.vmap(jax.grad(photometric.charbonnier))(x)
    judge = 0.9 * np.float64(x) * (np.float64(x) ** 2 + 1e-6) ** -0.55
    np.testing.assert_allclose(slope, judge, rtol=1e-5)


@pytest.mark.parametrize("radius", [1, 2])
def test_census_is_the_reference(rng, radius):
    a, b = pictures(rng, 0.05)
    judge = reference.census_distance(a[0], b[0], radius)
    got = census_distance(a, b, radius)[0]
    np.testing.assert_allclose(got, judge, rtol=1e-4, atol=1e-4)
    mask = photometric.border_mask(H, W, radius)
    assert np.asarray(mask).sum() == (H - 2 * radius) * (W - 2 * radius)
    assert mask[radius, radius]


def test_census_sees_no_brightness(rng):
    a, b = pictures(rng, 0.5)
    np.testing.assert_allclose(census_distance(a, a, 1), 0, atol=1e-10)
    inner = np.asarray(photometric.border_mask(H, W, 1))
    brighter = census_distance(a, b + np.float32(0.25), 1)[0][inner]
    np.testing.assert_allclose(brighter, census_distance(a, b, 1)[0][inner], atol=2e-3)
    # A gain moves it little where differences are many grey levels.
    gain = np.asarray(census_distance(a, np.float32(0.9) * a, 1))[0][inner]
    assert gain.mean() < 0.1 * np.asarray(census_distance(a, b, 1))[0][inner].mean()
    gradient = jax.jit(
        jax.grad(lambda a: photometric.census_distance(a, b, 1)[..., inner].sum())
    )(a)
    # The direction of brightness has no slope; another has that of differences.
    assert abs(gradient.sum()) < 1e-3 * np.abs(gradient).sum()
    v = rng.normal(size=a.shape)
    ends = [
        reference.census_distance(np.float64(a[0]) + s * v[0], b[0], 1)[inner].sum()
        for s in (1e-6, -1e-6)
    ]
    np.testing.assert_allclose(
        (gradient * v).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-3
    )


def test_masked_means_are_by_count_or_by_area():
    x = np.float32([[[1.0, np.inf], [3.0, 5.0]], [[np.nan] * 2] * 2])
    mask = np.array([[[1, 0], [1, 0]], [[0, 0], [0, 0]]])
    assert masked_mean(x, mask).tolist() == [2, 0]
    assert masked_mean(x, mask, by="area").tolist() == [1, 0]
    soft = np.float32([[[1, 0], [0.5, 0.5]]] * 2)
    np.testing.assert_allclose(masked_mean(x, soft)[0], (1 + 1.5 + 2.5) / 2)
    assert masked_mean(x[..., :1]).tolist()[0] == 2
    gradient = jax.jit(jax.grad(lambda x: masked_mean(x, mask).sum()))(x)
    assert gradient.tolist() == [[[0.5, 0], [0.5, 0]], [[0, 0], [0, 0]]]
    with pytest.raises(ValueError, match="'pixels'"):
        photometric.masked_mean(x, by="pixels")


def test_minimum_reprojection_takes_the_best_source(rng):
    warped, still = rng.random((2, 2, 3, H, W)).astype(np.float32)
    out = minimum(warped, still)
    both = np.concatenate([warped, still], 1)
    np.testing.assert_array_equal(out.error, both.min(1))
    np.testing.assert_array_equal(out.moving, warped.min(1) < still.min(1))
    assert 0.2 < np.asarray(out.moving).mean() < 0.8
    alone = minimum(warped)
    np.testing.assert_array_equal(alone.error, warped.min(1))
    assert alone.moving.all()
    gradient = jax.jit(
        jax.grad(lambda x: photometric.minimum_reprojection(x, still).error.sum())
    )(warped)
    chosen = (warped == both.min(1, keepdims=True)).astype(np.float32)
    np.testing.assert_array_equal(gradient, chosen)


def test_where_nothing_moves_noise_breaks_the_tie():
    same = np.full((1, 2, 60, 60), 0.25, np.float32)
    assert not minimum(same, same).moving.any()
    out = minimum(same, same, jax.random.key(0))
    # The least of two draws is above 0 once in four times: 900 of 3600, within 4 sigma.
    assert abs(np.asarray(out.moving).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 3600)
    np.testing.assert_allclose(out.error, 0.25, atol=1e-4)


def test_explainability_is_pulled_towards_1():
    logits = jnp.array([[[0.0, 0.0], [-9.0, 9.0], [3.0, 1.0]]])
    p = photometric.explainability(logits)
    np.testing.assert_allclose(p, [[0.5, 1, 1 / (1 + np.exp(2))]], atol=1e-6)
    penalty = photometric.explainability_penalty(logits)
    np.testing.assert_allclose(penalty, -np.log(p), atol=1e-6)


def test_constant_disparities_agree_and_warp_one_picture_onto_the_other(rng):
    right = rng.random((1, H, W, 3)).astype(np.float32)
    left = np.roll(right, 3, axis=2)
    d = np.full((1, H, W), 3, np.float32)
    error = np.asarray(photometric_error(warped_by_disparity(right, d), left))
    assert not error[:, :, 4:].any()
    for side in ("left", "right"):
        assert not left_right_error(d, d, side).any()
        np.testing.assert_allclose(left_right_error(d, d + 2, side), 2)


def test_disparities_of_two_cameras_are_compared_at_one_point(rng):
    other = rng.uniform(0, 4, (1, H, W)).astype(np.float32)
    d = np.full((1, H, W), 2, np.float32)
    at = np.arange(W)
    for side, place in (("left", at - 2), ("right", at + 2)):
        judge = np.abs(2 - other[:, :, np.clip(place, 0, W - 1)])
        np.testing.assert_allclose(left_right_error(d, other, side), judge, atol=1e-6)
    mirrored = left_right_error(d, other[..., ::-1], "right")[..., ::-1]
    np.testing.assert_allclose(mirrored, left_right_error(d, other, "left"), atol=1e-6)


def constant(u, v):
    return np.broadcast_to(np.float32([u, v]), (1, H, W, 2))


def test_a_flow_and_its_way_back_hide_nothing():
    trip = forward_backward(constant(3, 1), constant(-3, -1))
    assert not trip.difference.any()
    assert not trip.occluded.any()
    # |w + w'|² = d² against 0.01 (9 + (3 - d)²) + 0.5: d = 0.77 is near enough.
    for d, hidden in ((0.76, False), (0.81, True)):
        assert (
            forward_backward(constant(3, 0), constant(d - 3, 0)).occluded == hidden
        ).all()
    assert forward_backward(constant(3, 0), constant(0, 0)).occluded.all()
    # The way back is read where the flow leads to.
    back = np.zeros((1, H, W, 2), np.float32)
    back[:, :, 5] = [-2, 0]
    trip = forward_backward(constant(2, 0), back)
    assert not trip.difference[:, :, 3].any()
    assert trip.occluded[0, 0].tolist() == [True] * 3 + [False] + [True] * 4


def test_outgoing_flows_are_masked():
    flow = np.zeros((3, 3, 2), np.float32)
    flow[..., 0] = [[3, 2, 1], [2, 1, 0], [0, -2, -1]]
    expected = [[0, 0, 0], [1, 1, 1], [1, 0, 1]]
    assert outgoing_mask(flow).astype(int).tolist() == expected
    flow[..., 0] = [[0, 0, 1], [-1, 3, 0], [0, 1, 0]]
    flow[..., 1] = [[-1, 0, 0], [0, 0, 0], [1, -1, 0]]
    expected = [[0, 1, 0], [0, 0, 1], [0, 1, 1]]
    assert outgoing_mask(flow).astype(int).tolist() == expected


def test_pixels_are_visible_where_something_arrives():
    visible = splat_visibility(constant(2, 0), 0.5)
    assert visible[0, 0].tolist() == [False] * 2 + [True] * (W - 2)
    # Less than a half are all, unless a smaller part will do.
    assert splat_visibility(constant(5, 0), 0.5).all()
    assert (
        splat_visibility(constant(5, 0), 0.3)[0, 0].tolist() == [False] * 5 + [True] * 3
    )


@pytest.fixture(scope="module")
def film():
    move = np.float32([0.3, 0.1, 0.2])
    source = synthetic_frames(num_examples=8, translation=tuple(map(float, move)))
    rows = source[np.arange(8)]
    twist = np.broadcast_to(np.concatenate([-move, np.zeros(3)]), (8, 6))
    rows["twist"] = twist.astype(np.float32)
    rows["frames"] = (rows["frames"] / 255).astype(np.float32)
    return rows


@jax.jit
def film_errors(film, depth, twist, flow):
    """How badly the second frame of each film explains the first, by both ways [N]."""
    target, source = film["frames"][:, 0], film["frames"][:, 1]
    known = film["flow"][..., 2]
    points = cameras.backproject(depth, film["intrinsics"])
    motion = cameras.se3_exp(twist)
    seen = cameras.project(points, film["intrinsics"], motion).pixels

    def error(pixels):
        warped = warp.warp(source, pixels, "edge").values
        census = photometric.charbonnier(photometric.census_distance(target, warped, 1))
        errors = photometric.photometric_error(target, warped), census
        return [photometric.masked_mean(e, known) for e in errors]

    return [*error(seen), *error(warp.flow_pixels(flow))]


def test_the_true_geometry_explains_a_film_best(film, rng):
    depth, twist, flow = film["depth"], film["twist"], film["flow"][..., :2]
    truth = np.asarray(film_errors(film, depth, twist, flow))
    assert truth[[0, 2]].max() < 0.03
    pushes = [
        np.float32(sign * size * axis)
        for sign in (1, -1)
        for size, axis in zip([0.1] * 3 + [0.04] * 3, np.eye(6), strict=True)
    ]
    for push in pushes:
        assert (
            np.asarray(film_errors(film, depth, twist + push, flow))[:2] > truth[:2]
        ).all()
    for factor in (0.7, 0.85, 1.2, 1.4):
        worse = np.asarray(film_errors(film, factor * depth, twist, flow))
        assert (worse[:2] > truth[:2]).all(), factor
    for shift in ([0.6, 0], [-0.6, 0], [0, 0.6], [0, -0.6]):
        worse = np.asarray(film_errors(film, depth, twist, flow + np.float32(shift)))
        assert (worse[2:] > truth[2:]).all(), shift
    noise = rng.normal(0, 0.5, flow.shape).astype(np.float32)
    worse = np.asarray(film_errors(film, depth, twist, flow + noise))
    assert (worse[2:] > truth[2:]).all()
