"""Random erasing and cutout: boxes of an image replaced by a value or by noise."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.platforms import apply_if
from jax_ssl.ops.resize import Box

ATTEMPTS = 10


def random_erased_box(
    key: Array,
    height: int,
    width: int,
    *,
    probability: float = 0.5,
    scale: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
) -> Box:
    """Draws the box of random erasing (Zhong et al., arXiv 1708.04896, algorithm 1).

    Area as a share of the image is uniform in `scale` and height / width log-uniform in
    `ratio`, sides rounded to pixels. The first of ten boxes whose sides are both
    shorter than the image's is put anywhere it fits. Defaults are torchvision's; timm,
    and with it the fine-tuning of MAE, has areas of (0.02, 1/3), ratios of
    (0.3, 1/0.3) and probability 0.25.

    Args:
        key: PRNG key.
        height: of the image, in pixels.
        width: likewise.
        probability: that there is a box.
        scale: smallest and largest share of the area.
        ratio: smallest and largest height / width.

    Returns:
        Box of whole numbers as float32, inside the image; of sides 0 where nothing is
        to be erased.

    Note:
        The paper repeats until a box fits, and its ratio is uniform.
    """
    uniform = jax.random.uniform(key, (2 * ATTEMPTS + 3,))
    share, aspect = uniform[:ATTEMPTS], uniform[ATTEMPTS : 2 * ATTEMPTS]
    area = height * width * (scale[0] + (scale[1] - scale[0]) * share)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    root = jnp.exp(0.5 * (low + (high - low) * aspect))
    tall = jnp.round(jnp.sqrt(area) * root)  # [ATTEMPTS]
    wide = jnp.round(jnp.sqrt(area) / root)
    fits = (tall < height) & (wide < width)
    # The first that fits, by a sum: an index would be a gather under vmap.
    first = fits & (jnp.cumsum(fits) == 1) & (uniform[-3] < probability)
    h, w = jnp.sum(jnp.where(first, tall, 0.0)), jnp.sum(jnp.where(first, wide, 0.0))

    def place(free: Array, u: Array) -> Array:
        return jnp.minimum(jnp.floor(u * (free + 1.0)), free)

    return Box(place(height - h, uniform[-2]), place(width - w, uniform[-1]), h, w)


def box_mask(box: Box, height: int, width: int) -> Array:
    """Whether a pixel lies in the box, [height, width] bool."""
    i, j = jnp.arange(height)[:, None], jnp.arange(width)
    rows = (i >= box.top) & (i < box.top + box.height)
    return rows & (j >= box.left) & (j < box.left + box.width)


def random_erasing(
    key: Array, image: Array, *, fill: float | Literal["noise"] = 0.0, **box: Any
) -> Array:
    """Erases a random box.

    Args:
        key: PRNG key.
        image: [..., H, W, C], as a rule already standardized; frames share the box.
        fill: a value, or "noise" for standard normal noise in every value (timm's
            mode "pixel", torchvision's value "random").
        **box: `probability`, `scale` and `ratio` of `random_erased_box`.

    Returns:
        [..., H, W, C].
    """
    box_key, noise_key = jax.random.split(key)
    height, width = image.shape[-3:-1]
    drawn = random_erased_box(box_key, height, width, **box)

    def erased(image: Array) -> Array:
        other: float | Array
        if fill == "noise":
            other = jax.random.normal(noise_key, image.shape, image.dtype)
        else:
            other = float(fill)
        return jnp.where(box_mask(drawn, height, width)[..., None], other, image)

    return apply_if(jnp.asarray(drawn.height) > 0, erased, image)


def cutout(key: Array, image: Array, *, size: int, fill: float = 0.0) -> Array:
    """Erases a square whose centre may be any pixel, cut off at the borders.

    Cutout (DeVries and Taylor, arXiv 1708.04552), section 3.2.

    Args:
        key: PRNG key.
        image: [..., H, W, C]; frames share the square.
        size: side of the square in pixels.
        fill: what it becomes.

    Returns:
        [..., H, W, C].
    """
    height, width = image.shape[-3:-1]
    y, x = jax.random.uniform(key, (2,))
    top = jnp.floor(y * height) - size // 2
    left = jnp.floor(x * width) - size // 2
    mask = box_mask(Box(top, left, size, size), height, width)
    return jnp.where(mask[..., None], fill, image)
