"""Films of textured planes seen by a moving camera, with depth and flow that are exact.

For tests and smoke runs of what learns from motion and from several frames. A pinhole
camera looks along z and moves by the same translation from frame to frame; the planes
face it. Nothing is interpolated: every pixel of every frame is computed from the point
of the plane that it shows. The class is the texture.
"""

import itertools
from typing import Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.arrays import Arrays, arrays
from jax_ssl.data.synthetic import labels_in_turn, uniforms

TEXTURES = ("stripes", "checks", "rings", "waves")
PLANE = 11  # Random numbers of one plane.


def synthetic_frames(
    *,
    num_examples: int = 128,
    size: int = 32,
    num_frames: int = 2,
    planes: Literal[1, 2] = 2,
    translation: tuple[float, float, float] = (0.3, 0.1, 0.2),
    num_classes: int = 4,
    channels: int = 3,
    split: str = "train",
    seed: int = 0,
) -> Arrays:
    """Films in equal numbers, row i being of class i mod num_classes.

    Row i is a function of (seed, split, i) and the settings of the scene, and does not
    depend on num_examples.

    Args:
        num_examples: N.
        size: side of the square frames, in pixels; also the focal length.
        num_frames: T.
        planes: 1, at 4 to 8 metres, or 2, a disc at half that depth before the other.
        translation: of the camera from a frame to the next, in metres: to the right,
            down, and forwards.
        num_classes: from 1 to 4, the first so many of `TEXTURES`.
        channels: 3, or 1 for grey.
        split: "train", "validation" or "test", whose films differ.
        seed: of the films.

    Returns:
        Source of "frames" [T, size, size, C] uint8; "intrinsics" [3, 3]; and of the
        first frame "depth" [size, size] in metres and "flow" [size, size, 3] to the
        second, known where the second shows the same point, a pixel or more inside of
        its picture and its plane; and "label".

    Raises:
        ValueError: for sizes outside these ranges, another split, or a camera that
            comes too near.
    """
    checks.at_least(8, size=size)
    checks.at_least(2, num_frames=num_frames)
    if (num_frames - 1) * translation[2] > 1:
        raise ValueError(
            f"the camera may come 1 metre nearer at most in {num_frames} frames: "
            f"translation = {translation}."
        )
    labels = labels_in_turn(num_examples, num_classes, len(TEXTURES))
    drawn = uniforms(split, seed, num_examples, 1 + 2 * PLANE)
    center = (size - 1) / 2
    camera = np.array([[size, 0, center], [0, size, center], [0, 0, 1]])
    places = np.arange(num_frames)[:, None] * np.array(translation)
    films = [
        film(TEXTURES[label], u, size, planes, places)
        for label, u in zip(labels, drawn, strict=True)
    ]
    frames, _, depth, flow = (np.stack(each) for each in zip(*films, strict=True))
    return arrays(
        {
            "frames": np.rint(255 * frames[..., :channels]).astype(np.uint8),
            "intrinsics": np.repeat(camera[None], num_examples, axis=0),
            "depth": depth,
            "flow": flow,
            "label": labels,
        },
        {"intrinsics": "matrix"},
        label_names=TEXTURES[:num_classes],
        name=f"synthetic_frames {split}",
    )


def film(
    texture: str, u: np.ndarray, size: int, planes: int, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One scene: frames, the plane at each pixel, depth and flow of the first frame.

    Args:
        texture: of all planes.
        u: [1 + 2 · PLANE] uniform in [0, 1).
        size: S, and the focal length too.
        planes: 1, or 2 with the disc.
        places: [T, 3] of the camera, in metres.

    Returns:
        [T, S, S, 3] in [0, 1], [T, S, S] integers, 1 for the disc of two, [S, S] in
        metres, [S, S, 3].
    """
    far = 4 + 4 * u[0]
    depths = np.array([far, far / 2])[:planes]
    paints = u[1:].reshape(2, PLANE)[:planes]
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1)  # (x, y)
    center = (size - 1) / 2
    rays = (pixels - center) / size
    frames, seen = [], []
    for at in places:
        # Of each plane the point behind every pixel, in metres.
        points = rays * (depths - at[2])[:, None, None, None] + at[:2]
        disc = (points[-1] - far / 8 * (paints[-1, :2] - 0.5)) / depths[-1]
        front = np.hypot(*np.moveaxis(disc, -1, 0)) < 0.25 if planes == 2 else False
        colours = [
            _paint(texture, p / d * size, paint, size)
            for p, d, paint in zip(points, depths, paints, strict=True)
        ]
        frames.append(np.where(np.expand_dims(front, -1), colours[-1], colours[0]))
        seen.append(np.broadcast_to(np.where(front, planes - 1, 0), (size, size)))
    depth = depths[seen[0]]
    moved = rays * depth[..., None] - places[1, :2]
    there = size * moved / (depth - places[1, 2])[..., None] + center
    there = np.round(there, 6)  # Or a point at rest might fall beside its pixel.
    known = ((there >= 0) & (there <= size - 1)).all(-1)
    beside = [np.clip(f(there), 0, size - 1).astype(int) for f in (np.floor, np.ceil)]
    for one, other in itertools.product(beside, repeat=2):
        known &= seen[1][one[..., 1], other[..., 0]] == seen[0]
    flow = np.concatenate([there - pixels, known[..., None]], -1)
    return np.stack(frames), np.stack(seen), depth, flow


def _paint(texture: str, points: np.ndarray, u: np.ndarray, size: int) -> np.ndarray:
    """Colours [..., 3] in [0, 1] of points [..., 2], in pixels of the first frame."""
    angle = np.pi * u[2]
    a = np.cos(angle) * points[..., 0] + np.sin(angle) * points[..., 1]
    b = np.cos(angle) * points[..., 1] - np.sin(angle) * points[..., 0]
    wave = 2 * np.pi / (size * (0.35 + 0.15 * u[3]))  # Three periods or so a side.
    a, b = wave * a + 2 * np.pi * u[4], wave * b
    value = {
        "stripes": np.sin(a),
        "checks": np.sin(a) * np.sin(b),
        "rings": np.sin(np.sqrt(a**2 + b**2 + 1)),
        "waves": np.sin(a + np.sin(b)),
    }[texture]
    middle, change = 0.4 + 0.2 * u[5:8], 0.4 * (2 * (u[8:11] > 0.5) - 1)
    return middle + change * value[..., None]
