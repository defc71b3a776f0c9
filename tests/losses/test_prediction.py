"""Losses of BYOL and SimSiam against float64 loops, and their identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.prediction import negative_cosine, normalized_mse, output_std
from tests.references import prediction as reference

LOSSES = {"negative_cosine": negative_cosine, "normalized_mse": normalized_mse}
compiled = {name: jax.jit(jax.value_and_grad(fn)) for name, fn in LOSSES.items()}

KINDS = {
    "plain": lambda rng, p: rng.normal(size=p.shape),
    "nearly equal": lambda rng, p: p + 1e-3 * rng.normal(size=p.shape),
    "opposite": lambda rng, p: -p + 0.1 * rng.normal(size=p.shape),
    "large": lambda rng, p: 1e12 * rng.normal(size=p.shape),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 3), (17, 64)], ids=str)
def test_value_and_gradient_match_float64_loops(rng, name, kind, shape):
    p = rng.normal(size=shape)
    p, z = (np.float32(x) for x in (p, KINDS[kind](rng, p)))
    value, gradient = compiled[name](p, z)
    expected, expected_gradient = getattr(reference, name)(p, z)
    # The digits of unit vectors are what is left of a small distance.
    tolerance = 1e-4 if kind == "nearly equal" and name == "normalized_mse" else 1e-5
    np.testing.assert_allclose(value, expected, rtol=tolerance)
    error = np.linalg.norm(gradient - expected_gradient)
    assert error <= 1e-5 * np.linalg.norm(expected_gradient) + 1e-6 / len(p)


def test_reference_gradient_is_that_of_central_differences(rng):
    p, z, direction = rng.normal(size=(3, 4, 5))
    for name in LOSSES:
        loss = getattr(reference, name)
        ahead, behind = (loss(p + h * direction, z)[0] for h in (1e-6, -1e-6))
        slope = np.sum(loss(p, z)[1] * direction)
        np.testing.assert_allclose((ahead - behind) / 2e-6, slope, rtol=1e-6)


def test_extremes(rng):
    p = rng.normal(size=(6, 8)).astype(np.float32)
    assert float(normalized_mse(p, p)) == 0
    np.testing.assert_allclose(normalized_mse(p, -p), 4, rtol=1e-6)
    np.testing.assert_allclose(negative_cosine(p, 3 * p), -1, rtol=1e-6)
    assert negative_cosine(jnp.eye(4), jnp.eye(4)[::-1]) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_lengths_do_not_matter(rng, name):
    p, z = rng.normal(size=(2, 6, 8)).astype(np.float32)
    scale = rng.uniform(0.01, 100, (2, 6, 1)).astype(np.float32)
    loss = LOSSES[name]
    np.testing.assert_allclose(loss(scale[0] * p, scale[1] * z), loss(p, z), rtol=1e-5)
    _, gradient = compiled[name](p, z)
    assert np.abs(np.sum(p * gradient, axis=-1)).max() < 1e-6


def test_the_two_are_one_up_to_a_line(rng):
    p, z = rng.normal(size=(2, 5, 3, 8)).astype(np.float32)  # Views are a leading axis.
    np.testing.assert_allclose(
        normalized_mse(p, z), 2 + 2 * negative_cosine(p, z), rtol=1e-5
    )


def test_zero_outputs_are_finite():
    value, gradient = compiled["normalized_mse"](jnp.zeros((3, 4)), jnp.ones((3, 4)))
    assert value == 2
    assert not np.asarray(gradient).any()


def test_std_tells_spread_from_collapse(rng):
    z = rng.normal(size=(4000, 2, 16)).astype(np.float32)
    np.testing.assert_allclose(output_std(z), 1 / np.sqrt(16), rtol=1e-2)
    assert output_std(np.ones((8, 2, 16))) < 1e-6
    assert output_std(np.broadcast_to(z[:1], (8, 2, 16))) < 1e-6  # Views may differ.


def test_shapes_must_agree():
    with pytest.raises(AssertionError):
        negative_cosine(jnp.ones((3, 4)), jnp.ones((3, 1)))
