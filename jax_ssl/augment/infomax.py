"""The views of AMDIM: two crops that are mirrored together."""

from collections.abc import Sequence

from jax_ssl.augment.pixels import IMAGENET_MEAN, IMAGENET_STD
from jax_ssl.augment.recipe import Recipe
from jax_ssl.augment.views import two_crops


def amdim(
    *,
    size: int = 128,
    min_scale: float = 0.3,
    max_scale: float = 1.0,
    min_ratio: float = 0.7,
    max_ratio: float = 1.4,
    flip: float = 0.5,
    strength: float = 1.0,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.2),
    jitter_probability: float = 0.8,
    gray_probability: float = 0.2,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> Recipe:
    """AMDIM (arXiv 1906.00910), numbers of the released code for ImageNet.

    Both views are mirrored or none is. The code's CIFAR-10 has gray_probability=0.25
    and, in the place of the crop, shifts of up to 4 pixels.

    Args:
        size: side of a view.
        min_scale: smallest share of the image's area.
        max_scale: largest.
        min_ratio: smallest width / height of the crop.
        max_ratio: largest.
        flip: probability that both views are mirrored.
        strength: multiplies the jitter's amounts.
        jitter: brightness, contrast, saturation, hue at strength 1.
        jitter_probability: that colours are jittered.
        gray_probability: that a view loses its colours.
        mean: subtracted.
        std: divided by.

    Returns:
        Views [2, size, size, C].
    """
    views = two_crops(
        size=size,
        min_scale=min_scale,
        max_scale=max_scale,
        min_ratio=min_ratio,
        max_ratio=max_ratio,
        flip=0.0,
        strength=strength,
        jitter=jitter,
        jitter_probability=jitter_probability,
        gray_probability=gray_probability,
        blur_probability=0.0,
        mean=mean,
        std=std,
    )
    return Recipe("amdim", views.parts()[""], mirror=flip)
