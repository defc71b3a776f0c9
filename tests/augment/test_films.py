"""Frames as views: what is cut, when, and that both frames share all that is drawn."""

import jax
import numpy as np
import pytest

from jax_ssl.augment import VIEWS

H, W = 6, 8


def film(count=4, channels=3):
    """Frame t holds 100 t + 10 y + x / 10 levels, so that a view says what it shows."""
    y, x = np.mgrid[:H, :W]
    frames = [50 * t + 8 * y + x for t in range(count)]
    return {"frames": np.stack(frames)[..., None].repeat(channels, -1).astype(np.uint8)}


def drawn(count=600, example=None, **settings):
    fn = VIEWS["two_frames"](**settings)
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(jax.vmap(fn, (0, None)))(keys, example or film()))


def corners(views):
    """[n, 2, 3] of moment, top and left."""
    level = np.round(views[:, :, 0, 0, 0] * 255).astype(int)
    return np.stack([level // 50, level % 50 // 8, level % 50 % 8], -1)


@pytest.mark.parametrize("gap", [1, 2])
def test_both_frames_are_cut_alike_at_any_place_and_moment(gap):
    views = drawn(size=(4, 5), gap=gap)
    assert views.shape == (600, 2, 4, 5, 3)
    at = corners(views)
    np.testing.assert_array_equal(at[:, 1] - at[:, 0], np.tile([gap, 0, 0], (600, 1)))
    for axis, choices in enumerate((4 - gap, H - 4 + 1, W - 5 + 1)):
        counts = np.bincount(at[:, 0, axis], minlength=choices)
        assert len(counts) == choices
        assert counts.min() > 600 / choices / 2
    frames = film()["frames"] / 255
    for view, (t, top, left) in zip(views[:20], at[:20, 0], strict=True):
        cut = frames[[t, t + gap], top : top + 4, left : left + 5]
        np.testing.assert_allclose(view, cut, atol=1e-6)


def test_without_a_size_the_whole_frames_are_seen():
    example = film(2)
    views = drawn(3, example)
    np.testing.assert_allclose(views[0], example["frames"] / 255, atol=1e-6)
    np.testing.assert_array_equal(views[0], views[2])


def test_the_colour_jitter_is_shared(rng):
    frame = rng.integers(60, 200, (1, H, W, 3), np.uint8)
    still = {"frames": np.repeat(frame, 2, 0)}
    views = drawn(20, still, strength=1.0)
    np.testing.assert_allclose(views[:, 0], views[:, 1], atol=1e-6)
    plain = still["frames"][0] / 255
    assert (abs(views[:, 0] - plain).max((1, 2, 3)) > 0.01).all()
    assert views.min() >= 0
    assert views.max() <= 1


def test_cuts_stay_on_the_filled_part_of_a_canvas():
    example = film() | {"size": np.int32([5, 6])}
    at = corners(drawn(300, example, size=4))
    assert at[..., 1].max() == 1
    assert at[..., 2].max() == 2


def test_the_evaluation_sees_the_middle_of_the_first_frame():
    example = film(3)
    settings = {"mean": (0.5,), "std": (0.25,)}
    fn = jax.jit(VIEWS["first_frame"](size=(2, 4), **settings))
    out = fn(jax.random.key(0), example)
    expected = (example["frames"][0, 2:4, 2:6] / 255 - 0.5) / 0.25
    np.testing.assert_allclose(out, expected, atol=1e-6)
    whole = VIEWS["first_frame"]()(jax.random.key(1), example)
    np.testing.assert_allclose(whole, example["frames"][0] / 255, atol=1e-6)


def test_films_that_cannot_be_seen_are_refused():
    key = jax.random.key(0)
    for fn, example, message in (
        (VIEWS["two_frames"](gap=4), film(4), "gap = 4 does not fit 4 frames"),
        (VIEWS["first_frame"](), {"image": film()["frames"][0]}, r"have \['image'\]"),
        (VIEWS["two_frames"](size=7), film(), "size = 7 does not fit .* 6 x 8"),
        (VIEWS["first_frame"](size=(2, 9)), film(), r"size = \(2, 9\) does not fit"),
        (
            VIEWS["two_frames"](strength=1.0),
            film(channels=1),
            r"1 channel.* strength=0",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            fn(key, example)
    with pytest.raises(ValueError, match="gap = 0"):
        VIEWS["two_frames"](gap=0)
