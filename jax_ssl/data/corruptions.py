"""Fifteen kinds of corruption at five severities: noise, blur, weather and digital.

Hendrycks & Dietterich, 2019, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations", arXiv:1903.12261. The amounts are those of the released
code, see `corrupted`.
"""

import io
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from jax_ssl.data.plasma import plasma

# An image [h, w, 3] float64 in [0, 1], the amount, and a generator to an image like it.
Corruption: TypeAlias = Callable[[np.ndarray, Any, np.random.Generator], np.ndarray]
GRAY = np.array([0.299, 0.587, 0.114])
ICE = np.array([0.80, 0.90, 1.0])


def gaussian_noise(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    """Normal noise of standard deviation c."""
    return x + c * rng.normal(size=x.shape)


def shot_noise(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    """Poisson noise of c photons in white."""
    return rng.poisson(x * c) / c


def impulse_noise(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    """A share c of the numbers becomes 0 or 1."""
    hit, salt = rng.uniform(size=(2, *x.shape))
    return np.where(hit < c, (salt < 0.5).astype(x.dtype), x)


def defocus_blur(x: np.ndarray, c: tuple, rng: np.random.Generator) -> np.ndarray:
    """The mean over a disk, whose edge is smoothed."""
    from scipy.ndimage import convolve  # type: ignore[import-untyped]

    del rng
    kernel = disk(*c)
    planes = [convolve(x[..., i], kernel, mode="mirror") for i in range(3)]
    return np.stack(planes, axis=-1)


def disk(radius: float, smooth: float) -> np.ndarray:
    """A disk whose sum is 1, smoothed by a Gaussian of 3 x 3 or 5 x 5 taps."""
    from scipy.ndimage import correlate1d

    reach, half = (8, 1) if radius <= 8 else (int(radius), 2)
    at = np.arange(-reach, reach + 1)
    inside = (at[:, None] ** 2 + at**2 <= radius**2).astype(np.float64)
    taps = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * smooth**2))
    kernel = inside / inside.sum()
    for axis in (0, 1):
        kernel = correlate1d(kernel, taps / taps.sum(), axis, mode="mirror")
    return kernel


def glass_blur(x: np.ndarray, c: tuple, rng: np.random.Generator) -> np.ndarray:
    """Pixels take the values of others near by, between two blurs."""
    sigma, reach, turns = c
    height, width = x.shape[:2]
    x = np.floor(smoothed(x, sigma) * 255) / 255
    # In the released code what should exchange two pixels leaves one in both places.
    source = np.arange(height * width).tolist()
    for _ in range(turns):
        moves = rng.integers(-reach, reach, size=(2, height, width)).tolist()
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                other = (row + moves[0][row - 1][column - 1]) * width
                other += column + moves[1][row - 1][column - 1]
                source[row * width + column] = source[other]
    return smoothed(x.reshape(-1, 3)[source].reshape(x.shape), sigma)


def smoothed(x: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of the two spatial axes."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, (sigma, sigma, 0), mode="nearest", truncate=4)


def motion_blur(x: np.ndarray, c: tuple, rng: np.random.Generator) -> np.ndarray:
    """The camera moves along a line; ImageMagick's rule."""
    radius, sigma = c
    return moved(x, radius, sigma, rng.uniform(-45, 45))


def moved(x: np.ndarray, radius: int, sigma: float, degrees: float) -> np.ndarray:
    """The mean along a line from each pixel on, weighted by half a Gaussian."""
    reach = np.arange(2 * radius + 1)
    weights = np.exp(-(reach**2) / (2 * sigma**2))
    along = np.deg2rad(degrees)
    down = np.ceil(reach * np.sin(along) - 0.5).astype(int)
    right = np.ceil(reach * np.cos(along) - 0.5).astype(int)
    rows, columns = (np.arange(side) for side in x.shape[:2])
    out = np.zeros_like(x)
    for weight, dy, dx in zip(weights / weights.sum(), down, right, strict=True):
        here = np.clip(rows + dy, 0, len(rows) - 1)
        out += weight * x[here][:, np.clip(columns + dx, 0, len(columns) - 1)]
    return out


def zoom_blur(x: np.ndarray, c: tuple, rng: np.random.Generator) -> np.ndarray:
    """The mean of the image and of enlarged ones, up to a factor in so many steps."""
    del rng
    last, step = c
    factors = np.arange(1, last, step)
    return (x + sum(zoomed(x, factor) for factor in factors)) / (len(factors) + 1)


def zoomed(x: np.ndarray, factor: float) -> np.ndarray:
    """The middle of an image [n, n, C], enlarged to its size."""
    from scipy.ndimage import zoom

    side = len(x)
    inner = int(np.ceil(side / factor))
    first = (side - inner) // 2
    middle = x[first : first + inner, first : first + inner]
    large = zoom(middle, (factor, factor, 1), order=1)
    first = (len(large) - side) // 2
    return large[first : first + side, first : first + side]


def snow(x: np.ndarray, c: tuple, rng: np.random.Generator) -> np.ndarray:
    """Flakes that fall, on a scene that is paler."""
    mean, deviation, size, least, radius, sigma, kept = c
    flakes = zoomed(rng.normal(mean, deviation, (*x.shape[:2], 1)), size)
    flakes = np.floor(np.clip(np.where(flakes < least, 0, flakes), 0, 1) * 255) / 255
    flakes = moved(flakes, radius, sigma, rng.uniform(-135, -45))
    pale = np.maximum(x, (x @ GRAY)[..., None] * 1.5 + 0.5)
    return kept * x + (1 - kept) * pale + flakes + np.rot90(flakes, 2)


def frost(x: np.ndarray, c: tuple, rng: np.random.Generator) -> np.ndarray:
    """Ice on the lens, of ridges of a random height field.

    The published images have cuttings of six photographs of ice in its place.
    """
    height, width = x.shape[:2]
    ridges = 1 - np.abs(2 * plasma(max(height, width), 1.6, rng) - 1)
    ice = ridges[:height, :width, None] * ICE
    return c[0] * x + c[1] * ice


def fog(x: np.ndarray, c: tuple, rng: np.random.Generator) -> np.ndarray:
    """A light that is scattered by clouds of every size."""
    amount, decay = c
    height, width = x.shape[:2]
    clouds = plasma(max(height, width), decay, rng)[:height, :width, None]
    return (x + amount * clouds) * x.max() / (x.max() + amount)


def brightness(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    """The value of hue, saturation and value is raised by c."""
    del rng
    value = x.max(axis=-1, keepdims=True)
    more = np.clip(value + c, 0, 1)
    return np.where(value > 0, x * more / np.where(value > 0, value, 1), more)


def contrast(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    """The differences from each channel's mean are multiplied by c."""
    del rng
    mean = x.mean(axis=(0, 1), keepdims=True)
    return (x - mean) * c + mean


def elastic_transform(x: np.ndarray, c: tuple, rng: np.random.Generator) -> np.ndarray:
    """An affine map of three points that are moved, then a smooth random field."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    amount, sigma, shift = (len(x) * share for share in c)
    center, third = len(x) // 2, len(x) // 3
    points = center + third * np.array([[1, 1], [1, -1], [-1, -1]])
    target = points + rng.uniform(-shift, shift, points.shape)
    # Where each pixel of the new image comes from.
    inverse = np.linalg.solve(np.c_[target, np.ones(3)], points)
    columns, rows = np.meshgrid(*map(np.arange, x.shape[1::-1]))
    places = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ inverse

    def read(rows: np.ndarray, columns: np.ndarray, mode: str) -> np.ndarray:
        planes = [
            map_coordinates(x[..., i], (rows, columns), order=1, mode=mode)
            for i in range(3)
        ]
        return np.stack(planes, axis=-1)

    x = read(places[..., 1], places[..., 0], "mirror")
    fields = rng.uniform(-1, 1, (2, *x.shape[:2]))
    across, down = (
        amount * gaussian_filter(each, sigma, mode="reflect", truncate=3)
        for each in fields
    )
    return read(rows + down, columns + across, "reflect")


def pixelate(x: np.ndarray, c: float, rng: np.random.Generator) -> np.ndarray:
    """Shrunk to a share c of its sides, and enlarged."""
    from PIL import Image

    del rng
    width, height = x.shape[1::-1]
    small = (int(width * c), int(height * c))
    box = Image.Resampling.BOX
    image = Image.fromarray(in_bytes(x)).resize(small, box).resize((width, height), box)
    return np.asarray(image) / 255


def jpeg_compression(x: np.ndarray, c: int, rng: np.random.Generator) -> np.ndarray:
    """JPEG of quality c."""
    from PIL import Image

    del rng
    file = io.BytesIO()
    Image.fromarray(in_bytes(x)).save(file, "JPEG", quality=c)
    return np.asarray(Image.open(file)) / 255


def in_bytes(x: np.ndarray) -> np.ndarray:
    """An image in [0, 1], clipped, as uint8; rounded down, as in the released code."""
    return (np.clip(x, 0, 1) * 255 + 1e-9).astype(np.uint8)
