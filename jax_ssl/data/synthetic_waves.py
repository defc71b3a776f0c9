"""Tones that stay, climb, fall, waver or pulse: labelled waves made from numbers alone.

For tests and smoke runs. The class is how the pitch moves, again and again, so that any
quarter of a wave shows it; pitch, loudness, phase and noise say nothing about it.
"""

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.arrays import Arrays, arrays
from jax_ssl.data.synthetic import labels_in_turn, uniforms

MOTIONS = ("tone", "rising chirp", "falling chirp", "warble", "pulses")
REPEATS = 4  # Of the motion in a wave.
_NUMBERS = 4  # Random numbers of one example, beside its noise.


def synthetic_waves(
    *,
    num_examples: int = 256,
    samples: int = 4096,
    rate: float = 8000.0,
    num_classes: int = 4,
    noise: float = 0.05,
    split: str = "train",
    seed: int = 0,
) -> Arrays:
    """Waves in equal numbers, row i being of class i mod num_classes.

    Row i is a function of (seed, split, samples, i) and of the settings of sound, and
    does not depend on num_examples.

    Args:
        num_examples: N.
        samples: T, of each wave.
        rate: samples per second.
        num_classes: from 1 to 5, the first so many of `MOTIONS`.
        noise: standard deviation of white, uniform noise.
        split: "train", "validation" or "test", whose waves differ.
        seed: of the waves.

    Returns:
        Source of "wave" [T] float32 in [-1, 1] and "label".

    Raises:
        ValueError: for sizes outside these ranges, or another split.
    """
    checks.at_least(64, samples=samples)
    checks.within("[0, 0.2]", noise=noise)
    labels = labels_in_turn(num_examples, num_classes, len(MOTIONS))
    drawn = uniforms(split, seed, num_examples, _NUMBERS + samples)
    waves = np.stack([_sound(int(k), u) for k, u in zip(labels, drawn, strict=True)])
    waves = waves + noise * np.sqrt(12) * (drawn[:, _NUMBERS:] - 0.5)
    return arrays(
        {"wave": waves, "label": labels},
        label_names=MOTIONS[:num_classes],
        rate=rate,
        name=f"synthetic_waves {split}",
    )


def _sound(label: int, u: np.ndarray) -> np.ndarray:
    """One wave [T] within ±0.6, from 4 numbers in [0, 1) and as many as it is long."""
    samples = len(u) - _NUMBERS
    turn = (REPEATS * np.arange(samples) / samples + u[0]) % 1
    motions = {
        "rising chirp": 1 + 1.5 * turn,
        "falling chirp": 2.5 - 1.5 * turn,
        "warble": 1.75 + 0.75 * np.sin(2 * np.pi * turn),
    }
    motion = MOTIONS[label]
    # In cycles a sample: from 1/32 to 1/16, and 2.5 times that at most.
    pitch = 2.0 ** (-5 + u[1]) * motions.get(motion, np.full(samples, 1.75))
    loudness = (0.3 + 0.3 * u[2]) * (turn < 0.5 if motion == "pulses" else 1)
    return loudness * np.sin(2 * np.pi * (np.cumsum(pitch) + u[3]))
