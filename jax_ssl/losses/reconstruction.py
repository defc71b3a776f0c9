"""Losses of autoencoders: errors of pixels, and penalties on the code."""

import math
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core.types import Array


def squared_error(prediction: Array, target: Array) -> Array:
    """Squared errors summed over each image, [B] float32.

    Args:
        prediction: [B, ...].
        target: [B, ...].
    """
    chex.assert_equal_shape([prediction, target])
    error = prediction.astype(jnp.float32) - target.astype(jnp.float32)
    return _summed(jnp.square(error))


def bernoulli_nll(logits: Array, target: Array) -> Array:
    """-Σ x log p + (1 - x) log(1 - p) of each image, p = sigmoid(logits), [B] float32.

    Args:
        logits: [B, ...].
        target: [B, ...] in [0, 1].
    """
    chex.assert_equal_shape([logits, target])
    logits, target = logits.astype(jnp.float32), target.astype(jnp.float32)
    return _summed(optax.sigmoid_binary_cross_entropy(logits, target))


def gaussian_nll(mean: Array, target: Array, scale: float) -> Array:
    """-log N(x; mean, scale² I) of each image, [B] float32.

    Args:
        mean: [B, ...].
        target: [B, ...].
        scale: standard deviation of every value, positive.
    """
    constant = target[0].size * math.log(scale * math.sqrt(2 * math.pi))
    return squared_error(mean, target) / (2 * scale**2) + constant


def gaussian_kl(mean: Array, log_variance: Array) -> Array:
    """KL(N(μ, σ²) ‖ N(0, 1)) summed over the latents, [B] float32.

    Kingma & Welling (2014, arXiv:1312.6114): ½ Σ μ² + σ² - log σ² - 1.

    Args:
        mean: μ, [B, D].
        log_variance: log σ², [B, D].
    """
    chex.assert_equal_shape([mean, log_variance])
    # exp(v) - 1 in one go: both are nearly 0 where the posterior is the prior.
    terms = jnp.square(mean) + jnp.expm1(log_variance) - log_variance
    return 0.5 * terms.sum(axis=-1)


def sigmoid_contraction(code: Array, kernel: Array) -> Array:
    """‖∂h/∂x‖² of one sigmoid layer h = σ(x W + b), [B] float32.

    Rifai et al. (2011, ICML): Σ_j (h_j (1 - h_j))² Σ_i W_ij².

    Args:
        code: h, [B, D].
        kernel: W, [inputs, D].
    """
    slopes = jnp.square(code * (1 - code))
    return slopes @ jnp.square(kernel).sum(axis=0)


def estimated_contraction(
    encode: Callable[[Array], Array], images: Array, key: Array
) -> Array:
    """Hutchinson's estimate of ‖∂h/∂x‖² a row, [] float32.

    ‖vᵀ J‖² of one random v, signs that are each as likely; its mean is the norm itself.
    Where batch norm makes the code of a row depend on others, J is the whole batch's.

    Args:
        encode: images [B, ...] -> code [B, D].
        images: where.
        key: [] of the draw of v.
    """
    code, pull = jax.vjp(encode, images)
    signs = jax.random.rademacher(key, code.shape, code.dtype)
    (along,) = pull(signs)
    return _summed(jnp.square(along.astype(jnp.float32))).mean()


def _summed(values: Array) -> Array:
    return values.reshape(values.shape[0], -1).sum(axis=1)


def region_error(
    prediction: Array, target: Array, region: Array, weight: Array
) -> Array:
    """Weighted squared error of a region, a mean over its values, [] float32.

    Context encoders (Pathak et al., 2016, arXiv:1604.07379). What is
    predicted outside of the region has no part in it and no gradient. The weights do
    not enter the divisor, as in the released code.

    Args:
        prediction: [B, H, W, C].
        target: [B, H, W, C].
        region: [B, H, W] bool, at least one pixel.
        weight: [B, H, W].
    """
    chex.assert_equal_shape([prediction, target])
    chex.assert_equal_shape([region, weight])
    error = prediction.astype(jnp.float32) - target.astype(jnp.float32)
    error = jnp.square(error).mean(axis=-1) * weight
    return jnp.where(region, error, 0.0).sum() / region.sum()
