"""Random treatment of single channels, against shortcuts by chromatic aberration."""

import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array


def drop_channels(
    key: Array,
    image: Array,
    *,
    keep: int = 1,
    fill: float = 0.0,
    noise: float = 0.0,
) -> Array:
    """Keeps some channels of an image and replaces the others.

    Relative patches (Doersch et al., arXiv 1505.05192): two of the three
    colours are dropped, which channel remains is random, and noise takes their place.

    Args:
        key: PRNG key.
        image: [..., C]; all pixels and frames keep the same channels.
        keep: how many remain, every choice as likely.
        fill: what the others become.
        noise: half the width of uniform noise added there, drawn for every value.

    Returns:
        [..., C].

    Raises:
        ValueError: if `keep` is not in 1..C.
    """
    channels = image.shape[-1]
    checks.within(f"[1, {channels}]", keep=keep)
    choice_key, noise_key = jax.random.split(key)
    draw = jax.random.uniform(choice_key, (channels,))
    rank = jnp.argsort(jnp.argsort(draw))
    kept = rank < keep
    other: float | Array = fill
    if noise > 0:
        other = fill + jax.random.uniform(
            noise_key, image.shape, minval=-noise, maxval=noise
        )
    return jnp.where(kept, image, other)


def jitter_channels(key: Array, image: Array, *, pixels: int = 2) -> Array:
    """Moves every channel by a whole number of pixels of its own, and cuts the rim off.

    Jigsaw (Noroozi and Favaro, arXiv 1603.09246), on chromatic aberration:
    up to 2 pixels.

    Args:
        key: PRNG key.
        image: [..., H, W, C]; all frames share the shifts.
        pixels: shifts are uniform in the whole numbers -pixels to pixels, along x and
            along y.

    Returns:
        [..., H - 2 pixels, W - 2 pixels, C], for nothing is known beyond the border.

    Raises:
        ValueError: if nothing of the image would remain.
    """
    height, width = (side - 2 * pixels for side in image.shape[-3:-1])
    if min(height, width) < 1:
        raise ValueError(
            f"shifts of {pixels} pixels leave nothing of {image.shape[-3:-1]} pixels."
        )
    shifts = jax.random.randint(key, (2, image.shape[-1]), 0, 2 * pixels + 1)

    def moved(x: Array, shift: Array, axis: int, length: int) -> Array:
        # A choice among the few places rather than a slice, which vmap makes a gather.
        out = jax.lax.slice_in_dim(x, 0, length, axis=axis)
        for start in range(1, 2 * pixels + 1):
            here = jax.lax.slice_in_dim(x, start, start + length, axis=axis)
            out = jnp.where(shift == start, here, out)
        return out

    rows = moved(image, shifts[0], image.ndim - 3, height)
    return moved(rows, shifts[1], image.ndim - 2, width)
