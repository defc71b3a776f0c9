"""Views of waves: windows in time, shifts, loudness and noise.

Where an example has a "length", only so many samples of its "wave" are its own, and
windows are taken of these. What is shorter than a window lies inside of it, zeros on
both sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from jax_ssl.augment.pixels import field_of
from jax_ssl.augment.steps import Step
from jax_ssl.core import checks
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Example


@dataclass(frozen=True, kw_only=True)
class TimeShift(Step):
    """The window's content moved in time, zeros coming in.

    Attributes:
        samples: to either side, at most; uniform.
    """

    samples: int = 0

    name = "time shift"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least(0, shift=self.samples)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0 and self.samples > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """A wave [t] float32 -> the same."""
        sure_key, key = jax.random.split(key)
        by = jax.random.randint(key, (), -self.samples, self.samples + 1)
        by = jnp.where(jax.random.uniform(sure_key) < self.probability, by, 0)
        wide = jnp.pad(image, self.samples)
        return jax.lax.dynamic_slice_in_dim(wide, self.samples - by, len(image))


@dataclass(frozen=True, kw_only=True)
class Gain(Step):
    """Another loudness; the polarity stays.

    Attributes:
        decibels: the factor is uniform in [-decibels, decibels].
    """

    decibels: float = 6.0

    name = "gain"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least(0, gain=self.decibels)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0 and self.decibels > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """A wave [t] float32 -> the same; it may leave [-1, 1]."""
        sure_key, key = jax.random.split(key)
        decibels = jax.random.uniform(
            key, (), minval=-self.decibels, maxval=self.decibels
        )
        sure = jax.random.uniform(sure_key) < self.probability
        return image * 10.0 ** (jnp.where(sure, decibels, 0.0) / 20.0)


@dataclass(frozen=True, kw_only=True)
class WhiteNoise(Step):
    """Gaussian noise, also where the window holds zeros.

    Attributes:
        std: its standard deviation, of a wave in [-1, 1].
    """

    std: float = 0.005

    name = "noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least(0, noise=self.std)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0 and self.std > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """A wave [t] float32 -> the same; it may leave [-1, 1]."""
        sure_key, key = jax.random.split(key)
        sure = jax.random.uniform(sure_key) < self.probability
        return image + jnp.where(sure, self.std, 0.0) * jax.random.normal(
            key, image.shape
        )


def random_windows(
    *,
    samples: int,
    num_views: int | None = 2,
    shift: int = 0,
    gain: float = 0.0,
    noise: float = 0.0,
    probability: float = 1.0,
) -> ViewFn:
    """Random windows of a wave, each with operations of its own, in this order.

    A window of t samples lies anywhere in the L that a wave has, its first sample being
    uniform in 0 ... L - t; where L < t the wave lies anywhere in the window, uniformly
    too.

    Args:
        samples: t, of a window.
        num_views: how many; None: one, without an axis of views.
        shift: see `TimeShift`.
        gain: see `Gain`, in decibels.
        noise: see `WhiteNoise`.
        probability: of each of the three.

    Returns:
        Views [num_views, t] or [t] float32 of an example's "wave"; with gain or noise
        they may leave [-1, 1].

    Raises:
        ValueError: if a setting is out of its range, or a wave's array too short for
            it.
    """
    checks.at_least(1, samples=samples, num_views=num_views)
    steps = (
        TimeShift(samples=shift, probability=probability),
        Gain(decibels=gain, probability=probability),
        WhiteNoise(std=noise, probability=probability),
    )
    active = [step for step in steps if step.active]
    name = "random_window" if num_views is None else "two_windows"

    def views(key: Array, example: Example) -> Array:
        wave, length = wave_of(name, example, samples)
        view = partial(_window, wave=wave, length=length, samples=samples, steps=active)
        if num_views is None:
            return view(key)
        return jax.vmap(view)(jax.random.split(key, num_views))

    return views


random_window = partial(random_windows, num_views=None)
# The amounts are this library's choice.
two_windows = partial(random_windows, num_views=2, gain=6.0, noise=0.005)


def _window(
    key: Array, wave: Array, length: Array, samples: int, steps: Sequence[Step]
) -> Array:
    key, *keys = jax.random.split(key, 1 + len(steps))
    room = length - samples
    first = jax.random.randint(key, (), jnp.minimum(room, 0), jnp.maximum(room, 0) + 1)
    window = cut(wave, first, samples)
    for key, step in zip(keys, steps, strict=True):
        window = step(key, window)
    return window


def wave_window(*, samples: int) -> ViewFn:
    """The evaluation view: the middle of a wave, the same for every key.

    Args:
        samples: t, of the window. A shorter wave is in the middle of it.

    Returns:
        View [t] float32 of an example's "wave".

    Raises:
        ValueError: if t < 1, or a wave's array is too short for it.
    """
    checks.at_least(1, samples=samples)

    def view(key: Array, example: Example) -> Array:
        del key
        wave, length = wave_of("wave_window", example, samples)
        return cut(wave, (length - samples) // 2, samples)

    return view


def cut(wave: Array, first: Array, samples: int) -> Array:
    """Samples `first` ... `first + samples - 1` of a wave, zeros before its begin.

    Args:
        wave: [T].
        first: [] integer, above -samples and up to T - samples.
        samples: t, of the window.
    """
    wide = jnp.pad(wave, (samples, 0))
    return jax.lax.dynamic_slice_in_dim(wide, samples + first, samples)


def wave_of(recipe: str, example: Example, samples: int) -> tuple[Array, Array]:
    """The wave [T] float32 of an example, T >= samples, and how many are its own, [].

    Behind these it is 0.

    Raises:
        ValueError: if there is none, or it is too short.
    """
    wave = jnp.asarray(field_of(recipe, example, "wave", "T"), jnp.float32)
    if len(wave) < samples:
        raise ValueError(
            f"{recipe}: samples = {samples} is more than the {len(wave)} of a wave."
        )
    length = example.get("length")
    return wave, jnp.int32(len(wave)) if length is None else jnp.asarray(length)
