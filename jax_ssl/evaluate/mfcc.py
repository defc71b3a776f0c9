"""Mel-frequency cepstral coefficients: the control of sound, beside the raw samples.

Davis and Mermelstein (1980), as `librosa.feature.mfcc` computes them: windows of 25 ms
every 10 ms, 40 mel bands, 20 coefficients, and their first and second differences in
time. The tables are librosa's; the products are made with the examples' other features,
on the devices.
"""

import functools
import importlib.util
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array

WINDOW, HOP = 0.025, 0.010  # Seconds.
BANDS, COEFFICIENTS = 40, 20
REACH = 9  # Frames that a difference looks at.
FLOOR, RANGE_DB = 1e-10, 80.0  # librosa's least power, and its range below the loudest.
LACKING = (
    "MFCCs are a control that needs librosa, which is not installed; pip install "
    "'jax_ssl[audio]'"
)


def installed() -> bool:
    """Whether librosa is there."""
    return importlib.util.find_spec("librosa") is not None


@functools.cache
def mfcc_reader(rate: float, places: int = 0) -> Callable[[Array], Array]:
    """What makes MFCCs of waves, the same function for the same arguments.

    Args:
        rate: of the waves, samples a second.
        places: how many frames of each wave are taken, evenly spread; 0 for the mean
            and the standard deviation over all frames.

    Returns:
        Waves [B, T] to [B, 120] float32, or to [B, places, 60].
    """

    def read(waves: Array) -> Array:
        found = mfcc(waves, rate)
        if places:
            return at_places(found, places)
        return jnp.concatenate([found.mean(1), found.std(1)], axis=-1)

    return read


def mfcc(waves: Array, rate: float) -> Array:
    """Coefficients and their differences, [B, frames, 60] float32.

    Args:
        waves: [B, T].
        rate: samples a second.
    """
    import librosa  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from scipy.fft import dct  # type: ignore[import-untyped]

    size, hop = round(WINDOW * rate), round(HOP * rate)
    padded = 2 ** int(np.ceil(np.log2(size)))
    window = librosa.filters.get_window("hann", size, fftbins=True)
    window = librosa.util.pad_center(window, size=padded)
    mel = librosa.filters.mel(sr=rate, n_fft=padded, n_mels=BANDS)
    cosines = dct(np.eye(BANDS), norm="ortho", axis=0)[:COEFFICIENTS]
    # The middle of frame i is sample i hop; zeros come before and behind.
    wide = jnp.pad(waves.astype(jnp.float32), ((0, 0), (padded // 2, padded // 2)))
    frames = 1 + waves.shape[1] // hop
    places = hop * np.arange(frames)[:, None] + np.arange(padded)
    spectrum = jnp.fft.rfft(wide[:, places] * np.float32(window))
    power = einsum("btf,mf->btm", jnp.square(jnp.abs(spectrum)), np.float32(mel))
    decibels = 10 * jnp.log10(jnp.maximum(power, FLOOR))
    decibels = jnp.maximum(decibels, decibels.max((1, 2), keepdims=True) - RANGE_DB)
    found = einsum("btm,cm->btc", decibels, np.float32(cosines))
    reach = min(REACH, frames - (frames + 1) % 2)
    if reach < 3:
        return jnp.concatenate([found, jnp.zeros_like(found).repeat(2, -1)], axis=-1)
    # Differences are linear in the frames: a matrix each.
    tables = [
        np.float32(librosa.feature.delta(np.eye(frames), width=reach, order=order))
        for order in (1, 2)
    ]
    differences = [einsum("btc,ts->bsc", found, table) for table in tables]
    return jnp.concatenate([found, *differences], axis=-1)


def at_places(grid: Array, places: int) -> Array:
    """Some vectors of a grid [B, ..., D], evenly spread, [B, places, D] float32.

    They are the middles of so many equal parts of the flattened grid.
    """
    flat = grid.reshape(len(grid), -1, grid.shape[-1]).astype(jnp.float32)
    middles = (np.arange(places) + 0.5) * flat.shape[1] / places
    return jnp.take(flat, middles.astype(np.int32), axis=1)
