"""Random affine distortions of small images such as digits."""

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.warp import affine_sample


def affine_matrix(angle: Array, shift: Array, scale: Array, shear: Array) -> Array:
    """The map from output to input pixels of a distortion about the image's centre.

    Content is sheared along x, rotated, scaled and then moved; the matrix is the
    inverse of that, so that it says where each output pixel is read.

    Args:
        angle: [] radians; positive turns content from x to y, clockwise on a screen.
        shift: [2] (x, y) in pixels, right and down.
        scale: [] factor, above 1 enlarges.
        shear: [] radians; rows move right by tan(shear) per pixel downwards.

    Returns:
        [2, 3].
    """
    cos, sin, slope = jnp.cos(angle), jnp.sin(angle), jnp.tan(shear)
    # (R(angle) K(slope) · scale)⁻¹ = K(-slope) R(-angle) / scale
    linear = jnp.stack(
        [
            jnp.stack([cos + slope * sin, sin - slope * cos]),
            jnp.stack([-sin, cos]),
        ]
    )
    linear = linear / scale
    moved = linear[:, 0] * shift[0] + linear[:, 1] * shift[1]
    return jnp.concatenate([linear, -moved[:, None]], axis=1)


def random_affine_matrix(
    key: Array,
    height: int,
    width: int,
    *,
    degrees: float = 0.0,
    translate: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
) -> Array:
    """Draws an affine map; every parameter is uniform.

    Args:
        key: PRNG key.
        height: of the image.
        width: of the image.
        degrees: rotation in [-degrees, degrees].
        translate: shift in [-translate, translate] as a share of the side, per axis.
        scale: smallest and largest factor.
        shear: angle in [-shear, shear] degrees.

    Returns:
        [2, 3], see `affine_matrix`.
    """
    uniform = jax.random.uniform(key, (5,))
    signed = 2.0 * uniform - 1.0
    side = jnp.array([width, height], jnp.float32)
    return affine_matrix(
        jnp.deg2rad(degrees * signed[0]),
        translate * side * signed[1:3],
        scale[0] + (scale[1] - scale[0]) * uniform[3],
        jnp.deg2rad(shear * signed[4]),
    )


def random_affine(
    key: Array,
    image: Array,
    *,
    degrees: float = 0.0,
    translate: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    border: str = "zero",
) -> Array:
    """Distorts an image [H, W, C] float by a random affine map; see the above.

    Raises:
        ValueError: if `border` is not "zero" or "edge".
    """
    matrix = random_affine_matrix(
        key,
        image.shape[0],
        image.shape[1],
        degrees=degrees,
        translate=translate,
        scale=scale,
        shear=shear,
    )
    return affine_sample(image, matrix, border=border)
