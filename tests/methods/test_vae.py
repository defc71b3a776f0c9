"""The VAE's bound beside float64, the likelihood that it bounds, and its laws."""

import functools

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.encoders.dense import DenseEncoder
from jax_ssl.methods.vae import vae
from tests.case import Case
from tests.images import one_image
from tests.methods.beginnings import begun
from tests.methods.errors import central_differences, stirred, wide
from tests.methods.test_autoencoder import Flat

CASES = {
    "vae": Case(
        "vae",
        {
            "latent_dim": 4,
            "decoder_widths": (16,),
            "likelihood": "gaussian",
            "pixel_scale": 1.0,
            "beta": 0.1,
        },
        one_image,
        # What no network can better: 192 values of a known deviation.
        least_loss=192 * 0.5 * np.log(2 * np.pi),
        learning_rate=0.002,
    ),
}
KEY = jax.random.key(5)


def tiny(likelihood="gaussian", **settings):
    """Linear in both directions, for images of 9 values and codes of 2."""
    return vae(
        DenseEncoder(widths=(3,)),
        one_image,
        {"decoder": Flat()},
        latent_dim=2,
        likelihood=likelihood,
        **settings,
    )


def loss_of(method, params, state, views, step=0, key=KEY):
    return method.loss(params, state, views, key=key, step=jnp.int32(step))


def reference(params, x, noise, likelihood, beta):
    first, head = params["encoder"]["dense0"], params["posterior"]["dense0"]
    rows = x.reshape(len(x), -1)
    features = np.maximum(rows @ first["kernel"] + first["bias"], 0)
    mean, log_variance = np.split(features @ head["kernel"] + head["bias"], 2, axis=1)
    z = mean + np.exp(log_variance / 2) * noise
    y = z @ params["decoder"]["dense"]["kernel"] + params["decoder"]["dense"]["bias"]
    if likelihood == "bernoulli":
        error = (np.logaddexp(0, y) - rows * y).sum(1)
    else:
        error = -stats.norm(y, 0.1).logpdf(rows).sum(1)
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(1)
    return (error + beta * kl).mean()


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_loss_and_gradient_are_the_references(rng, likelihood):
    method = tiny(likelihood, beta=0.7)
    views = jnp.asarray(rng.uniform(size=(5, 3, 3, 1)), jnp.float32)
    params, state = begun(method, KEY, views)
    params = stirred(params)
    loss = functools.partial(loss_of, method)
    (value, _), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        params, state, views
    )
    expected = functools.partial(
        reference,
        x=wide(views),
        noise=wide(jax.random.normal(KEY, (5, 2))),
        likelihood=likelihood,
        beta=0.7,
    )
    p = jax.tree.map(wide, params)
    assert float(value) == pytest.approx(expected(p), rel=1e-5)
    flat = lambda tree: jax.flatten_util.ravel_pytree(tree)[0]
    numeric = flat(central_differences(expected, p))
    off = np.linalg.norm(wide(flat(gradient)) - numeric)
    assert off < 1e-5 * np.linalg.norm(numeric)
    # No draw cuts the way to either half of the posterior.
    assert np.abs(gradient["posterior"]["dense0"]["bias"]).min() > 0


def test_bound_is_above_the_negative_log_likelihood(rng):
    """Of a linear decoder p(x) is normal: N(b, W Wᵀ + s² I)."""
    method = tiny(pixel_scale=0.5)
    views = jnp.asarray(rng.normal(size=(4, 3, 3, 1)), jnp.float32)
    params, state = begun(method, KEY, views)
    draws = jax.vmap(lambda key: loss_of(method, params, state, views, key=key)[0])(
        jax.random.split(KEY, 500)
    )
    decoder = params["decoder"]["dense"]
    kernel, bias = wide(decoder["kernel"]), wide(decoder["bias"])
    law = stats.multivariate_normal(bias, kernel.T @ kernel + 0.25 * np.eye(9))
    exact = -law.logpdf(wide(views).reshape(4, 9)).mean()
    bound = wide(draws)
    error = bound.std() / np.sqrt(len(bound))
    assert bound.mean() > exact - 4 * error
    # With the true posterior the bound is the likelihood, in every draw's mean.
    precision = np.eye(2) + kernel @ kernel.T / 0.25
    centred = wide(views).reshape(4, 9) - bias
    mean = centred @ kernel.T @ np.linalg.inv(precision) / 0.25
    covariance = np.linalg.inv(precision)
    error = np.square(centred - mean @ kernel).sum(1) / 0.5
    error += np.trace(kernel.T @ covariance @ kernel) / 0.5 + 9 * np.log(
        0.5 * np.sqrt(2 * np.pi)
    )
    kl = np.trace(covariance) + np.square(mean).sum(1) - 2
    kl = 0.5 * (kl - np.linalg.slogdet(covariance)[1])
    assert (error + kl).mean() == pytest.approx(exact, rel=1e-9)


def test_a_posterior_that_is_the_prior_costs_nothing(rng):
    method = tiny("bernoulli")
    views = jnp.asarray(rng.uniform(size=(4, 3, 3, 1)), jnp.float32)
    params, state = begun(method, KEY, views)
    params = {**params, "posterior": jax.tree.map(jnp.zeros_like, params["posterior"])}
    _, (_, metrics) = loss_of(method, params, state, views)
    assert metrics["kl_nats"] == 0
    assert metrics["active_latents"] == 0


def test_pixels_without_a_model_are_a_coin_each():
    method = tiny("bernoulli", beta=0.0)
    views = jnp.full((2, 3, 3, 1), 0.3)
    params, state = begun(method, KEY, views)
    params = {**params, "decoder": jax.tree.map(jnp.zeros_like, params["decoder"])}
    value, _ = loss_of(method, params, state, views)
    assert value == pytest.approx(9 * np.log(2), rel=1e-6)


def test_log_variances_are_clipped():
    method = tiny()
    views = jnp.ones((2, 3, 3, 1))
    params, state = begun(method, KEY, views)
    kernel = jnp.zeros((3, 4))
    for bias, end in ((1e4, 10.0), (-1e4, -10.0)):
        head = {"dense0": {"kernel": kernel, "bias": jnp.array([0, 0, bias, bias])}}
        _, (_, metrics) = loss_of(method, {**params, "posterior": head}, state, views)
        assert metrics["kl_nats"] == pytest.approx(np.exp(end) - end - 1, rel=1e-5)


def test_beta_is_that_of_the_step(rng):
    views = jnp.asarray(rng.uniform(size=(4, 3, 3, 1)), jnp.float32)
    method = tiny(beta=lambda step: step / 10)
    params, state = begun(method, KEY, views)
    for step in (0, 5):
        value, (_, metrics) = loss_of(method, params, state, views, step)
        assert metrics["beta"] == pytest.approx(step / 10)
        wanted = metrics["reconstruction_nats"] + step / 10 * metrics["kl_nats"]
        assert value == pytest.approx(float(wanted), rel=1e-6)


def test_pictures_and_the_mean_that_the_doctor_reads(rng):
    views = jnp.asarray(rng.uniform(size=(3, 8, 8, 3)), jnp.float32)
    method = vae(ConvNet(widths=(4, 8)), one_image, latent_dim=5, decoder_widths=(8,))
    params, state = begun(method, KEY, views)
    # The titles are no part of what is compiled.
    titles = {}

    @jax.jit
    def shown(params, state, views):
        found = method.shows(params, state, {"view": views}, KEY)
        titles.update({title: list(each.columns) for title, each in found.items()})
        mean = method.health.project(params, state, views)
        return [[x for _, x in each.columns.values()] for each in found.values()], mean

    (reconstructions, samples, between), mean = shown(params, state, views)
    assert list(titles) == ["Reconstructions", "Samples", "Interpolations"]
    for array in (*reconstructions, *samples, *between):
        assert array.shape == views.shape
        assert 0 <= np.min(array) <= np.max(array) <= 1
    # A line begins and ends at the reconstructions of its two images.
    np.testing.assert_allclose(between[1], reconstructions[1], atol=1e-5)
    ends = np.roll(reconstructions[1], -1, axis=0)
    np.testing.assert_allclose(between[-1], ends, atol=1e-5)
    assert mean.shape == (3, 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent_dim": 0}, "latent_dim = 0 must be at least 1"),
        ({"beta": -1.0}, "beta = -1.0 must be at least 0"),
        ({"pixel_scale": 0.0}, "pixel_scale = 0.0 must be positive"),
        ({"heads": {"code": nn.Dense(2)}}, "no 'code'; its heads are posterior, deco"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        vae(ConvNet(widths=(4,)), one_image, **settings)
