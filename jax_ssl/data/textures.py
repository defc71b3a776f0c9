"""Textures that planes in rendered scenes are painted with, as pyramids of halvings."""

import functools
from typing import Literal, NamedTuple

import numpy as np

TextureName = Literal["photographs", "noise"]
SIDES = (384, 640)  # Of a texture's finest level, whole after seven halvings.
_LEVELS = 7
_TAPS = np.array([1, 3, 3, 1]) / 8  # A binomial filter before each halving.


class Textures(NamedTuple):
    """Several textures of one size; made by `textures`.

    Attributes:
        texels: [n, 3] float32 in [0, 1], all levels of all textures one after another.
        starts: [textures, levels] where in `texels` each level begins.
    """

    texels: np.ndarray
    starts: np.ndarray


@functools.cache
def textures(name: TextureName) -> Textures:
    """The two photographs that come with scikit-learn, or two fields of noise.

    Args:
        name: "photographs", or "noise" whose amplitude falls as 1 / frequency.
    """
    images = _photographs() if name == "photographs" else _noises()
    levels, starts, end = [], [], 0
    for image in images:
        begun = []
        for _ in range(_LEVELS):
            begun.append(end)
            levels.append(image.reshape(-1, 3))
            end += len(levels[-1])
            image = _halved(_halved(image, 0), 1)
        starts.append(begun)
    return Textures(np.concatenate(levels).astype(np.float32), np.array(starts))


def painted(
    paint: Textures, which: np.ndarray, x: np.ndarray, y: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Colours of points on textures, which are tiled by their mirror images.

    Args:
        paint: the textures.
        which: [n] numbers of textures.
        x: [n] float32, in texels of the finest level, whose first one is centred at
            1/2.
        y: [n] likewise.
        level: [n] float32, what is rounded to the level that is shown, 0 for the
            finest.

    Returns:
        [n, 3] float32.
    """
    level = np.clip(np.rint(level), 0, _LEVELS - 1).astype(np.int32)
    step = np.float32(2) ** -level
    height, width = (np.int32(side) >> level for side in SIDES)
    # Of tiles that mirror each other, the distance to the nearest even border; then the
    # pixels between whose centres it lies.
    x, y = x / np.float32(2 * SIDES[1]), y / np.float32(2 * SIDES[0])
    x = abs(x - np.rint(x)) * (2 * SIDES[1] * step) - np.float32(0.5)
    y = abs(y - np.rint(y)) * (2 * SIDES[0] * step) - np.float32(0.5)
    x = np.clip(x, 0, width - np.float32(1.001))
    y = np.clip(y, 0, height - np.float32(1.001))
    left, top = x.astype(np.int32), y.astype(np.int32)
    dx, dy = (x - left)[:, None], (y - top)[:, None]
    at = paint.starts[which, level] + top * width + left
    texels = paint.texels
    upper = (1 - dx) * texels[at] + dx * texels[at + 1]
    at += width
    lower = (1 - dx) * texels[at] + dx * texels[at + 1]
    return upper + dy * (lower - upper)


def _halved(image: np.ndarray, axis: int) -> np.ndarray:
    """Half as many pixels along an axis, each from the four that lie around it."""
    ahead = [(1, 1) if i == axis else (0, 0) for i in range(image.ndim)]
    around = np.moveaxis(np.pad(image, ahead, "symmetric"), axis, 0)
    num = image.shape[axis] // 2
    parts = [tap * around[i : i + 2 * num : 2] for i, tap in enumerate(_TAPS)]
    return np.moveaxis(sum(parts), 0, axis)


def _photographs() -> list[np.ndarray]:
    # It takes a second to import.
    from sklearn.datasets import load_sample_images

    height, width = SIDES
    images = load_sample_images().images
    return [_even(image[:height, :width] / 255) for image in images]


def _even(image: np.ndarray) -> np.ndarray:
    """A picture with as much contrast everywhere, or a sky would have no texture."""
    from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

    def blurred(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, (20, 20, 0), mode="reflect")

    mean = blurred(image)
    spread = np.sqrt(blurred((image - mean) ** 2).mean(-1, keepdims=True))
    detail = (image - mean) / (spread + 0.02)
    return np.clip(0.3 + 0.4 * mean + 0.17 * detail, 0, 1)


def _noises() -> list[np.ndarray]:
    height, width = SIDES
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    images = []
    for _ in range(2):
        spectrum = np.fft.rfft2(rng.standard_normal((3, height, width)))
        noise = np.fft.irfft2(spectrum / (frequency + 4 / width), (height, width))
        noise /= noise.std((1, 2), keepdims=True)
        images.append(np.clip(0.5 + 0.2 * np.moveaxis(noise, 0, -1), 0, 1))
    return images
