"""Windows of waves: where they lie, how loud they are, what is added."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, uniform

from jax_ssl.augment import VIEWS
from jax_ssl.parallel.rows import map_examples

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


@pytest.mark.parametrize("name", ["two_windows", "wave_window"])
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
