"""What one camera sees, put together from the pixels of another."""

import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.cameras import backproject, project
from jax_ssl.ops.warp import Warped, warp

# Where nothing moves, the pixels of the border come back to themselves but for this.
_ROUNDING = 1e-3


def inverse_warp(
    images: Array, depth: Array, intrinsics: Array, motion: Array, border: str = "edge"
) -> Warped:
    """The target's picture as its sources show it, given depth and motion.

    Each pixel of the target is a point in space, and is looked up where a source sees
    that point.

    Args:
        images: [..., S, H, W, C], of the sources.
        depth: [..., h, w] of the target, positive.
        intrinsics: [..., 3, 3] of all of them, in pixels.
        motion: [..., S, 3, 4] from the target's coordinates to each source's, in the
            unit of the depth.
        border: as of `warp`.

    Returns:
        Values [..., S, h, w, C], and inside [..., S, h, w]: whether a source shows the
        point, that is, it lies in front of it and in its picture.
    """
    k = intrinsics[..., None, :, :]
    points = backproject(depth[..., None, :, :], k)
    seen = project(points, k, motion)
    height, width = images.shape[-3:-1]
    nearest = jnp.clip(seen.pixels, 0, jnp.array([width - 1, height - 1]))
    inside = (jnp.abs(seen.pixels - nearest) < _ROUNDING).all(axis=-1)
    return Warped(warp(images, seen.pixels, border).values, inside & (seen.depth > 0))
