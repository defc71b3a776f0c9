"""CPC on sound: its loss against float64, its negatives, and what may be known when."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.encoders import ENCODERS
from jax_ssl.losses import time_nce
from jax_ssl.methods.cpc_audio import cpc_audio
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from tests.case import Case
from tests.images import as_waves, one_wave
from tests.laws import follows_shares
from tests.methods.errors import KEY, B, Comparison, errors
from tests.references import future as reference

ENCODER = {"name": "wave_gru", "widths": (8, 16), "kernels": (6, 4), "strides": (4, 2)}
ENCODER |= {"channel_norm": True, "context": 16}
CASES = {
    # Scores that are means move four times less than the battery asks for, in its four
    # steps; so this one, whose drawn negatives have a test of devices below.
    "cpc_audio": Case(
        "cpc_audio",
        {"horizons": 3, "objective": "batch"},
        one_wave,
        ENCODER,
        share=0.85,
        learning_rate=0.1,
        reads=as_waves,
    ),
}
TINY = {"widths": (3,), "kernels": (4,), "strides": (2,), "context": 2}


def built(**settings):
    return cpc_audio(
        ENCODERS["wave_gru"](**TINY, channel_norm=True), one_wave, **settings
    )


@functools.cache
def first(steps=16):
    waves = jax.random.normal(jax.random.key(3), (6, steps))
    return built(horizons=2).init(jax.random.key(0), waves), waves


def loss_of(method, params, state, views):
    loss = functools.partial(method.loss, key=KEY, step=jnp.int32(0))
    return jax.jit(loss)(params, state, views)


@pytest.mark.parametrize("objective", ["drawn", "batch"])
def test_loss_and_gradient_are_float64s(objective):
    """Through convolutions, channel norm and GRU, to every parameter."""
    drawn = objective == "drawn"
    found = errors(
        Comparison(
            "cpc_audio",
            {"horizons": 2, "num_negatives": 5, "objective": objective},
            functools.partial(reference.cpc_audio, strides=(2,), horizons=2),
            lambda: (
                np.asarray(time_nce.draw_negatives(KEY, B, 6, (4, 5)))
                if drawn
                else None
            ),
            views=lambda rng: rng.normal(size=(B, 12)),
            wires={"encoder": ENCODERS["wave_gru"](**TINY, channel_norm=True)},
        )
    )
    assert all(error < 1e-5 for error in found.values()), found


@pytest.mark.parametrize(
    ("settings", "chance"),
    [
        ({}, math.log(129)),
        ({"num_negatives": 4}, math.log(5)),
        ({"objective": "batch"}, math.log(6)),
    ],
)
def test_predictions_that_say_nothing_are_at_chance(settings, chance):
    (params, state), waves = first()
    blind = jax.tree.map(jnp.zeros_like, params["predictor"])
    method = built(horizons=2, **settings)
    value, (_, metrics) = loss_of(method, {**params, "predictor": blind}, state, waves)
    assert value == pytest.approx(chance, abs=1e-6)
    assert method.health.chance(6) == pytest.approx(chance)
    assert metrics["contrastive_accuracy"] == 0  # No lead is no hit.


def test_accuracy_is_told_by_horizon():
    """Codes that are told from all others, and predictions of the next one alone."""
    codes = jnp.tile(20 * jnp.eye(7)[None], (2, 1, 1)) + jnp.arange(2)[:, None, None]
    right = jnp.stack([codes[:, 1:6], codes[:, 1:6]], axis=2)  # [2, 5, 2, 7]
    places = jnp.broadcast_to(jnp.arange(7), (2, 5, 7))
    loss, accuracy = time_nce.nce_of_drawn(right, codes, places)
    np.testing.assert_array_equal(accuracy, [1, 0])
    assert loss[0] < 0.8 < loss[1]  # The right code is among the drawn ones once.


def test_negatives_are_drawn_anywhere_but_at_the_step_of_the_anchor():
    places = np.asarray(time_nce.draw_negatives(jax.random.key(1), 4, 7, (5, 300)))
    assert places.shape == (4, 5, 300)
    rows, steps = np.divmod(places, 7)
    follows_shares(rows.ravel(), np.full(4, 1 / 4))
    for t in range(5):
        follows_shares(steps[:, t].ravel(), (np.arange(7) != t) / 6)


@pytest.mark.slow
def test_rows_that_are_taken_in_turns_change_nothing(monkeypatch, rng):
    p = jnp.asarray(rng.normal(size=(5, 3, 2, 4)), jnp.float32)
    z = jnp.asarray(rng.normal(size=(5, 6, 4)), jnp.float32)
    places = time_nce.draw_negatives(KEY, 5, 6, (3, 8))

    def both(p, z):
        value = lambda p, z: time_nce.nce_of_drawn(p, z, places)[0].mean()
        return jax.value_and_grad(value, (0, 1))(p, z)

    at_once = both(p, z)
    monkeypatch.setattr(time_nce, "GATHERED", 2 * 4 * 4 * 3 * 8)  # Two rows.
    for a, b in zip(*map(jax.tree.leaves, (both(p, z), at_once)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_drawn_negatives_of_other_devices_are_the_same(rng):
    """Loss, accuracy and gradients on eight devices are those on one."""
    p = jnp.asarray(rng.normal(size=(16, 3, 2, 4)), jnp.float32)
    z = jnp.asarray(rng.normal(size=(16, 6, 4)), jnp.float32)

    def both(p, z):
        places = time_nce.draw_negatives(KEY, 16, 6, (3, 8))
        value = lambda p, z: tuple(x.sum() for x in time_nce.nce_of_drawn(p, z, places))
        (loss, hits), slopes = jax.value_and_grad(value, (0, 1), has_aux=True)(p, z)
        return loss, hits, slopes

    alone = jax.jit(both)(p, z)
    mesh = make_mesh()
    with jax.set_mesh(mesh):
        found = jax.jit(both)(*jax.device_put((p, z), row_sharding(mesh)))
    for a, b in zip(*map(jax.tree.leaves, (found, alone)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_the_bound_on_mutual_information_holds_and_is_near(rng):
    """An AR(1) process and the best critic: log B - L <= I = -log(1 - rho^2) / 2."""
    rho, rows = 0.9, 512
    c = rng.normal(size=rows)
    z = rho * c + np.sqrt(1 - rho**2) * rng.normal(size=rows)
    # log p(z | c) / p(z) as an inner product of (z^2, z) with what c says.
    var = 1 - rho**2
    codes = np.stack([z**2, z], -1)[:, None].repeat(2, 1)
    says = np.stack([np.full(rows, 0.5 - 0.5 / var), rho * c / var], -1)
    loss, _ = time_nce.nce_of_batch(
        jnp.float32(says[:, None, None]), jnp.float32(codes)
    )
    known, bound = -0.5 * np.log(var), np.log(rows) - float(loss[0])
    assert known - 0.15 < bound < known + 0.1


def test_windows_without_a_future_and_other_encoders_are_refused():
    (params, state), waves = first()
    short = built(horizons=8)
    start = short.init(jax.random.key(0), waves)
    with pytest.raises(ValueError, match=r"horizons = 8 .* 16 samples have 8; raise"):
        loss_of(short, *start, waves)
    with pytest.raises(ValueError, match=r"one window of each wave.*random_window"):
        built().init(jax.random.key(0), jnp.zeros((2, 2, 16)))
    with pytest.raises(ValueError, match=r"2 rows or more"):
        loss_of(built(horizons=2, objective="batch"), params, state, waves[:1])
    plain = ENCODERS["wave"](
        widths=(4, 4), kernels=(2, 2), strides=(2, 2), norm_groups=0
    )
    plain = cpc_audio(plain, one_wave, horizons=2)
    params, state = plain.init(jax.random.key(0), waves)
    with pytest.raises(ValueError, match=r"encoder\.name = 'wave_gru'"):
        loss_of(plain, params, state, waves)
    for wrong in ({"horizons": 0}, {"num_negatives": 0}, {"objective": "all"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            built(**wrong)


def test_pictures_say_how_surely_each_code_is_found():
    (params, state), waves = first()
    examples = {"view": waves}
    (shown,) = built(horizons=2).shows(params, state, examples, KEY).values()
    (_, sound), (kind, sure) = shown.columns.values()
    np.testing.assert_array_equal(sound, waves)
    assert (kind, sure.shape) == ("heat", (6, 2, 6))
    codes = 9 * jnp.eye(8).reshape(2, 4, 8)  # All different, and predicted.
    guess = jnp.stack([codes[:, 1:3], codes[:, 2:4]], axis=2)
    np.testing.assert_allclose(time_nce.probabilities(guess, codes), 1, atol=1e-3)
