"""Losses of autoencoders beside float64, integrals and finite differences."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import integrate, stats

from jax_ssl.encoders.conv import ConvNorm
from jax_ssl.losses import reconstruction
from jax_ssl.nn import norm


def draw(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def test_errors_are_sums_over_the_image(rng):
    a, b = draw(rng, 3, 4, 4, 2), draw(rng, 3, 4, 4, 2)
    wide = np.float64(a), np.float64(b)
    expected = np.square(wide[0] - wide[1]).sum((1, 2, 3))
    found = reconstruction.squared_error(a, b)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    density = stats.norm(wide[0], 0.3).logpdf(wide[1]).sum((1, 2, 3))
    found = reconstruction.gaussian_nll(a, b, 0.3)
    np.testing.assert_allclose(found, -density, rtol=1e-5)
    x, p = stats.norm.cdf(wide[1]), 1 / (1 + np.exp(-wide[0]))
    expected = -(x * np.log(p) + (1 - x) * np.log1p(-p)).sum((1, 2, 3))
    found = reconstruction.bernoulli_nll(a, np.float32(x))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.5, 0.2), (-0.3, 3.0)])
def test_kl_is_the_integral(mean, deviation):
    posterior, prior = stats.norm(mean, deviation), stats.norm()
    integrand = lambda z: posterior.pdf(z) * (posterior.logpdf(z) - prior.logpdf(z))
    ends = mean - 12 * deviation, mean + 12 * deviation
    expected, _ = integrate.quad(integrand, *ends, epsabs=1e-12)
    log_variance = jnp.full((1, 2), 2 * np.log(deviation))
    found = reconstruction.gaussian_kl(jnp.full((1, 2), mean), log_variance)
    np.testing.assert_allclose(found, [2 * expected], rtol=1e-5, atol=1e-7)


def test_kl_is_zero_for_the_prior_alone_and_never_below(rng):
    nothing = np.zeros((1, 5))
    assert reconstruction.gaussian_kl(nothing, nothing) == 0
    found = reconstruction.gaussian_kl(draw(rng, 200, 5), draw(rng, 200, 5))
    assert (found > 0).all()


def test_kl_is_the_mean_over_samples(rng):
    mean, log_variance = np.array([0.7, -1.0]), np.array([-1.0, 0.5])
    deviation = np.exp(log_variance / 2)
    z = mean + deviation * rng.normal(size=(100_000, 2))
    ratio = stats.norm(mean, deviation).logpdf(z) - stats.norm().logpdf(z)
    found = reconstruction.gaussian_kl(mean[None], log_variance[None])
    np.testing.assert_allclose(found[0], ratio.sum(1).mean(), rtol=0.01)


def test_exact_contraction_is_the_norm_of_finite_differences(rng):
    kernel, bias, x = (rng.normal(size=shape) for shape in ((6, 4), (4,), (2, 6)))
    code = lambda x: 1 / (1 + np.exp(-(x @ kernel + bias)))
    step = 1e-6
    found = reconstruction.sigmoid_contraction(code(x), kernel)
    for row, value in zip(x, found, strict=True):
        moved = [
            (code(row + step * d) - code(row - step * d)) / (2 * step)
            for d in np.eye(6)
        ]
        np.testing.assert_allclose(value, np.square(moved).sum(), rtol=1e-5)


def test_estimate_has_the_norm_as_its_mean(rng):
    kernel, x = draw(rng, 6, 4), draw(rng, 3, 6)
    encode = lambda x: jnp.tanh(x @ kernel)
    # d tanh(x W)_j / d x_i = (1 - tanh²) W_ij.
    slopes = 1 - np.square(np.tanh(x @ kernel, dtype=np.float64))
    expected = (np.square(slopes) @ np.square(kernel).sum(0)).mean()
    estimate = lambda key: reconstruction.estimated_contraction(encode, x, key)
    drawn = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(0), 4000))
    error = drawn.std() / np.sqrt(len(drawn))
    assert abs(drawn.mean() - expected) < 4 * error
    # Of one feature a sign is no draw at all.
    one = lambda x: jnp.tanh(x @ kernel[:, :1])
    found = reconstruction.estimated_contraction(one, x, jax.random.key(0))
    expected = np.square(slopes[:, 0]).mean() * np.square(kernel[:, 0]).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


class Net(nn.Module):
    """Convolutions on 8, 4 and 2 cells, the last as a product, batch norm and pools."""

    @nn.compact
    def __call__(self, x):
        layer = ConvNorm("batch", 1, "float32", True)
        for i in range(3):
            x = nn.max_pool(x, (2, 2), (2, 2)) if i else x
            x = nn.softplus(layer(x, 3, 3, name="{}" + str(i)))
        return x.reshape(len(x), -1)


def test_second_derivatives_pass_through_layers_with_rules_of_their_own(
    rng, monkeypatch
):
    """Reverse over reverse; the same network of JAX's own rules is the reference."""
    x = jnp.asarray(draw(rng, 4, 8, 8, 2))
    variables = jax.jit(Net().init)(jax.random.key(0), x)

    def gradient():
        def penalty(params):
            def encode(x):
                return Net().apply({**variables, "params": params}, x, mutable=True)[0]

            return reconstruction.estimated_contraction(encode, x, jax.random.key(1))

        return jax.jit(jax.grad(penalty))(variables["params"])

    found = gradient()
    monkeypatch.setattr("jax_ssl.nn.norm._closed", norm._with_moments)
    conv = "jax_ssl.encoders.conv.conv_general_dilated"
    monkeypatch.setattr(conv, lax.conv_general_dilated)
    expected = gradient()
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())
