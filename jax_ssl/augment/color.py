"""The colour jitter of one RGB image in [0, 1], in any of its 24 orders."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array
from jax_ssl.ops import color

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)

# The 24 orders of the four operations, first to last.
ORDERS = tuple(itertools.permutations((BRIGHTNESS, CONTRAST, SATURATION, HUE)))


class Jitter(NamedTuple):
    """Parameters of one colour jitter.

    Attributes:
        brightness: [] factor.
        contrast: [] factor.
        saturation: [] factor.
        hue: [] shift in turns.
        order: [] int32, a position in `ORDERS`.
        offset: [] added with the brightness, whose additive form has a factor of 1.
    """

    brightness: Array
    contrast: Array
    saturation: Array
    hue: Array
    order: Array
    offset: float | Array = 0.0


def apply_jitter(image: Array, jitter: Jitter) -> Array:
    """Applies the four operations in the drawn order, clipping to [0, 1] after each.

    Args:
        image: [..., H, W, 3] in [0, 1].
        jitter: scalars.

    Returns:
        [..., H, W, 3] in [0, 1].

    Note:
        The operations are torchvision's and Pillow's. SimCLR's released code has
        TensorFlow's: its contrast scales about each channel's own mean instead of the
        mean luma, and its saturation is that of HSV instead of a blend with the luma.
    """
    brightness, contrast, saturation, hue, place, offset = jitter
    # Of each operation the weights of `color.blend`, and the shift of the hue.
    table = jnp.array(
        [
            [brightness, 0.0, 0.0, offset, 0.0],
            [contrast, 0.0, 1.0 - contrast, 0.0, 0.0],
            [saturation, 1.0 - saturation, 0.0, 0.0, 0.0],
            [1.0, 0.0, 0.0, 0.0, hue],
        ]
    )
    # Sums over tables rather than gathers.
    row = jnp.arange(len(ORDERS))[:, None] == place
    order = jnp.sum(jnp.where(row, np.array(ORDERS), 0), axis=0)
    chosen = order[:, None] == jnp.arange(4)  # [stage, operation]
    stages = jnp.sum(jnp.where(chosen[..., None], table, 0.0), axis=1)

    def stage(image: Array, weights: Array) -> tuple[Array, None]:
        # Both at every stage, one of them neutral: branches cost more, even on a CPU.
        *blend, shift = weights
        return color.hue(color.blend(image, *blend), shift), None

    # A loop and not its unrolling: the carried image is written out once a stage, where
    # XLA's fusions would compute the first stages again inside of the later ones.
    return jax.lax.scan(stage, image, stages)[0]
