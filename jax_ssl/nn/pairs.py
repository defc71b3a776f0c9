"""Two frames of each example as rows next to each other, for networks of both ways.

What reads a frame and its partner sees [2 B, ...] rows: row 2 i is the first frame of
example i, and row 2 i + 1 the second. Each row's flow leads to its partner.
"""

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array


def flat(pairs: Array) -> Array:
    """Pairs [B, 2, ...] as rows [2 B, ...], each next to its partner."""
    return pairs.reshape(-1, *pairs.shape[2:])


def exchanged(rows: Array) -> Array:
    """Rows [2 B, ...] in whose places their partners stand."""
    return flat(rows.reshape(-1, 2, *rows.shape[1:])[:, ::-1])


def coarser(images: Array, pixels: int) -> Array:
    """Images [N, H, W, C] whose pixels are means of `pixels` x `pixels`, float32."""
    images = images.astype(jnp.float32)
    return images if pixels == 1 else nn.avg_pool(images, (pixels,) * 2, (pixels,) * 2)


def known(flow: Array) -> Array:
    """Flow [N, H, W, 2] as the field [N, H, W, 3] of a source, known everywhere."""
    return jnp.concatenate([flow, jnp.ones_like(flow[..., :1])], axis=-1)
