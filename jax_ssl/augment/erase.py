"""Random erasing and cutout: boxes of an image replaced by a value or by noise."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from jax_ssl.augment.crop import ATTEMPTS, first_that_fits, random_place, random_sides
from jax_ssl.augment.steps import Step
from jax_ssl.core.types import Array
from jax_ssl.ops.platforms import apply_if
from jax_ssl.ops.resize import Box, box_mask


@dataclass(frozen=True, kw_only=True)
class RandomErasing(Step):
    """A random box becomes a value or noise; as a rule behind `Standardize`.

    The defaults are timm's, with which MAE is fine-tuned (He et al., 2022,
    arXiv:2111.06377, in the released code). torchvision has probability 0.5,
    areas of (0.02, 0.33), ratios of (0.3, 3.3) and the fill 0.

    Attributes:
        scale: smallest and largest share of the area.
        ratio: smallest and largest height / width.
        fill: a value, or "noise" for standard normal noise in every value (timm's
            mode "pixel", torchvision's value "random").
    """

    probability: float = 0.25
    scale: tuple[float, float] = (0.02, 1 / 3)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)
    fill: float | Literal["noise"] = "noise"

    name = "random erasing"

    def draw(self, key: Array, height: int, width: int) -> Box:
        """The box for an image of so many pixels.

        Random erasing (Zhong et al., arXiv 1708.04896): area as a share of
        the image is uniform and height / width log-uniform, sides rounded to pixels.
        The first of ten boxes whose sides are both shorter than the image's is put
        anywhere it fits.

        Returns:
            Box of whole numbers as float32, inside the image; of sides 0 where nothing
            is to be erased.

        Note:
            The paper repeats until a box fits, and its ratio is uniform.
        """
        uniform = jax.random.uniform(key, (2 * ATTEMPTS + 3,))
        pixels = height * width
        tall, wide = random_sides(uniform[:-3], pixels, self.scale, self.ratio)
        fits = (tall < height) & (wide < width) & (uniform[-3] < self.probability)
        h, w = first_that_fits(fits, tall), first_that_fits(fits, wide)
        top = random_place(uniform[-2], height - h)
        return Box(top, random_place(uniform[-1], width - w), h, w)

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, C] -> the same; frames share the box."""
        box_key, noise_key = jax.random.split(key)
        sides = image.shape[-3:-1]
        drawn = self.draw(box_key, *sides)

        def erased(image: Array) -> Array:
            if self.fill == "noise":
                other = jax.random.normal(noise_key, image.shape, image.dtype)
            else:
                other = jnp.asarray(self.fill, image.dtype)
            return jnp.where(box_mask(drawn, *sides)[..., None], other, image)

        return apply_if(jnp.asarray(drawn.height) > 0, erased, image)


def cutout(key: Array, image: Array, *, size: int, fill: float = 0.0) -> Array:
    """Erases a square whose centre may be any pixel, cut off at the borders.

    Cutout (DeVries and Taylor, arXiv 1708.04552).

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
