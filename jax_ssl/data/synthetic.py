"""Coloured shapes on textured grounds: labelled images made from numbers alone.

For tests and smoke runs. The class is the shape; colours, place, size, angle and
texture say nothing about it, so that pixels classify poorly and features can do better.
"""

import zlib

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.arrays import Arrays, arrays

SHAPES = ("disc", "square", "triangle", "cross", "ring", "bars", "crescent", "frame")
SPLITS = ("train", "validation", "test")
_NUMBERS = 16  # Random numbers of one example.


def synthetic(
    *,
    num_examples: int = 512,
    size: int = 32,
    num_classes: int = 4,
    channels: int = 3,
    split: str = "train",
    seed: int = 0,
) -> Arrays:
    """Shapes in equal numbers, row i being of class i mod num_classes.

    Row i is a function of (seed, split, size, i) and does not depend on num_examples.

    Args:
        num_examples: N.
        size: side of the square images, in pixels.
        num_classes: from 1 to 8, the first so many of `SHAPES`.
        channels: 3, or 1 for grey.
        split: "train", "validation" or "test", whose images differ.
        seed: of the images.

    Raises:
        ValueError: for sizes outside these ranges, or another split.
    """
    checks.at_least(4, size=size)
    labels = labels_in_turn(num_examples, num_classes, len(SHAPES))
    rows = zip(labels, uniforms(split, seed, num_examples, _NUMBERS), strict=True)
    images = np.stack([_draw(int(label), u, size, channels) for label, u in rows])
    return arrays(
        {"image": np.rint(images * 255).astype(np.uint8), "label": labels},
        label_names=SHAPES[:num_classes],
        name=f"synthetic {split}",
    )


def labels_in_turn(num_examples: int, num_classes: int, most: int) -> np.ndarray:
    """Classes 0, 1, ... in turn, [N] int32.

    Raises:
        ValueError: for more than `most` classes, or fewer examples than classes.
    """
    checks.within(f"[1, {most}]", num_classes=num_classes)
    checks.at_least(num_classes, num_examples=num_examples)
    return np.arange(num_examples, dtype=np.int32) % num_classes


def uniforms(split: str, seed: int, num_examples: int, count: int) -> np.ndarray:
    """`count` numbers in [0, 1) for each example, [N, count]; a row ignores N.

    Raises:
        ValueError: if the split is none of `SPLITS`.
    """
    checks.one_of(SPLITS, split=split)
    stream = np.array([seed % 2**64, zlib.crc32(split.encode())], np.uint64)
    words = np.random.Philox(key=stream).random_raw(num_examples * count)
    return (words >> np.uint64(11)).reshape(num_examples, count) * 2.0**-53


def _draw(label: int, u: np.ndarray, size: int, channels: int) -> np.ndarray:
    """One image [size, size, channels] in [0, 1] from 16 numbers in [0, 1)."""
    at = (np.arange(size) + 0.5) / size * 2 - 1
    y, x = np.meshgrid(at, at, indexing="ij")
    angle, radius = np.pi * (u[0] - 0.5) / 2, 0.5 + 0.2 * u[1]
    dx, dy = x - 0.5 * (u[2] - 0.5), y - 0.5 * (u[3] - 0.5)
    a = (np.cos(angle) * dx + np.sin(angle) * dy) / radius
    b = (np.cos(angle) * dy - np.sin(angle) * dx) / radius
    # Edges one pixel wide.
    shape = np.clip(-_distance(SHAPES[label], a, b) * radius * size / 2 + 0.5, 0, 1)
    direction = np.pi * u[4]
    wave = x * np.cos(direction) + y * np.sin(direction)
    ripple = 0.1 * np.sin(2 * np.pi * ((2 + 4 * u[5]) * wave + u[6]))
    ground, colour = (0.15 + 0.7 * u[at : at + channels] for at in (7, 10))
    if np.abs(ground - colour).max() < 0.35:  # Otherwise the shape would be invisible.
        colour = (colour + 0.5) % 1.0
    image = ground + (colour - ground) * shape[..., None]
    return np.clip(image + ripple[..., None], 0, 1)


def _distance(shape: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """About the signed distance to the shape of radius 1, negative inside."""
    round_, square = np.hypot(a, b) - 1, np.maximum(abs(a), abs(b)) - 0.85
    return {
        "disc": round_,
        "square": square,
        "triangle": np.maximum(b - 0.6, abs(a) * 0.87 - b * 0.5 - 0.5),
        "cross": np.maximum(np.minimum(abs(a), abs(b)) - 0.25, round_),
        "ring": abs(round_ + 0.25) - 0.22,
        "bars": np.maximum(abs(abs(a) - 0.6) - 0.25, abs(b) - 0.9),
        "crescent": np.maximum(round_, 0.8 - np.hypot(a - 0.5, b)),
        "frame": np.maximum(square, 0.45 - np.maximum(abs(a), abs(b))),
    }[shape]
