"""Both forms of LARS against float64 transcriptions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.optim.lars import lars
from tests.references import lars as reference

RATES = (0.5, 1.0, 2.0, 0.25, 0.0, 1.5)


def schedule(step):
    return jnp.asarray(RATES)[step]


def params_and_gradients(rng):
    shapes = {
        "encoder": {"conv": {"kernel": (3, 3, 2, 4)}, "norm": {"scale": (4,)}},
        "head": {
            "kernel": (4, 3),
            "bias": (3,),
            "fresh": (3, 3),
            "attention": {"bias": (2, 3)},
        },
    }
    is_shape = lambda x: isinstance(x, tuple)
    draw = lambda: jax.tree.map(
        lambda shape: rng.normal(size=shape).astype(np.float32),
        shapes,
        is_leaf=is_shape,
    )
    params = draw()
    params["head"]["fresh"] = np.zeros((3, 3), np.float32)  # Norm zero: trust is 1.
    gradients = [draw() for _ in RATES]
    gradients[1]["head"]["kernel"] *= 0  # With weight decay the norm is not zero.
    return params, gradients


def run(tx, params, gradients):
    @jax.jit
    def step(params, opt_state, gradient):
        updates, opt_state = tx.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    opt_state, trace = tx.init(params), []
    for gradient in gradients:
        params, opt_state = step(params, opt_state, gradient)
        trace.append(params)
    return trace


@pytest.mark.parametrize("rate", ["inside", "outside"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_matches_the_transcription_over_changing_rates(rng, rate, nesterov):
    params, gradients = params_and_gradients(rng)
    settings = {"weight_decay": 1e-2, "momentum": 0.8, "trust_coefficient": 0.02}
    tx = lars(learning_rate=schedule, rate=rate, nesterov=nesterov, **settings)
    trace = run(tx, params, gradients)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    for path, w in leaves:
        name = jax.tree_util.keystr(path)
        expected = reference.run(
            w,
            [dict(jax.tree_util.tree_leaves_with_path(g))[path] for g in gradients],
            RATES,
            nesterov=nesterov,
            inside=rate == "inside",
            excluded="bias" in name or "scale" in name,
            **settings,
        )
        for got, wanted in zip(trace, expected, strict=True):
            got = dict(jax.tree_util.tree_leaves_with_path(got))[path]
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("trust", [0.02, 2.0])
def test_capped_rates_match_the_transcription(rng, trust):
    params, gradients = params_and_gradients(rng)
    settings = {"weight_decay": 1e-2, "momentum": 0.8, "trust_coefficient": trust}
    trace = run(
        lars(learning_rate=schedule, rate="outside", cap=True, **settings),
        params,
        gradients,
    )
    w, g = params["head"]["kernel"], [g["head"]["kernel"] for g in gradients]
    expected = reference.run(w, g, RATES, inside=False, cap=True, **settings)
    for got, wanted in zip(trace, expected, strict=True):
        np.testing.assert_allclose(got["head"]["kernel"], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cap", [False, True])
@pytest.mark.parametrize("leaf", ["kernel", "fresh"])
def test_summed_norms_match_the_transcription(rng, cap, leaf):
    params, gradients = params_and_gradients(rng)
    settings = {"weight_decay": 1e-2, "momentum": 0.8, "trust_coefficient": 0.02}
    tx = lars(
        learning_rate=schedule, rate="outside", denominator="sum", cap=cap, **settings
    )
    trace = run(tx, params, gradients)
    w, g = params["head"][leaf], [g["head"][leaf] for g in gradients]
    expected = reference.run(
        w, g, RATES, inside=False, cap=cap, summed=True, **settings
    )
    for got, wanted in zip(trace, expected, strict=True):
        np.testing.assert_allclose(got["head"][leaf], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cap", [False, True])
def test_summed_norms_leave_alone_what_has_no_gradient(rng, cap):
    # Frozen prototypes: a decay that is added and taken away again leaves a rounding
    # error, which must not count as a gradient.
    w = {"kernel": rng.normal(size=(12, 16)).astype(np.float32)}
    tx = lars(
        learning_rate=lambda step: 0.5,
        weight_decay=1e-2,
        rate="outside",
        denominator="sum",
        cap=cap,
    )
    gradients = [{"kernel": np.zeros((12, 16), np.float32)}] * 3
    for params in run(tx, w, gradients):
        np.testing.assert_array_equal(params["kernel"], w["kernel"])


def test_forms_differ_by_the_closed_form_when_the_rate_changes():
    # One constant gradient, η ‖w‖ / ‖g‖ · g of nearly constant length η ‖w‖: with
    # rates a, b and a tiny η the second step is m a + b inside, and (m + 1) b outside.
    a, b, m, eta = 1.0, 3.0, 0.9, 1e-4
    w = np.eye(2, dtype=np.float32)
    g = np.ones((2, 2), np.float32)
    rates = lambda step: jnp.where(step == 0, a, b)
    length = eta * np.linalg.norm(w) / np.linalg.norm(g)
    for rate, factor in (("inside", m * a + b), ("outside", (m + 1) * b)):
        tx = lars(
            learning_rate=rates,
            weight_decay=0.0,
            momentum=m,
            trust_coefficient=eta,
            rate=rate,
        )
        first, second = run(tx, {"kernel": w}, [{"kernel": g}] * 2)
        step = np.asarray(second["kernel"], np.float64) - first["kernel"]
        np.testing.assert_allclose(step, -factor * length * g, rtol=2e-3)


def test_step_length_is_set_by_the_weights_not_by_the_gradient(rng):
    w = {"kernel": rng.normal(size=(4, 4)).astype(np.float32)}
    g = {"kernel": rng.normal(size=(4, 4)).astype(np.float32)}
    tx = lars(learning_rate=1.0, weight_decay=0.0)
    small = run(tx, w, [g])[0]["kernel"]
    large = run(tx, w, [{"kernel": 1e3 * g["kernel"]}])[0]["kernel"]
    np.testing.assert_allclose(small, large, rtol=1e-5)
    moved = np.linalg.norm(small - w["kernel"])
    np.testing.assert_allclose(moved, 0.001 * np.linalg.norm(w["kernel"]), rtol=1e-3)


def test_exclusions_can_be_chosen(rng):
    w = {
        "embedding": np.ones((2, 2), np.float32),
        "kernel": np.ones((2, 2), np.float32),
    }
    g = {
        "embedding": np.ones((2, 2), np.float32),
        "kernel": np.ones((2, 2), np.float32),
    }
    tx = lars(learning_rate=1.0, weight_decay=0.5, exclude=("embedding",))
    after = run(tx, w, [g])[0]
    np.testing.assert_allclose(after["embedding"], np.zeros((2, 2)))
    np.testing.assert_allclose(after["kernel"], np.full((2, 2), 0.999), rtol=1e-6)


def test_clip_norm_bounds_the_gradient_of_all_leaves_together():
    w = {"bias": np.zeros(3, np.float32), "scale": np.zeros(4, np.float32)}
    g = {"bias": np.ones(3, np.float32) * 30, "scale": np.ones(4, np.float32) * 40}
    tx = lars(learning_rate=1.0, clip_norm=1.0)
    after = run(tx, w, [g])[0]
    norm = np.sqrt(sum((x**2).sum() for x in after.values()))
    np.testing.assert_allclose(norm, 1.0, rtol=1e-5)


def test_refuses_other_words():
    with pytest.raises(ValueError, match="rate = 'both'"):
        lars(learning_rate=1.0, rate="both")
    with pytest.raises(ValueError, match="needs rate = 'outside'"):
        lars(learning_rate=1.0, cap=True)
    with pytest.raises(ValueError, match="clip_norm = 0"):
        lars(learning_rate=1.0, clip_norm=0.0)
