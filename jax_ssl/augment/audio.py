"""Views of waves: windows in time, loudness and noise."""

import jax
import jax.numpy as jnp

from jax_ssl.augment.pixels import field_of
from jax_ssl.core import checks
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Example


def two_windows(*, samples: int, gain: float = 6.0, noise: float = 0.005) -> ViewFn:
    """Two random windows of a wave, each with a loudness and a noise of its own.

    The polarity stays. The amounts are this library's choice.

    Args:
        samples: t, of a window.
        gain: a factor, uniform in [-gain, gain] decibels.
        noise: standard deviation of Gaussian noise, of a wave in [-1, 1].

    Returns:
        Views [2, t] float32 of an example's "wave"; they may leave [-1, 1].

    Raises:
        ValueError: if a setting is out of its range, or a wave too short for it.
    """
    me = "two_windows"
    checks.at_least(1, samples=samples)
    checks.at_least(0, gain=gain, noise=noise)

    def window(key: Array, wave: Array) -> Array:
        place_key, gain_key, noise_key = jax.random.split(key, 3)
        first = jax.random.randint(place_key, (), 0, len(wave) - samples + 1)
        cut = jax.lax.dynamic_slice_in_dim(wave, first, samples)
        decibels = jax.random.uniform(gain_key, (), minval=-gain, maxval=gain)
        added = noise * jax.random.normal(noise_key, (samples,))
        return cut * 10.0 ** (decibels / 20.0) + added

    def views(key: Array, example: Example) -> Array:
        wave = wave_of(me, example, samples)
        return jax.vmap(window, (0, None))(jax.random.split(key, 2), wave)

    return views


def wave_window(*, samples: int) -> ViewFn:
    """The evaluation view: the middle of a wave, the same for every key.

    Args:
        samples: t, of the window.

    Returns:
        View [t] float32 of an example's "wave".

    Raises:
        ValueError: if t < 1, or a wave is too short for it.
    """
    checks.at_least(1, samples=samples)

    def view(key: Array, example: Example) -> Array:
        del key
        wave = wave_of("wave_window", example, samples)
        first = (len(wave) - samples) // 2
        return wave[first : first + samples]

    return view


def wave_of(recipe: str, example: Example, samples: int) -> Array:
    """The wave [T] float32 of an example, T >= samples.

    Raises:
        ValueError: if there is none, or it is too short.
    """
    wave = field_of(recipe, example, "wave", "T")
    if len(wave) < samples:
        raise ValueError(
            f"{recipe}: samples = {samples} is more than the {len(wave)} of a wave."
        )
    return jnp.asarray(wave, jnp.float32)
