"""Pinhole cameras: pixels, points in space, rigid motions, and disparity.

A camera looks along z, with x to the right and y down; points and translations are in
metres, or in any unit that both share. A pixel is (x, y) = (column, row), and the
centre of the first one is (0, 0). Intrinsics [3, 3] lead from a camera's coordinates to
pixels and are ((f_x, s, c_x), (0, f_y, c_y), (0, 0, 1)); a motion [3, 4] is (R | t) and
takes a point p to R p + t. Axes that lead, such as the batch, are shared by all
arguments or broadcast.

Everything at pixels is a sum of products and no matrix product, so that it has full
float32 on every device.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array
from jax_ssl.ops.warp import pixel_grid

# Points nearer than this are projected as if they were so far away.
MIN_DEPTH = 1e-3
_SMALL = 0.25  # Squares of angles below which series are more exact than quotients.


class Projected(NamedTuple):
    """Where points appear in a camera.

    Attributes:
        pixels: [..., H, W, 2] (x, y).
        depth: [..., H, W], z of the points in that camera, negative behind it.
    """

    pixels: Array
    depth: Array


def backproject(depth: Array, intrinsics: Array) -> Array:
    """The points that are seen at the pixels of a picture.

    Args:
        depth: [..., H, W], z of the point at each pixel.
        intrinsics: [..., 3, 3] of the picture.

    Returns:
        [..., H, W, 3] in the camera's coordinates.
    """
    grid = pixel_grid(*depth.shape[-2:])
    k = intrinsics[..., None, None, :, :]
    y = (grid[..., 1] - k[..., 1, 2]) / k[..., 1, 1]
    x = (grid[..., 0] - k[..., 0, 2] - k[..., 0, 1] * y) / k[..., 0, 0]
    return jnp.stack([x * depth, y * depth, jnp.broadcast_to(depth, x.shape)], axis=-1)


def project(points: Array, intrinsics: Array, motion: Array | None = None) -> Projected:
    """The pixels at which points are seen.

    A point with a depth below `MIN_DEPTH` is divided by `MIN_DEPTH` instead, so that
    pixels and gradients are finite; it moves no pixel by its depth. Where `depth` is
    not positive the point is not seen, even if its pixel lies in the picture.

    Args:
        points: [..., H, W, 3].
        intrinsics: [..., 3, 3] of the picture.
        motion: [..., 3, 4] from the points' coordinates to the camera's; None if they
            are the same.
    """
    if motion is not None:
        points = transform(points, motion)
    x, y, depth = points[..., 0], points[..., 1], points[..., 2]
    z = jnp.maximum(depth, MIN_DEPTH)
    k = intrinsics[..., None, None, :, :]
    u = (k[..., 0, 0] * x + k[..., 0, 1] * y) / z + k[..., 0, 2]
    v = k[..., 1, 1] * y / z + k[..., 1, 2]
    return Projected(jnp.stack([u, v], axis=-1), depth)


def transform(points: Array, motion: Array) -> Array:
    """R p + t of points [..., H, W, 3] by motions [..., 3, 4]; like `points`."""
    m = motion[..., None, None, :, :]
    turned = sum(m[..., j] * points[..., j, None] for j in range(3))
    return turned + m[..., 3]


def rigid_flow(depth: Array, intrinsics: Array, motion: Array) -> Array:
    """The flow of a scene at rest as the camera moves, [..., H, W, 2] in pixels.

    Args:
        depth: [..., H, W] of the first picture.
        intrinsics: [..., 3, 3] of both.
        motion: [..., 3, 4] from the first camera's coordinates to the second's.
    """
    pixels = project(backproject(depth, intrinsics), intrinsics, motion).pixels
    return pixels - pixel_grid(*depth.shape[-2:])


def rotation_exp(axis_angle: Array) -> Array:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3] in radians."""
    sine, versine, _ = _coefficients(axis_angle)
    w = _cross(axis_angle)
    return jnp.eye(3) + sine * w + versine * einsum("...ij,...jk->...ik", w, w)


def se3_exp(twist: Array) -> Array:
    """Exponential map of SE(3); that of -x is the inverse motion.

    Gradients are finite everywhere, also at zero.

    Args:
        twist: [..., 6], three of translation and then an axis-angle in radians.

    Returns:
        Motions [..., 3, 4].
    """
    axis_angle = twist[..., 3:]
    _, versine, rest = _coefficients(axis_angle)
    w = _cross(axis_angle)
    v = jnp.eye(3) + versine * w + rest * einsum("...ij,...jk->...ik", w, w)
    translation = einsum("...ij,...j->...i", v, twist[..., :3])
    return motion_of(rotation_exp(axis_angle), translation)


def _coefficients(axis_angle: Array) -> tuple[Array, Array, Array]:
    """sin(a) / a, (1 - cos(a)) / a² and (a - sin(a)) / a³, each [..., 1, 1]."""
    square = jnp.square(axis_angle).sum(axis=-1)[..., None, None]
    small = square < _SMALL
    # Each branch gets arguments that suit it, or its gradient would not be finite.
    s = jnp.where(small, square, 0.0)
    a = jnp.sqrt(jnp.where(small, 1.0, square))
    sine = 1 - s / 6 * (1 - s / 20 * (1 - s / 42))
    versine = (1 - s / 12 * (1 - s / 30 * (1 - s / 56))) / 2
    rest = (1 - s / 20 * (1 - s / 42 * (1 - s / 72))) / 6
    return (
        jnp.where(small, sine, jnp.sin(a) / a),
        jnp.where(small, versine, 2 * jnp.square(jnp.sin(a / 2) / a)),
        jnp.where(small, rest, (a - jnp.sin(a)) / a**3),
    )


def _cross(v: Array) -> Array:
    """The matrix [..., 3, 3] that takes a vector to its cross product with v."""
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    o = jnp.zeros_like(x)
    entries = jnp.stack([o, -z, y, z, o, -x, -y, x, o], axis=-1)
    return entries.reshape(*v.shape[:-1], 3, 3)


def euler_motion(vector: Array) -> Array:
    """The motion of three of translation and the angles r_x, r_y, r_z: R = Rx Ry Rz.

    Args:
        vector: [..., 6], angles in radians.

    Returns:
        Motions [..., 3, 4].
    """
    turns = [rotation_exp(vector[..., 3 + i, None] * jnp.eye(3)[i]) for i in range(3)]
    rotation = einsum("...ij,...jk,...kl->...il", *turns)
    return motion_of(rotation, vector[..., :3])


def motion_of(rotation: Array, translation: Array) -> Array:
    """(R | t) [..., 3, 4] of rotations [..., 3, 3] and translations [..., 3]."""
    return jnp.concatenate([rotation, translation[..., None]], axis=-1)


def inverse(motion: Array) -> Array:
    """The motion [..., 3, 4] back: (Rᵀ | -Rᵀ t)."""
    back = jnp.swapaxes(motion[..., :3], -1, -2)
    return motion_of(back, -einsum("...ij,...j->...i", back, motion[..., 3]))


def compose(after: Array, before: Array) -> Array:
    """The motion [..., 3, 4] that does `before` and then `after`."""
    moved = einsum("...ij,...jk->...ik", after[..., :3], before)
    return moved.at[..., 3].add(after[..., 3])


def resized_intrinsics(
    intrinsics: Array, scale_x: float | Array, scale_y: float | Array
) -> Array:
    """The matrix of a camera whose picture is resized.

    Args:
        intrinsics: [..., 3, 3], or [..., 3, 4] of a camera.
        scale_x: new width / old width; a number or [...].
        scale_y: new height / old height.

    Returns:
        Array like `intrinsics`. Pixel centres are whole numbers before and after, so
        that c_x becomes (c_x + 1/2) scale_x - 1/2.
    """
    scale_x, scale_y = (jnp.asarray(s)[..., None] for s in (scale_x, scale_y))
    first, second, third = (intrinsics[..., i, :] for i in range(3))
    first = first * scale_x + (scale_x - 1) / 2 * third
    second = second * scale_y + (scale_y - 1) / 2 * third
    return jnp.stack([first, second, third], axis=-2)


def intrinsics_of(camera: Array) -> Array:
    """The intrinsics K [..., 3, 3] of a rectified camera K (I | t) [..., 3, 4]."""
    return camera[..., :3]


def baseline_of(left_camera: Array, right_camera: Array) -> Array:
    """How far two rectified cameras stand apart, [...] in metres, positive.

    Args:
        left_camera: [..., 3, 4], K (I | t) from common coordinates to its pixels.
        right_camera: [..., 3, 4], from the same coordinates.
    """

    def shift(camera: Array) -> Array:
        x, y, z = camera[..., 0, 3], camera[..., 1, 3], camera[..., 2, 3]
        y = (y - camera[..., 1, 2] * z) / camera[..., 1, 1]
        x = x - camera[..., 0, 1] * y - camera[..., 0, 2] * z
        return x / camera[..., 0, 0]

    return shift(left_camera) - shift(right_camera)


def depth_of_disparity(
    disparity: Array, focal: float | Array, baseline: float | Array
) -> Array:
    """Depth f b / d of two rectified cameras, [..., H, W] in metres.

    Args:
        disparity: [..., H, W] in pixels; where it is not positive the depth is 0,
            which means unknown.
        focal: f_x in the same pixels, a number or [...].
        baseline: in metres, a number or [...].
    """
    scale = jnp.asarray(focal * baseline)[..., None, None]
    known = disparity > 0
    return jnp.where(known, scale / jnp.where(known, disparity, 1.0), 0.0)


def disparity_of_depth(
    depth: Array, focal: float | Array, baseline: float | Array
) -> Array:
    """Disparity f b / z in pixels, the inverse of `depth_of_disparity`."""
    return depth_of_disparity(depth, focal, baseline)
