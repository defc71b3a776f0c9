"""One array of any kind as a small picture: [H, W, 3] uint8.

Tiles are made at device pixels, two to a pixel of the page, and never resampled after,
so a pixel of a small image is a square of whole pixels here.
"""

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize, hsv_to_rgb, to_rgb
from PIL import Image

from jax_ssl.report.blocks import BARS, Column
from jax_ssl.report.theme import LIGHT

TILE = 192  # Height of a tile, and a third of the width of the widest.
FRAMES = 4  # of a film strip
UNKNOWN = np.uint8(128)  # The grey of what no value is known of.
LOUDEST_DB = 80.0  # Range of a spectrogram below its loudest part.


def tile(column: Column, row: int) -> np.ndarray:
    """The picture of one row of a column, [H, W, 3] uint8, H <= TILE, W <= 3 TILE.

    What fits is enlarged by a whole factor with square pixels, larger pictures are
    reduced with antialiasing.
    """
    scales = {"wave": {"rate": column.rate}, "probabilities": {"full": column.full}}
    own = scales.get(column.kind, {})
    picture = TILES[column.kind](np.asarray(column.values[row]), **own)
    height, width = picture.shape[:2]
    scale = min(TILE / height, 3 * TILE / width)
    if scale >= 1:
        return picture.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    small = max(1, round(width * scale)), max(1, round(height * scale))
    reduced = Image.fromarray(picture).resize(small, Image.Resampling.LANCZOS)
    return np.asarray(reduced)


def image(values: np.ndarray) -> np.ndarray:
    """[..., h, w, C]: one channel is grey; of two the first is shown, of more three."""
    if values.dtype != np.uint8:
        levels = np.clip(np.nan_to_num(values.astype(np.float32)), 0, 1)
        values = np.round(255 * levels).astype(np.uint8)
    values = values[..., :3] if values.shape[-1] >= 3 else values[..., :1]
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:-1], 3)))


def frames(values: np.ndarray) -> np.ndarray:
    """[T, h, w, C]: a few frames from the first to the last, side by side."""
    kept = np.linspace(0, len(values) - 1, min(FRAMES, len(values))).astype(int)
    return np.concatenate([*image(values[kept])], axis=1)


def mask(values: np.ndarray) -> np.ndarray:
    """[h, w] integers or bool: a colour for each, grey for 255."""
    regions = colors("tab20", values.astype(int) % 20)
    return np.where((values == 255)[..., None], UNKNOWN, regions)


def heat(values: np.ndarray, name: str = "inferno") -> np.ndarray:
    """[...]: dark for the least value, light for the largest, grey for NaN."""
    known = np.isfinite(values)
    place = Normalize()(np.ma.masked_array(values.astype(float), ~known))
    return np.where(known[..., None], colors(name, place), UNKNOWN)


def depth(values: np.ndarray) -> np.ndarray:
    """[h, w]: light for what is near, grey for 0."""
    return heat(np.where(values > 0, values, np.nan), "viridis_r")


def disparity(values: np.ndarray) -> np.ndarray:
    """[h, w]: light for what is near, grey for 0."""
    return heat(np.where(values > 0, values, np.nan), "viridis")


def distance(values: np.ndarray) -> np.ndarray:
    """[h, w]: light for what is near."""
    return heat(values, "viridis_r")


def flow(values: np.ndarray) -> np.ndarray:
    """[h, w, 2 or 3]: direction as hue, length as saturation, grey where unknown."""
    known = np.isfinite(values[..., :2]).all(-1) & (values[..., 2:] > 0).all(-1)
    u, v = np.where(known, np.moveaxis(values[..., :2], -1, 0), 0).astype(float)
    length = np.hypot(u, v)
    hue = np.arctan2(v, u) / (2 * np.pi) % 1
    wheel = np.stack([hue, length / (length.max() or 1.0), np.ones_like(hue)], -1)
    return np.where(known[..., None], image(hsv_to_rgb(wheel)), UNKNOWN)


def wave(values: np.ndarray, rate: float) -> np.ndarray:
    """[T]: the spectrogram of 25 ms Hann windows, low frequencies at the bottom."""
    size = max(2, min(round(0.025 * rate), len(values)))
    padded = np.pad(values.astype(float), (0, max(0, size - len(values))))
    # One a column of the tile, however long the wave.
    starts = np.linspace(0, len(padded) - size, 2 * TILE).round().astype(int)
    windows = padded[starts[:, None] + np.arange(size)] * np.hanning(size)
    power = 20 * np.log10(np.abs(np.fft.rfft(windows)) + 1e-9)
    shown = heat(np.maximum(power, power.max() - LOUDEST_DB).T[::-1])
    return np.asarray(Image.fromarray(shown).resize((2 * TILE, TILE)))


def probabilities(values: np.ndarray, full: float) -> np.ndarray:
    """[K]: bars in the order of the classes, one that is `full` as high as the tile."""
    count = min(len(values), BARS)
    largest = np.maximum.reduceat(values, np.arange(count) * len(values) // count)
    wide = 3 * TILE // 2 // count  # Half as wide again as high, for the words below.
    gap, places = wide // 4, np.arange(count * wide) % wide
    heights = np.repeat(TILE * np.clip(largest / full, 0, 1), wide)
    heights[(places < gap // 2) | (places >= wide - (gap + 1) // 2)] = 0
    filled = np.arange(TILE, 0, -1)[:, None] <= np.round(heights)
    bar, ground = (image(np.array(to_rgb(LIGHT[c]))) for c in ("accent", "rule"))
    return np.where(filled[..., None], bar, ground)


def colors(name: str, values: np.ndarray) -> np.ndarray:
    """Values in [0, 1], or integers, in a colour map of matplotlib, [..., 3] uint8."""
    return mpl.colormaps[name](values, bytes=True)[..., :3]


TILES: dict[str, Callable[..., np.ndarray]] = {
    function.__name__: function
    for function in (
        *(image, frames, mask, heat, depth, disparity, distance, flow, wave),
        probabilities,
    )
}
