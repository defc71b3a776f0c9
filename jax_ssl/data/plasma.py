"""Random height fields of many scales, by the midpoints of squares and diamonds."""

import numpy as np


def plasma(side: int, decay: float, rng: np.random.Generator) -> np.ndarray:
    """A height field that repeats at its borders, by the diamond-square algorithm.

    Args:
        side: least number of pixels; the field has the next power of two.
        decay: what the amplitude of the noise is divided by from one scale to the next.
            It enters twice, as in ImageNet-C's code, where the noise is uniform between
            plus and minus the amplitude and multiplied by it once more.
        rng: of the noise.

    Returns:
        [n, n] float64 between 0 and 1, both of which occur.
    """
    size = 1 << max(side - 1, 1).bit_length()
    field = np.zeros((size, size))
    step, amplitude = size, 100.0

    def noisy(total: np.ndarray) -> np.ndarray:
        return total / 4 + amplitude * rng.uniform(-amplitude, amplitude, total.shape)

    while step >= 2:
        half = step // 2
        corners = field[::step, ::step]
        rows = corners + np.roll(corners, -1, 0)
        field[half::step, half::step] = noisy(rows + np.roll(rows, -1, 1))
        middles = field[half::step, half::step]
        beside = corners + np.roll(corners, -1, 1)
        field[::step, half::step] = noisy(middles + np.roll(middles, 1, 0) + beside)
        below = corners + np.roll(corners, -1, 0)
        field[half::step, ::step] = noisy(middles + np.roll(middles, 1, 1) + below)
        step, amplitude = half, amplitude / decay
    field -= field.min()
    return field / field.max()
