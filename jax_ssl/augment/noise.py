"""Corruptions of images by noise. Every pixel of every frame has its own."""

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array


def gaussian_noise(key: Array, image: Array, *, std: float | Array) -> Array:
    """Adds independent normal noise to every value; the result is not clipped."""
    return image + std * jax.random.normal(key, image.shape, image.dtype)


def masking_noise(key: Array, image: Array, *, share: float) -> Array:
    """Sets pixels to 0, all channels together, each with the probability `share`.

    Denoising autoencoders (Vincent et al. 2010, JMLR 11).

    Args:
        key: PRNG key.
        image: [..., H, W, C].
        share: expected share of lost pixels, in [0, 1].
    """
    kept = jax.random.uniform(key, image.shape[:-1]) >= share
    return jnp.where(kept[..., None], image, 0.0)


def salt_and_pepper(key: Array, image: Array, *, share: float) -> Array:
    """Sets pixels to 0 or 1, by a fair coin, each with the probability `share`.

    Denoising autoencoders (Vincent et al. 2010, JMLR 11).

    Args:
        key: PRNG key.
        image: [..., H, W, C] in [0, 1].
        share: expected share of lost pixels, in [0, 1].
    """
    uniform = jax.random.uniform(key, image.shape[:-1])[..., None]
    extreme = jnp.where(uniform < 0.5 * share, 0.0, 1.0)
    return jnp.where(uniform < share, extreme, image)
