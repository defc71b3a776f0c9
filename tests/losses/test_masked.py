import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.losses.masked import masked_mse
from jax_ssl.ops.normalize import standardize
from tests.references import masked as reference

SHAPES = [(2, 16, 12), (3, 5, 768), (1, 2, 3)]


def drawn(rng, shape, masked=None):
    prediction, target = rng.normal(size=(2, *shape)).astype(np.float32)
    count = masked or max(1, 3 * shape[1] // 4)
    order = rng.random(shape[:2]).argsort(axis=1)
    return jnp.asarray(prediction), jnp.asarray(target), jnp.asarray(order < count)


@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradient_are_the_references(rng, shape):
    prediction, target, mask = drawn(rng, shape)
    value, gradient = jax.value_and_grad(masked_mse)(prediction, target, mask)
    expected = reference.masked_mse(prediction, target, np.asarray(mask))
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(
        gradient, expected[1], atol=1e-5 * np.abs(gradient).max()
    )


def test_what_is_said_of_visible_patches_counts_nothing(rng):
    prediction, target, mask = drawn(rng, (2, 16, 12))
    other = jnp.where(mask[..., None], prediction, 100 * rng.normal(size=(2, 16, 12)))
    assert masked_mse(prediction, target, mask) == masked_mse(other, target, mask)
    gradient = np.asarray(jax.grad(masked_mse)(other, target, mask))
    assert (gradient[~np.asarray(mask)] == 0).all()
    assert (gradient[np.asarray(mask)] != 0).all()


@pytest.mark.parametrize("values", [768, 12, 48])
def test_predicting_nothing_of_textured_patches_costs_one_degree_of_freedom(
    rng, values
):
    patches = 200 * rng.random((3, 8, values)).astype(np.float32)
    _, _, mask = drawn(rng, (3, 8, values))
    target = standardize(jnp.asarray(patches))
    np.testing.assert_allclose(target, reference.standardized(patches), atol=1e-5)
    # The unbiased variance: with the biased one it would be 1.
    value = masked_mse(jnp.zeros_like(target), target, mask)
    np.testing.assert_allclose(value, (values - 1) / values, rtol=1e-5)


@pytest.mark.parametrize(("level", "rounding"), [(0.75, 0), (0.7, 1e-8)])
def test_flat_patches_have_nothing_to_predict(rng, level, rounding):
    _, _, mask = drawn(rng, (2, 16, 12))
    target = standardize(jnp.full((2, 16, 12), level))
    assert masked_mse(jnp.zeros_like(target), target, mask) <= rounding


def test_half_precision_is_compared_in_float32():
    near = jnp.full((1, 1, 4), 1 + 2**-7, jnp.bfloat16)
    value = masked_mse(near, jnp.ones((1, 1, 4)), jnp.ones((1, 1), bool))
    assert value.dtype == jnp.float32
    assert value == 2**-14


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(AssertionError):
        masked_mse(jnp.ones((2, 4, 3)), jnp.ones((2, 4, 1)), jnp.ones((2, 4), bool))
    with pytest.raises(AssertionError):
        masked_mse(jnp.ones((2, 4, 3)), jnp.ones((2, 4, 3)), jnp.ones((2, 3), bool))
