"""Affine distortions and rotations, random or by a given angle."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.warp import affine_sample, affine_transform


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
    rows = ([cos + slope * sin, sin - slope * cos], [-sin, cos])
    linear = jnp.stack([jnp.stack(row) for row in rows]) / scale
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
    key: Array, image: Array, *, border: str = "zero", **ranges: Any
) -> Array:
    """Distorts an image [..., H, W, C] float by a random affine map.

    Pixels are bilinear and fade into the border. For Pillow's and torchvision's hard
    border, or another filter, hand `random_affine_matrix` to `affine_transform`.

    Args:
        key: PRNG key.
        image: frames are distorted alike.
        border: what comes in from outside, "zero" or "edge".
        **ranges: see `random_affine_matrix`.

    Raises:
        ValueError: if `border` is not "zero" or "edge".
    """
    matrix = random_affine_matrix(key, *image.shape[-3:-1], **ranges)
    return affine_sample(image, matrix, border=border)


def rotate(
    image: Array,
    degrees: float | Array,
    *,
    method: str = "bilinear",
    fill: float | Sequence[float] = 0.0,
) -> Array:
    """Turns an image [..., H, W, C] counter-clockwise about its centre.

    Pillow's `Image.rotate`. For right angles `quarter_turn` is exact and cheaper.

    Args:
        image: [..., H, W, C] in [0, 1]; frames are turned alike.
        degrees: may be traced.
        method: "nearest", "bilinear" or "bicubic".
        fill: what comes in from outside, one value or one a channel.

    Returns:
        [..., H, W, C] in [0, 1].

    Raises:
        ValueError: if `method` is not known.
    """
    angle = -jnp.deg2rad(jnp.asarray(degrees, jnp.float32))  # Ours is clockwise.
    matrix = affine_matrix(angle, jnp.zeros(2), jnp.ones(()), jnp.zeros(()))
    turned = affine_transform(image, matrix, method=method, fill=fill)
    return jnp.clip(turned, 0.0, 1.0)


def random_rotation(key: Array, image: Array, *, degrees: float, **how: Any) -> Array:
    """`rotate` by an angle that is uniform in [-degrees, degrees]; `how` as there."""
    angle = jax.random.uniform(key, (), minval=-degrees, maxval=degrees)
    return rotate(image, angle, **how)


def quarter_turn(image: Array, quarters: int | Array) -> Array:
    """Turns a square image counter-clockwise by right angles; no pixel is computed.

    RotNet (arXiv 1803.07728): interpolation would leave traces that give the
    angle away.

    Args:
        image: [..., S, S, C] of any dtype.
        quarters: whole number of right angles, may be traced.

    Returns:
        [..., S, S, C], the same values.

    Raises:
        ValueError: if the image is not square.
    """
    height, width = image.shape[-3:-1]
    if height != width:
        raise ValueError(
            f"an image of {height} x {width} pixels cannot be turned by 90 degrees in "
            "place; cut a square."
        )
    quarters = jnp.asarray(quarters) % 4
    turned = jnp.where(quarters % 2 == 1, jnp.swapaxes(image, -3, -2), image)
    upside_down = (quarters == 1) | (quarters == 2)
    turned = jnp.where(upside_down, jnp.flip(turned, -3), turned)
    return jnp.where(quarters >= 2, jnp.flip(turned, -2), turned)
