"""Windows of waves: where they lie, what moves, how loud they are, what is added."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, uniform

from jax_ssl.augment import VIEWS
from jax_ssl.augment.audio import Gain, TimeShift, WhiteNoise
from jax_ssl.parallel.rows import map_examples
from tests.laws import has_probability, is_spread_evenly

T, SAMPLES = 40, 10
RAMP = {"wave": np.linspace(0.1, 0.5, T).astype(np.float32)}  # Sample i is found by it.


def drawn(count=2000, **settings):
    fn = VIEWS["two_windows"](samples=SAMPLES, **settings)
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(jax.vmap(fn, (0, None)))(keys, RAMP), np.float64)


def test_windows_are_pieces_of_the_wave_at_any_place():
    views = drawn(gain=0.0, noise=0.0)
    assert views.shape == (2000, 2, SAMPLES)
    first = np.round((views[..., 0] - 0.1) / 0.4 * (T - 1)).astype(int)
    pieces = np.stack([RAMP["wave"][i : i + SAMPLES] for i in range(T - SAMPLES + 1)])
    np.testing.assert_allclose(views, pieces[first], atol=1e-6)
    counts = np.bincount(first.ravel(), minlength=len(pieces))
    assert len(counts) == T - SAMPLES + 1
    assert abs(counts - 4000 / 31).max() < 5 * np.sqrt(4000 / 31)
    # The two views of one wave are drawn independently.
    assert abs(np.corrcoef(first.T)[0, 1]) < 0.1


def test_gain_is_uniform_in_decibels_and_keeps_the_polarity():
    views = drawn(gain=6.0, noise=0.0)
    # A piece of the ramp is known by the ratio of its ends.
    ratio = views[..., -1] / views[..., 0]
    starts = RAMP["wave"][: T - SAMPLES + 1].astype(np.float64)
    ratios = (starts + 0.4 * (SAMPLES - 1) / (T - 1)) / starts
    place = abs(ratio[..., None] - ratios).argmin(-1)
    decibels = 20 * np.log10(views[..., 0] / starts[place]).ravel()
    assert kstest(decibels, uniform(-6, 12).cdf).pvalue > 1e-3
    assert kstest(decibels, uniform(-6, 11).cdf).pvalue < 1e-3
    assert (views > 0).all()


def test_noise_is_normal_and_of_each_view():
    fn = VIEWS["two_windows"](samples=2000, gain=0.0, noise=0.05)
    out = np.asarray(jax.jit(fn)(jax.random.key(1), {"wave": jnp.zeros(2000)}))
    assert out.std(1) == pytest.approx([0.05, 0.05], rel=0.1)
    assert abs(np.corrcoef(out)[0, 1]) < 0.1
    assert kstest(out[0] / 0.05, "norm").pvalue > 1e-3


def test_the_evaluation_sees_the_middle():
    fn = VIEWS["wave_window"](samples=SAMPLES)
    batch = {"wave": np.stack([RAMP["wave"], -RAMP["wave"]])}
    out = [np.asarray(map_examples(fn, jax.random.key(i), batch)) for i in (0, 1)]
    np.testing.assert_array_equal(out[0], batch["wave"][:, 15:25])
    np.testing.assert_array_equal(out[0], out[1])


@pytest.mark.parametrize("length", [25, 4])
def test_windows_stay_in_what_is_the_waves_own(length):
    """Of 40 samples so many are the wave's; a shorter one lies inside its window."""
    wave = np.where(np.arange(T) < length, RAMP["wave"], 0)
    example = {"wave": wave, "length": np.int32(length)}
    fn = VIEWS["random_window"](samples=SAMPLES)
    keys = jax.random.split(jax.random.key(0), 2000)
    views = np.asarray(jax.jit(jax.vmap(fn, (0, None)))(keys, example))
    assert views.shape == (2000, SAMPLES)
    wide = np.pad(wave, (SAMPLES, 0))
    low, high = sorted((0, length - SAMPLES))
    starts = np.arange(low, high + 1)
    pieces = np.stack([wide[SAMPLES + s :][:SAMPLES] for s in starts])
    place = abs(views[:, None] - pieces).max(-1).argmin(1)
    np.testing.assert_allclose(views, pieces[place], atol=1e-6)
    is_spread_evenly(place, len(starts))
    assert (views > 0).sum(1).min() == min(length, SAMPLES)
    middle = VIEWS["wave_window"](samples=SAMPLES)(keys[0], example)
    start = (length - SAMPLES) // 2
    np.testing.assert_allclose(middle, wide[SAMPLES + start :][:SAMPLES], atol=1e-6)


def test_a_shift_moves_the_content_and_lets_zeros_in():
    wave = jnp.arange(1.0, 9.0)
    keys = jax.random.split(jax.random.key(0), 2000)
    shift = TimeShift(samples=3, probability=0.7)
    moved = np.asarray(jax.jit(jax.vmap(shift, (0, None)))(keys, wave))
    ways = np.stack([padded(by) for by in range(-3, 4)])
    by = (moved[:, None] == ways).all(-1)
    assert (by.sum(1) == 1).all()
    by = by.argmax(1) - 3
    still = 0.3 + 0.7 / 7
    has_probability(by == 0, still)
    is_spread_evenly(np.unique(by[by != 0], return_inverse=True)[1], 6)
    with pytest.raises(ValueError, match="shift = -1"):
        TimeShift(samples=-1)


def padded(by):
    """1 ... 8 moved by so many places, zeros coming in."""
    wave = np.zeros(14)
    wave[3 + by : 11 + by] = np.arange(1, 9)
    return wave[3:11]


@pytest.mark.parametrize("step", [Gain(probability=0.3), WhiteNoise(probability=0.3)])
def test_steps_are_done_with_their_probability(step):
    keys = jax.random.split(jax.random.key(0), 2000)
    out = np.asarray(jax.jit(jax.vmap(step, (0, None)))(keys, jnp.ones(4)))
    has_probability((out != 1).any(1), 0.3)
    assert step.active
    assert not type(step)(probability=0.0).active


@pytest.mark.parametrize("name", ["two_windows", "wave_window", "random_window"])
def test_waves_that_are_not_there_or_too_short_are_refused(name):
    fn = VIEWS[name](samples=T + 1)
    with pytest.raises(ValueError, match=f"{name}: samples = 41 .* 40 of a wave"):
        fn(jax.random.key(0), RAMP)
    with pytest.raises(ValueError, match=r"field 'wave' .* have \['image'\]"):
        fn(jax.random.key(0), {"image": jnp.zeros((2, 2, 1))})
    with pytest.raises(ValueError, match="samples = 0"):
        VIEWS[name](samples=0)


@pytest.mark.parametrize("settings", [{"gain": -1.0}, {"noise": -0.1}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} = -"):
        VIEWS["two_windows"](samples=4, **settings)
