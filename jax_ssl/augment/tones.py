"""Operations with a probability, and random changes of tones and sharpness.

Images are [..., H, W, C] in [0, 1]; leading axes, such as the frames of a video, share
what is drawn.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops import color, levels, stencils
from jax_ssl.ops.platforms import apply_if


def sometimes(
    key: Array,
    image: Array,
    operation: Callable[[Array], Array],
    *,
    probability: float,
) -> Array:
    """An operation without random parameters, with the given probability.

    Args:
        key: PRNG key.
        image: [..., H, W, C].
        operation: image -> image, such as `ops.levels.invert`, `autocontrast`,
            `equalize` and `posterize`, or `jnp.fliplr` for a mirror image.
        probability: of the operation.

    Returns:
        [..., H, W, C].
    """
    return apply_if(jax.random.bernoulli(key, probability), operation, image)


def random_sharpness(
    key: Array,
    image: Array,
    *,
    factor: tuple[float, float] = (0.1, 1.9),
    probability: float = 0.5,
) -> Array:
    """Softens (factor below 1) or sharpens (above) with the given probability.

    Args:
        key: PRNG key.
        image: [..., H, W, C] in [0, 1].
        factor: smallest and largest, uniform; equal ones make torchvision's
            `RandomAdjustSharpness`.
        probability: that anything changes.

    Returns:
        [..., H, W, C] in [0, 1].
    """
    applied, amount = jax.random.uniform(key, (2,))
    drawn = factor[0] + (factor[1] - factor[0]) * amount
    return apply_if(
        applied < probability, lambda x: stencils.sharpness(x, drawn), image
    )


def random_photometric(key: Array, image: Array, *, probability: float = 0.66) -> Array:
    """Posterisation, sharpness, solarisation and autocontrast: all four, or none.

    PIRL (arXiv 1912.01991), with the ranges of its released code: bits uniform in 4 to
    8, sharpness in [0.1, 1.9], threshold in the levels 0 to 256, in this order.

    Args:
        key: PRNG key.
        image: [..., H, W, 3] in [0, 1].
        probability: of all four.

    Returns:
        [..., H, W, 3] in [0, 1].
    """
    uniform = jax.random.uniform(key, (4,))
    bits = 4 + jnp.floor(5.0 * uniform[1]).astype(jnp.int32)
    factor = 0.1 + 1.8 * uniform[2]
    threshold = (jnp.floor(257.0 * uniform[3]) - 0.5) / 255.0  # Between two levels.

    def four(image: Array) -> Array:
        image = stencils.sharpness(levels.posterize(image, bits), factor)
        return levels.autocontrast(color.solarize(image, threshold))

    return apply_if(uniform[0] < probability, four, image)
