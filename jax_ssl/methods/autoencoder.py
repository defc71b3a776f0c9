"""Autoencoders: plain, denoising, contractive (Rifai et al., 2011, arXiv:1104.4153).

An encoder's features are mapped back to the image they were made of. A denoising one
(Vincent et al., 2010, JMLR 11) sees a corrupted image and is asked for the clean one; a
contractive one pays for every direction of the input in which its features move.

Views: [B, H, W, C] float.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.augment.noise import gaussian_noise, masking_noise, salt_and_pepper
from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree
from jax_ssl.encoders.dense import DenseEncoder
from jax_ssl.losses.reconstruction import (
    bernoulli_nll,
    estimated_contraction,
    sigmoid_contraction,
    squared_error,
)
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network, StatsState
from jax_ssl.nn.upsampling import Upsampling, image_decoder
from jax_ssl.nn.views import image

Corruption = Literal["none", "gaussian", "masking", "salt_and_pepper"]


def autoencoder(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    code_dim: int | None = None,
    decoder_widths: tuple[int, ...] = (256, 128, 64),
    upsampling: Upsampling = "nearest",
    objective: Literal["squared_error", "cross_entropy"] = "squared_error",
    corruption: Corruption = "none",
    corruption_amount: float = 0.25,
    contraction_weight: float = 0.0,
    jacobian: Literal["estimated", "exact"] = "estimated",
) -> Method:
    """Builds an autoencoder around `encoder`; the sizes are this library's choice.

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the rest.
        views: one example -> one image, which no noise should have been added to. What
            is in [0, 1] suits "cross_entropy" and "salt_and_pepper".
        heads: modules in the place of those made here, by the name of their part:
            "code" and "decoder".
        code_dim: width of a linear layer between the pooled features and the decoder,
            or None for none.
        decoder_widths: channels of its grids, the coarsest first; each doubles.
        upsampling: "nearest" and a convolution, or "transposed", DCGAN's.
        objective: the mean of (x - y)² over all values, or of the cross-entropy between
            x in [0, 1] and sigmoid(y).
        corruption: of what the encoder sees: "gaussian" noise, "masking" of pixels by
            0, or "salt_and_pepper", 0 or 1. The target is the clean image.
        corruption_amount: standard deviation of the noise, or share of the pixels.
        contraction_weight: λ of the squared Frobenius norm of the code's derivative
            with respect to the image, a mean over images.
        jacobian: "estimated" by one random vector a step (Hutchinson), for any network;
            "exact" for one sigmoid layer, the network of the contractive paper.

    Raises:
        ValueError: if a setting is out of range, or the norm cannot be exact.
    """
    checks.at_least(0, corruption_amount=corruption_amount)
    if corruption in ("masking", "salt_and_pepper"):
        checks.within("[0, 1]", corruption_amount=corruption_amount)
    checks.at_least(0, contraction_weight=contraction_weight)
    checks.at_least(1, code_dim=code_dim, decoder_widths=decoder_widths)
    checks.not_empty(decoder_widths=decoder_widths)
    exact = jacobian == "exact"
    if exact and not (_one_sigmoid_layer(encoder) and code_dim is None):
        raise ValueError(
            "jacobian = 'exact' knows the derivative of one sigmoid layer alone; choose"
            " config.encoder = dict(name='dense', widths=(512,), activation='sigmoid') "
            "without code_dim, or config.method.jacobian = 'estimated'."
        )
    parts: dict[str, nn.Module] = {}
    if code_dim is not None:
        parts["code"] = mlp_after(encoder, (code_dim,), norm="none")
    coded = "code" if parts else "encoder"

    def network(shape: tuple[int, ...]) -> Network:
        decoder = image_decoder(encoder, shape, decoder_widths, upsampling)
        return Network.of(encoder, heads, **parts, decoder=decoder)

    def encode(params: Params, stats: PyTree, images: Array) -> Array:
        net = network(images.shape[1:])
        kept = {name: params[name] for name in params if name != "decoder"}
        out, _ = net(kept, stats, images)
        return out[coded].pooled if coded == "encoder" else out[coded]

    def init(key: Array, views: Array) -> tuple[Params, StatsState]:
        params, stats = network(image(views).shape[1:]).init(key, views)
        return params, StatsState(stats)

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del step
        noise_key, sign_key = jax.random.split(key)
        seen = corrupted(noise_key, views, corruption, corruption_amount)
        out, stats = network(views.shape[1:])(params, state.stats, seen)
        shown = out["decoder"]
        values = views[0].size
        error = squared_error(shown, views).mean() / values
        value = error
        if objective == "cross_entropy":
            value = bernoulli_nll(shown, views).mean() / values
            error = squared_error(nn.sigmoid(shown), views).mean() / values
        spread = jnp.maximum(views.var(axis=0).mean(), 1e-12)
        metrics = {
            "squared_error": error,
            # 0 for the mean image, the best that no code can tell; 1 for a copy.
            "explained_variance": 1 - error / spread,
        }
        if contraction_weight:
            if exact:
                kernel = params["encoder"]["dense0"]["kernel"]
                norm = sigmoid_contraction(out["encoder"].pooled, kernel).mean()
            else:
                own = partial(encode, params, state.stats)
                norm = estimated_contraction(own, seen, sign_key)
            value = value + contraction_weight * norm
            metrics["contraction"] = norm
        return value, (StatsState(stats), jax.lax.stop_gradient(metrics))

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        clean = examples["view"]
        seen = corrupted(key, clean, corruption, corruption_amount)
        net = network(clean.shape[1:])
        made = net(params, state.stats, seen, train=False)[0]["decoder"]
        made = nn.sigmoid(made) if objective == "cross_entropy" else made
        columns = {"clean": ("view", clean)}
        if corruption != "none":
            columns["corrupted"] = "view", seen
        columns["reconstruction"] = "view", made
        return {"Reconstructions": Shown(columns)}

    kept = Network.of(encoder, None, **parts).evaluated("code" if parts else None)
    network((8, 8, 3))  # Refuses unknown heads before anything is traced.
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)


def corrupted(key: Array, images: Array, kind: Corruption, amount: float) -> Array:
    """Images [B, H, W, C] with noise; where the amount is 0, the images themselves."""
    makers: dict[str, Callable[..., Array]] = {
        "gaussian": partial(gaussian_noise, std=amount),
        "masking": partial(masking_noise, share=amount),
        "salt_and_pepper": partial(salt_and_pepper, share=amount),
    }
    return makers[kind](key, images) if kind in makers else images


def _one_sigmoid_layer(encoder: nn.Module) -> bool:
    one = isinstance(encoder, DenseEncoder) and len(encoder.widths) == 1
    return one and encoder.activation == "sigmoid"
