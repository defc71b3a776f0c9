"""Gamma, gains and offsets of Monodepth and UnFlow as a step of a recipe."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jax_ssl.augment.crop import between
from jax_ssl.augment.steps import Step
from jax_ssl.core import checks
from jax_ssl.core.types import Array

Pair = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Tones(Step):
    """(gain · x + offset) · colour and a gamma curve, clipped to [0, 1].

    The defaults are Monodepth's (arXiv 1609.03677, released code), x ** gamma first.

    Attributes:
        gamma: smallest and largest, uniform. It is the exponent where it comes first,
            and else, as in UnFlow's released code, the exponent is 1 / gamma.
        gain: smallest and largest factor of all channels.
        colour: smallest and largest factor of each channel.
        offset: standard deviation of a number that is added to all channels.
        noise: standard deviation of a number that is added to all channels at the end.
        gamma_first: before the gain, rather than after the colour.
    """

    probability: float = 0.5
    gamma: Pair = (0.8, 1.2)
    gain: Pair = (0.5, 2.0)
    colour: Pair = (0.8, 1.2)
    offset: float = 0.0
    noise: float = 0.0
    gamma_first: bool = True

    name = "tones"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive(gamma=self.gamma, gain=self.gain, colour=self.colour)
        for name in ("gamma", "gain", "colour"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(
                    f"{name} = {(low, high)} must be the smallest and the largest."
                )
        checks.at_least(0, offset=self.offset, noise=self.noise)

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, C] in [0, 1] -> the same."""
        uniform_key, normal_key = jax.random.split(key)
        channels = image.shape[-1]
        applied, curve, gain, *colours = jax.random.uniform(
            uniform_key, (3 + channels,)
        )
        offset, noise = jax.random.normal(normal_key, (2,))
        gamma = between(self.gamma, curve)
        colour = between(self.colour, jnp.stack(colours))
        x = image**gamma if self.gamma_first else image
        x = (x * between(self.gain, gain) + self.offset * offset) * colour
        x = jnp.clip(x, 0.0, 1.0)
        if not self.gamma_first:
            x = x ** (1 / gamma)
        x = jnp.clip(x + self.noise * noise, 0.0, 1.0)
        return jnp.where(applied < self.probability, x, image)
