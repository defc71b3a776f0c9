"""Mirror images."""

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array


def mirror(image: Array, flag: bool | Array = True) -> Array:
    """Exchanges left and right of [H, W, C] where `flag` is true."""
    return jnp.where(flag, image[:, ::-1], image)


def random_mirror(key: Array, image: Array, *, probability: float = 0.5) -> Array:
    """Exchanges left and right of [H, W, C] with the given probability."""
    return mirror(image, jax.random.bernoulli(key, probability))
