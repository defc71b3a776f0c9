"""Schedules against their closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.config.bind import bind
from jax_ssl.optim import SCHEDULES
from jax_ssl.optim.schedules import (
    after,
    constant,
    cosine,
    linear,
    scaled_rate,
    sigmoid_ramp,
    step_decay,
    warmup_cosine,
)
from tests.references import schedules as reference

WIRES = {"total_steps": 500, "steps_per_epoch": 50, "batch_size": 512}


def made(factory, **settings):
    """The schedule of a factory, which gets those of the wires that it takes."""
    return bind(factory, WIRES, settings)


def test_simclr_rules_meet_at_batch_4096():
    assert scaled_rate(0.3, 4096, "linear") == pytest.approx(4.8)
    assert scaled_rate(0.075, 4096, "sqrt") == pytest.approx(4.8)
    assert scaled_rate(1.0, 512, "linear") == pytest.approx(2.0)
    assert scaled_rate(0.3, 4096, "none") == 0.3


def test_scaled_rate_refuses_other_words():
    with pytest.raises(ValueError, match="scaling = 'square'"):
        scaled_rate(0.3, 4096, "square")
    with pytest.raises(ValueError, match="batch_size = 0"):
        scaled_rate(0.3, 0, "linear")


def test_a_warmup_may_start_above_zero():
    schedule = made(warmup_cosine, peak_value=4.8, warmup_steps=10, init_value=0.3)
    found = [float(schedule(step)) for step in (0, 5, 10)]
    np.testing.assert_allclose(found, [0.3, (0.3 + 4.8) / 2, 4.8], rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_last_step_of_a_warmup_may_be_at_the_peak(steps):
    schedule = made(
        warmup_cosine,
        peak_value=4.8,
        warmup_steps=steps,
        init_value=0.3,
        warmup_form="closed",
    )
    found = [float(schedule(step)) for step in range(steps + 1)]
    expected = [*np.linspace(0.3, 4.8, steps), 4.8]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_warmup_cosine_matches_the_closed_form():
    schedule = made(warmup_cosine, peak_value=0.3, warmup_epochs=2, end_value=1e-3)
    steps = np.array([0, 1, 50, 99, 100, 101, 300, 498, 499, 500, 900])
    expected = [reference.warmup_cosine(s, 100, 500, 0.3, 1e-3) for s in steps]
    np.testing.assert_allclose(jax.vmap(schedule)(jnp.asarray(steps)), expected, 1e-5)
    assert schedule(0) == 0
    assert float(schedule(100)) == pytest.approx(0.3, rel=1e-6)  # Meets the peak once.
    assert float(schedule(99)) < 0.3 > float(schedule(101))
    assert float(schedule(500)) == pytest.approx(1e-3, rel=1e-5)


def test_warmup_may_be_given_in_steps_or_left_out():
    by_steps = made(warmup_cosine, peak_value=1.0, warmup_epochs=9, warmup_steps=7)
    assert float(by_steps(7)) == 1
    assert float(by_steps(6)) == pytest.approx(6 / 7)
    without = made(warmup_cosine, peak_value=1.0, warmup_epochs=0)
    assert float(without(0)) == 1
    assert float(without(250)) == pytest.approx(0.5)


def test_a_fraction_of_an_epoch_is_whole_steps():
    assert float(made(warmup_cosine, peak_value=1.0, warmup_epochs=0.5)(25)) == 1


def test_the_peak_is_scaled_and_the_end_is_not():
    schedule = made(
        warmup_cosine, peak_value=1.0, warmup_epochs=1, end_value=1e-6, scaling="linear"
    )
    assert float(schedule(50)) == 2
    assert float(schedule(500)) == pytest.approx(1e-6)


@pytest.mark.parametrize("warmup_steps", [500, 501, -1])
def test_a_warmup_must_end_before_the_run(warmup_steps):
    with pytest.raises(ValueError, match=rf"warmup_steps = {warmup_steps}.*500 steps"):
        made(warmup_cosine, peak_value=1.0, warmup_steps=warmup_steps)


def test_a_warmup_in_epochs_is_named_in_both_units():
    with pytest.raises(ValueError, match=r"warmup_epochs = 12.0 \(600 steps\)"):
        made(warmup_cosine, peak_value=1.0, warmup_epochs=12)


@pytest.mark.parametrize(("first", "last"), [(0.3, 0.0), (0.996, 1.0), (0.0, 2.0)])
def test_cosine_falls_and_rises(first, last):
    schedule = made(cosine, init_value=first, end_value=last)
    steps = np.array([0, 1, 125, 250, 499, 500])
    expected = [reference.half_cosine(s, 500, first, last) for s in steps]
    got = jax.vmap(schedule)(jnp.asarray(steps))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


def test_linear_stops_where_it_ends():
    schedule = made(linear, init_value=0.04, end_value=0.07, epochs=3)
    np.testing.assert_allclose(
        [float(schedule(s)) for s in (0, 75, 150, 400)], [0.04, 0.055, 0.07, 0.07], 1e-5
    )
    whole = made(linear, init_value=1.0, end_value=0.0, scaling="linear")
    np.testing.assert_allclose([float(whole(s)) for s in (0, 250, 500)], [2, 1, 0])


def test_constant_is_constant():
    schedule = made(constant, value=0.1, scaling="linear")
    assert float(schedule(0)) == float(schedule(10_000)) == pytest.approx(0.2)


def test_empty_runs_are_refused():
    with pytest.raises(ValueError, match="total_steps = 0 must be at least 1"):
        cosine(0, 512, init_value=1.0)
    with pytest.raises(ValueError, match=r"epochs = .*\(0 steps\) must be one step"):
        made(linear, init_value=1.0, end_value=0.0, epochs=0)


def test_step_decay_drops_after_whole_epochs():
    schedule = made(
        step_decay,
        value=1.0,
        drops=(3, 5),
        factor=0.2,
        warmup_steps=10,
        scaling="linear",
    )
    steps = (0, 5, 10, 149, 150, 249, 250, 499)
    wanted = [0, 1, 2, 2, 0.4, 0.4, 0.08, 0.08]
    np.testing.assert_allclose([float(schedule(s)) for s in steps], wanted, rtol=1e-6)
    assert made(step_decay, value=3.0, drops=())(0) == 3


def test_step_decay_refuses_what_is_no_staircase():
    for drops in ((5, 3), (0,), (2, 2)):
        with pytest.raises(ValueError, match="must be positive epochs that rise"):
            made(step_decay, value=1.0, drops=drops)
    with pytest.raises(ValueError, match="warmup_steps = 500"):
        made(step_decay, value=1.0, drops=(1,), warmup_steps=500)


def test_after_is_nothing_at_first():
    schedule = made(after, epochs=1.5, value=2.0)
    values = [float(schedule(s)) for s in (0, 74, 75, 499)]
    assert values == [0, 0, 2, 2]
    assert made(after, epochs=0)(0) == 1
    two = made(after, epochs=1.5, value=2.0, first=0.5)
    assert [float(two(s)) for s in (0, 74, 75)] == [0.5, 0.5, 2]
    with pytest.raises(ValueError, match=r"epochs = 10.0 \(500 steps\) must be"):
        made(after, epochs=10)


def test_a_sigmoid_ramp_rises_to_its_value():
    schedule = made(sigmoid_ramp, value=100.0, epochs=8)
    steps = (0, 100, 200, 300, 400, 499)
    wanted = [100 * np.exp(-5 * (1 - t) ** 2) for t in (0, 0.25, 0.5, 0.75, 1, 1)]
    np.testing.assert_allclose([float(schedule(s)) for s in steps], wanted, rtol=1e-5)
    assert float(schedule(0)) == pytest.approx(0.6738, rel=1e-4)
    whole = made(sigmoid_ramp, value=1.0)
    assert float(whole(250)) == pytest.approx(np.exp(-1.25))
    with pytest.raises(ValueError, match=r"epochs = .*\(0 steps\) must be one step"):
        made(sigmoid_ramp, value=1.0, epochs=0)


def test_schedules_take_a_traced_step():
    settings = {
        "constant": {"value": 1.0},
        "linear": {"init_value": 1.0, "end_value": 0.0},
        "cosine": {"init_value": 1.0},
        "warmup_cosine": {"peak_value": 1.0, "warmup_epochs": 2},
        "step_decay": {"value": 1.0, "drops": (3, 5)},
        "after": {"epochs": 1},
        "sigmoid_ramp": {"value": 1.0},
    }
    assert set(settings) == set(SCHEDULES)
    for name, factory in SCHEDULES.items():
        schedule = made(factory, **settings[name])
        assert jax.eval_shape(schedule, jnp.zeros((), jnp.int32)).shape == ()
