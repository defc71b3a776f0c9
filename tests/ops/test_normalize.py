"""Unit vectors and standardised vectors, against float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.ops.normalize import l2_normalize, standardize


def unit(x, epsilon=1e-12):
    x = np.asarray(x, np.float64)
    length = np.sqrt((x**2).sum(-1, keepdims=True))
    return x / np.maximum(length, epsilon)


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e20, 1e30])
@pytest.mark.parametrize("dim", [1, 3, 128])
def test_unit_length_at_any_scale(rng, scale, dim):
    x = (rng.normal(size=(5, dim)) * scale).astype(np.float32)
    np.testing.assert_allclose(l2_normalize(jnp.asarray(x)), unit(x), rtol=3e-6)


def test_one_huge_entry_does_not_overflow():
    x = jnp.asarray([[3e38, 1.0, -3e38]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(l2_normalize(x), [[half, 0, -half]], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e20])
def test_gradient_is_the_tangent_projection(rng, scale):
    x = (rng.normal(size=(4, 7)) * scale).astype(np.float32)
    weight = rng.normal(size=(4, 7))
    got = jax.grad(lambda x: jnp.sum(l2_normalize(x) * weight))(jnp.asarray(x))
    u = unit(x)
    length = np.linalg.norm(np.asarray(x, np.float64), axis=-1, keepdims=True)
    expected = (weight - u * (u * weight).sum(-1, keepdims=True)) / length
    np.testing.assert_allclose(got * scale, expected * scale, rtol=1e-5, atol=2e-6)


def test_zero_rows_stay_zero_with_zero_gradient():
    x = jnp.zeros((2, 3)).at[1].set(1.0)
    value, gradient = jax.value_and_grad(lambda x: l2_normalize(x)[:, 0].sum())(x)
    np.testing.assert_allclose(value, 3**-0.5, rtol=1e-6)
    assert np.array_equal(np.asarray(gradient[0]), np.zeros(3))
    assert np.isfinite(np.asarray(gradient)).all()


def test_epsilon_is_a_floor_of_the_length():
    x = jnp.asarray([[3e-14, 4e-14]])
    np.testing.assert_allclose(l2_normalize(x), [[0.03, 0.04]], rtol=1e-6)
    np.testing.assert_allclose(l2_normalize(x, epsilon=0), [[0.6, 0.8]], rtol=1e-6)
    gradient = jax.grad(lambda x: l2_normalize(x)[0, 0])(x)
    np.testing.assert_allclose(gradient, [[1e12, 0.0]], rtol=1e-6)


def test_below_float32_sums_are_float32(rng):
    # 4096 squares of 1 added in bfloat16 would stop at 256.
    x = jnp.ones((1, 4096), jnp.bfloat16)
    out = l2_normalize(x)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(out, np.float32), 1 / 64, rtol=4e-3)


def test_axis_may_be_anywhere(rng):
    x = rng.normal(size=(3, 4, 5)).astype(np.float32)
    first = np.moveaxis(np.asarray(l2_normalize(jnp.moveaxis(x, 0, -1))), -1, 0)
    np.testing.assert_allclose(l2_normalize(jnp.asarray(x), axis=0), first, rtol=1e-6)
    both = l2_normalize(jnp.asarray(x), axis=(1, 2))
    np.testing.assert_allclose(jnp.sum(both**2, axis=(1, 2)), np.ones(3), rtol=1e-6)


@pytest.mark.parametrize("ddof", [0, 1])
def test_standardize_matches_numpy(rng, ddof):
    # A mean 1000 times the spread convicts a one-pass variance.
    x = (1000 + rng.normal(size=(3, 2, 48))).astype(np.float32)
    x64 = x.astype(np.float64)
    mean = x64.mean(-1, keepdims=True)
    expected = (x64 - mean) / np.sqrt(x64.var(-1, ddof=ddof, keepdims=True) + 1e-6)
    got = standardize(jnp.asarray(x), ddof=ddof)
    np.testing.assert_allclose(got, expected, atol=2e-4)


def test_standardize_of_a_textured_patch_has_the_unbiased_energy(rng):
    x = rng.uniform(size=(2, 768)).astype(np.float32)
    energy = np.mean(np.square(standardize(jnp.asarray(x))), axis=-1)
    np.testing.assert_allclose(energy, 767 / 768, rtol=5e-5)


def test_standardize_of_a_constant_is_zero():
    x = jnp.full((1, 12), 0.5)
    value, gradient = jax.value_and_grad(lambda x: standardize(x).sum())(x)
    assert value == 0
    assert np.isfinite(np.asarray(gradient)).all()
    assert not np.asarray(standardize(x)).any()


def test_standardize_refuses_vectors_without_variance():
    with pytest.raises(ValueError, match="more than ddof = 1 entries"):
        standardize(jnp.ones((4, 1)))
