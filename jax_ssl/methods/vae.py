"""Variational autoencoder, VAE (Kingma & Welling, 2014, arXiv:1312.6114).

An encoder says which codes an image may have, a normal distribution; a decoder says
which images a code may have. Together they bound the likelihood of the data.

Views: [B, H, W, C] float.
"""

from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core import checks
from jax_ssl.core.method import Health, Method, Shown, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree
from jax_ssl.losses.reconstruction import bernoulli_nll, gaussian_kl, gaussian_nll
from jax_ssl.nn.apply import along_rows, forward, initialize
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState
from jax_ssl.nn.upsampling import Upsampling, image_decoder
from jax_ssl.nn.views import image

LOG_VARIANCES = (-10.0, 10.0)
ACTIVE = 0.01  # Variance of a latent's mean from which on it tells images apart.
SHOWN = 8  # Columns of samples and of interpolations.


def vae(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    latent_dim: int = 128,
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
    pixel_scale: float = 0.1,
    beta: optax.Schedule | float = 1.0,
    decoder_widths: tuple[int, ...] = (256, 128, 64),
    upsampling: Upsampling = "nearest",
) -> Method:
    """Builds a VAE around `encoder`; the sizes are this library's choice.

    The loss is the negative evidence lower bound in nats an image: the error is summed
    over pixels, as the divergence is summed over latents.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the rest.
        views: one example -> one image, in [0, 1] for the Bernoulli likelihood.
        heads: modules in the place of those made here, by the name of their part:
            "posterior", which gives means and log variances side by side, and
            "decoder".
        latent_dim: width of the code.
        likelihood: of the pixels given a code: "bernoulli" or "gaussian".
        pixel_scale: the standard deviation of the latter.
        beta: weight of the divergence (Higgins et al., 2017); a schedule from 0 keeps
            the code from being given up before the decoder can read it.
        decoder_widths: channels of its grids, the coarsest first; each doubles.
        upsampling: "nearest" and a convolution, or "transposed", DCGAN's.

    Raises:
        ValueError: if a setting is out of range.
    """
    checks.at_least(1, latent_dim=latent_dim, decoder_widths=decoder_widths)
    checks.not_empty(decoder_widths=decoder_widths)
    checks.positive(pixel_scale=pixel_scale)
    checks.at_least(0, beta=beta)
    posterior = mlp_after(encoder, (2 * latent_dim,), norm="none")

    def network(shape: tuple[int, ...]) -> Network:
        decoder = image_decoder(encoder, shape, decoder_widths, upsampling)
        return Network.of(encoder, heads, posterior=posterior, decoder=decoder)

    def encoded(
        params: Params, stats: PyTree, images: Array, train: bool = True
    ) -> tuple[Array, Array, PyTree]:
        net = network(images.shape[1:])
        own = net.copy(params, stats, until="posterior")
        out, moved = net(own.params, own.stats, images, train=train)
        mean, log_variance = jnp.split(out["posterior"].astype(jnp.float32), 2, axis=-1)
        return mean, jnp.clip(log_variance, *LOG_VARIANCES), moved

    def decoded(
        params: Params, stats: PyTree, z: Array, shape: tuple[int, ...], train: bool
    ) -> tuple[Array, PyTree]:
        decoder = network(shape).parts["decoder"]
        own = params["decoder"], stats["decoder"]
        return forward(decoder, *own, z, train=train, whole=True)

    def init(key: Array, views: Array) -> tuple[Params, StatsState]:
        encoder_key, decoder_key = jax.random.split(key)
        net = network(image(views).shape[1:])
        decoder = net.parts["decoder"]
        first = Network(encoder=encoder, posterior=net.parts["posterior"])
        params, stats = first.init(encoder_key, views)
        z = jnp.zeros((1, latent_dim))
        params["decoder"], stats["decoder"] = initialize(decoder, decoder_key, z)
        return params, StatsState(stats)

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        mean, log_variance, stats = encoded(params, state.stats, views)
        noise = jax.random.normal(key, mean.shape)
        z = mean + jnp.exp(log_variance / 2) * noise
        shown, moved = decoded(params, state.stats, z, views.shape[1:], True)
        if likelihood == "bernoulli":
            error = bernoulli_nll(shown, views).mean()
        else:
            error = gaussian_nll(shown, views, pixel_scale).mean()
        kl = gaussian_kl(mean, log_variance).mean()
        weight = at(beta, step)
        metrics = {
            "reconstruction_nats": error,
            "kl_nats": kl,
            "beta": weight,
            "active_latents": (mean.var(axis=0) > ACTIVE).mean(dtype=jnp.float32),
        }
        after = StatsState({**state.stats, **stats, "decoder": moved})
        return error + weight * kl, (after, jax.lax.stop_gradient(metrics))

    def project(params: Params, state: StatsState, x: Array) -> Array:
        return encoded(params, state.stats, x, train=False)[0]

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        images = examples["view"]
        rows, shape = len(images), images.shape[1:]

        def pictures(z: Array) -> Array:
            flat = along_rows(z.reshape(-1, latent_dim))
            shown, _ = decoded(params, state.stats, flat, shape, False)
            shown = nn.sigmoid(shown) if likelihood == "bernoulli" else shown
            return shown.reshape(*z.shape[:-1], *shape)

        def columns(values: Array) -> dict[str, tuple[str, Array]]:
            return {str(i + 1): ("view", x) for i, x in enumerate(values)}

        mean, _, _ = encoded(params, state.stats, images, train=False)
        ways = jnp.linspace(0, 1, SHOWN)[:, None, None]
        between = pictures((1 - ways) * mean + ways * jnp.roll(mean, -1, axis=0))
        drawn = pictures(jax.random.normal(key, (SHOWN, rows, latent_dim)))
        ends = "Codes on the line from the mean of one image to that of the next."
        return {
            "Reconstructions": Shown(
                {"original": ("view", images), "of the mean": ("view", pictures(mean))}
            ),
            "Samples": Shown(columns(drawn), "Codes drawn from the prior, N(0, 1)."),
            "Interpolations": Shown(
                {"from": ("view", images), **columns(between)}, ends
            ),
        }

    kept = Network.of(encoder, None, posterior=posterior).evaluated()
    kept["health"] = Health(project)
    network((8, 8, 3))  # Refuses unknown heads before anything is traced.
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)
