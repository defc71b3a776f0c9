"""What doubles a grid is lax's transposed convolution, and a plain one after copies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_ssl.ops.conv import nearest_conv, transposed_conv
from tests.references import conv as reference


def transposed(x, kernel):
    """y[o] = Σ_i x[i] k[o + 1 - 2 i], by loops in float64."""
    B, H, W, _ = x.shape
    y = np.zeros((B, 2 * H, 2 * W, kernel.shape[-1]))
    for i, j, a, b in np.ndindex(H, W, 4, 4):
        o, p = 2 * i + a - 1, 2 * j + b - 1
        if 0 <= o < 2 * H and 0 <= p < 2 * W:
            y[:, o, p] += x[:, i, j].astype(np.float64) @ kernel[a, b]
    return y


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, 3, 5, 4)).astype(np.float32)


def test_transposed_is_the_sum_over_taps(rng, x):
    kernel = rng.normal(size=(4, 4, 4, 3)).astype(np.float32)
    found = jax.jit(transposed_conv)(x, kernel)
    np.testing.assert_allclose(found, transposed(x, kernel), rtol=1e-5, atol=1e-5)
    # The same of lax, which flips nothing and dilates the input by zeros.
    other = lax.conv_transpose(x, kernel[::-1, ::-1], (2, 2), [(2, 2), (2, 2)])
    np.testing.assert_allclose(found, other, rtol=1e-5, atol=1e-5)


def test_nearest_is_copies_and_a_convolution(rng, x):
    kernel = rng.normal(size=(3, 3, 4, 3)).astype(np.float32)
    copies = x.repeat(2, 1).repeat(2, 2)
    expected = reference.conv(copies, kernel, (1, 1), ((1, 1), (1, 1)))
    found = jax.jit(nearest_conv)(x, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_laxs_form(rng, x):
    kernel = jnp.asarray(rng.normal(size=(4, 4, 4, 3)), jnp.float32)
    weight = jnp.asarray(rng.normal(size=(2, 6, 10, 3)), jnp.float32)

    def plain(x, kernel):
        return lax.conv_transpose(x, kernel[::-1, ::-1], (2, 2), [(2, 2), (2, 2)])

    def pulled(form):
        return jax.jit(lambda x, k: jax.vjp(form, x, k)[1](weight))(x, kernel)

    for a, b in zip(pulled(transposed_conv), pulled(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)
