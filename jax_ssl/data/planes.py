"""Textured planes seen by pinhole cameras: each is a homography, so rays are exact.

A plane's point at (a, b) along two axes of it is seen at the pixel (x, y) where
(a w, b w, w) = M (x, y, 1), w being 1 / depth, for one matrix M [3, 3] of the plane and
the camera. What a pixel sees is therefore found without approximation, and also at
places between pixels.
"""

from typing import NamedTuple

import numpy as np

from jax_ssl.data.textures import Textures, painted

# The level of a texture whose texels are as large as a pixel, and a bit coarser, so
# that a picture can be read between its pixels.
_SOFTNESS = 0.5


class Planes(NamedTuple):
    """Rectangles in space, each of one object; n of them.

    Attributes:
        frames: [n, 3, 4] float64, from (a, b, c) in metres, c along the normal that
            points to the side that is seen, to the coordinates of the object.
        extents: [n, 2] half the sides along a and b in metres, infinite for a plane.
        objects: [n] int, of which object, 0 being the scene itself.
        paints: [n] int, numbers of textures.
        texels: [n, 2, 3] from (a, b, 1) to places on the texture.
        tints: [n, 3] float32 factors of the colours.
    """

    frames: np.ndarray
    extents: np.ndarray
    objects: np.ndarray
    paints: np.ndarray
    texels: np.ndarray
    tints: np.ndarray


class Seen(NamedTuple):
    """What cameras see at each pixel.

    Attributes:
        plane: int, its number among the planes.
        nearness: 1 / depth, per metre.
    """

    plane: np.ndarray
    nearness: np.ndarray


def homographies(planes: Planes, motions: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """The matrices M of all planes for one camera.

    Args:
        planes: n of them.
        motions: [objects, 4, 4], from an object's coordinates to the camera's.
        camera: [3, 3] intrinsics.

    Returns:
        [n, 3, 3]; NaN for planes that turn their back on the camera.
    """
    frames = motions[planes.objects, :3, :3] @ planes.frames[..., :3]
    places = motions[planes.objects] @ np.concatenate(
        [planes.frames[..., 3:], np.ones((len(planes.frames), 1, 1))], axis=1
    )
    rays = frames.swapaxes(1, 2) @ np.linalg.inv(camera)  # [n, (a, b, c), pixel]
    offsets = frames.swapaxes(1, 2) @ places[:, :3]  # [n, 3, 1]
    behind = offsets[:, 2:] >= 0
    nearness = rays[:, 2:] / np.where(behind, np.nan, offsets[:, 2:])
    return np.concatenate([rays[:, :2] - offsets[:, :2] * nearness, nearness], axis=1)


def cast(planes: Planes, matrices: np.ndarray, x: np.ndarray, y: np.ndarray) -> Seen:
    """The nearest plane at each place of a camera's picture.

    Args:
        planes: n of them.
        matrices: [n, 3, 3] of `homographies`, which give the dtype.
        x: of the places, in pixels.
        y: of them; broadcast with `x`.

    Returns:
        Arrays of the places' shape; nearness 0 where no plane is.
    """
    shape = np.broadcast_shapes(x.shape, y.shape)
    plane = np.zeros(shape, np.int16)
    best = np.zeros(shape, matrices.dtype)

    def plain(row: np.ndarray) -> np.ndarray:
        return row[0] * x + (row[1] * y + row[2])

    for number, (matrix, extent) in enumerate(
        zip(matrices, planes.extents.astype(matrices.dtype), strict=True)
    ):
        if np.isnan(matrix[2, 0]):
            continue
        nearness = plain(matrix[2])
        front = nearness > best
        if np.isfinite(extent).all():
            for row, side in zip(matrix[:2], extent, strict=True):
                front &= abs(plain(row)) <= side * nearness
        np.copyto(best, nearness, where=front)
        np.copyto(plane, number, where=front)
    return Seen(plane, best)


def picture(
    planes: Planes,
    matrices: np.ndarray,
    sides: tuple[int, int],
    paint: Textures,
    supersampling: int,
) -> np.ndarray:
    """What a camera sees, [H, W, 3] float32 in [0, 1].

    Args:
        planes: n of them.
        matrices: [n, 3, 3] of `homographies`.
        sides: (H, W).
        paint: the textures.
        supersampling: k; each pixel is the mean of k x k places in it.
    """
    k = supersampling
    y, x = (
        ((np.arange(side * k) + 0.5) / k - 0.5).astype(np.float32) for side in sides
    )
    y = y[:, None]
    seen = cast(planes, matrices.astype(np.float32), x, y)
    shown = planes.texels @ matrices  # [n, 2, 3], to places times nearness.
    full = np.concatenate([shown, matrices[:, 2:]], axis=1)
    # The area of a pixel on the texture is det / nearness^3; a level has a quarter of
    # the texels of the one before.
    areas = abs(np.linalg.det(np.nan_to_num(full)))
    constant = (0.5 * np.log2(areas + 1e-12) + _SOFTNESS).astype(np.float32)
    level = constant[seen.plane] - np.float32(1.5) * np.log2(seen.nearness)
    # Between two levels, so many of a pixel's places show the one and the others the
    # other: their mean is a mixture.
    ranks = np.arange(k * k).reshape(k, k) / (k * k) + 0.5 / (k * k) - 0.5
    level += np.tile(ranks.astype(np.float32), sides)
    u, v = (
        (row[0][seen.plane] * x + row[1][seen.plane] * y + row[2][seen.plane])
        / seen.nearness
        for row in np.moveaxis(np.nan_to_num(shown).astype(np.float32), 0, -1)
    )
    at = seen.plane.ravel()
    colours = painted(paint, planes.paints[at], u.ravel(), v.ravel(), level.ravel())
    colours *= planes.tints[at]
    height, width = sides
    parts = colours.reshape(height, k, width, k, 3)
    total = np.zeros((height, width, 3), np.float32)
    for i, j in np.ndindex(k, k):
        total += parts[:, i, :, j]
    return total / np.float32(k * k)
