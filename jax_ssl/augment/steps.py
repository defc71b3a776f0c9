"""The operations of a recipe as values, to be listed in the order of a paper.

A step holds the paper's numbers, refuses wrong ones when it is made, and is called with
a key and one image. `recipe.View` makes a view of a list of steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import jax

from jax_ssl.augment import blur, color, crop
from jax_ssl.augment.checks import (
    check_choice,
    check_jitter,
    check_moments,
    check_probability,
    check_range,
)
from jax_ssl.augment.pixels import standardize
from jax_ssl.core.types import Array
from jax_ssl.ops.filters import gaussian_blur
from jax_ssl.ops.platforms import apply_if
from jax_ssl.ops.resize import FILTERS
from jax_ssl.ops.stencils import box_gaussian_blur


class Step(Protocol):
    """One operation on one image.

    Attributes:
        name: for pictures.
        off: the setting of recipes that leaves it out, where it needs three channels.
    """

    name: ClassVar[str]
    off: ClassVar[str | None]

    @property
    def active(self) -> bool:
        """Whether it can change anything."""

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, C] float32 in [0, 1] -> the same; `Standardize` leaves [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class RandomCrop:
    """A random resized crop, mirrored with a probability; always the first step.

    Attributes:
        size: side of the view.
        min_scale: smallest share of the image's area.
        max_scale: largest.
        min_ratio: smallest width / height of the crop.
        max_ratio: largest.
        interpolation: antialiased filter of the resize.
        sampling: what becomes of crops that do not fit; see `crop.random_box`.
        flip: probability of a mirror image.
    """

    size: int = 224
    min_scale: float = 0.08
    max_scale: float = 1.0
    min_ratio: float = 3 / 4
    max_ratio: float = 4 / 3
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    sampling: Literal["torchvision", "clipped"] = "torchvision"
    flip: float = 0.5

    name: ClassVar[str] = "crop, flip"

    def __post_init__(self) -> None:
        me = "crop"
        check_range(me, 1, size=self.size)
        check_range(me, 1e-6, 1.0, min_scale=self.min_scale, max_scale=self.max_scale)
        check_range(me, 1e-3, min_ratio=self.min_ratio, max_ratio=self.max_ratio)
        check_choice(me, "interpolation", self.interpolation, tuple(FILTERS))
        check_choice(me, "sampling", self.sampling, crop.SAMPLINGS)
        check_probability(me, flip=self.flip)

    def __call__(self, key: Array, image: Array, extent: Array | None) -> Array:
        """[H, W, C] -> [size, size, C] in the image's range, inside `extent`."""
        crop_key, flip_key = jax.random.split(key)
        return crop.random_resized_crop(
            crop_key,
            image,
            self.size,
            extent=extent,
            scale=(self.min_scale, self.max_scale),
            ratio=(self.min_ratio, self.max_ratio),
            method=self.interpolation,
            sampling=self.sampling,
            mirror=jax.random.bernoulli(flip_key, self.flip),
        )


@dataclass(frozen=True, kw_only=True)
class ColorJitter:
    """Brightness, contrast, saturation and hue in a random order.

    Attributes:
        amounts: of the four, at strength 1; see `color.random_jitter`.
        strength: multiplies `amounts`.
        probability: that anything changes.
        brightness: a factor, or an offset.
    """

    amounts: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2)
    strength: float = 1.0
    probability: float = 0.8
    brightness: Literal["multiplicative", "additive"] = "multiplicative"

    name: ClassVar[str] = "color jitter"
    off: ClassVar[str | None] = "strength"

    def __post_init__(self) -> None:
        check_jitter(self.name, self.strength, self.amounts)
        check_probability(self.name, probability=self.probability)
        check_choice(self.name, "brightness", self.brightness, color.BRIGHTNESS_FORMS)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0 and self.strength * max(self.amounts) > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, 3] in [0, 1] -> the same."""
        a, b, c, d = (self.strength * amount for amount in self.amounts)
        drawn = color.random_jitter(
            key,
            amounts=(a, b, c, d),
            probability=self.probability,
            brightness=self.brightness,
        )
        return color.apply_jitter(image, drawn, brightness=self.brightness)


@dataclass(frozen=True, kw_only=True)
class Grayscale:
    """The luma in all channels, with a probability."""

    probability: float = 0.2

    name: ClassVar[str] = "grayscale"
    off: ClassVar[str | None] = "gray_probability"

    def __post_init__(self) -> None:
        check_probability(self.name, probability=self.probability)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, 3] in [0, 1] -> the same."""
        return color.random_grayscale(key, image, probability=self.probability)


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Gaussian blur with a probability and a random width.

    Attributes:
        probability: that the image is blurred.
        min_sigma: smallest standard deviation, in pixels of the view.
        max_sigma: largest.
        kernel: "sampled" taps (SimCLR, BYOL, torchvision) or "pillow", three boxes, as
            in the released codes of MoCo, SwAV, DINO, Barlow Twins and VICReg.
        kernel_share: taps as a share of the side, where sampled.
    """

    probability: float = 0.5
    min_sigma: float = 0.1
    max_sigma: float = 2.0
    kernel: Literal["sampled", "pillow"] = "sampled"
    kernel_share: float = 0.1

    name: ClassVar[str] = "blur"
    off: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        check_probability(self.name, probability=self.probability)
        check_range(self.name, 0.0, min_sigma=self.min_sigma, max_sigma=self.max_sigma)
        check_choice(self.name, "kernel", self.kernel, ("sampled", "pillow"))
        check_range(self.name, 0.0, 1.0, kernel_share=self.kernel_share)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0 and self.max_sigma > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, C] -> the same."""
        width = (self.min_sigma, self.max_sigma)
        sigma = blur.random_sigma(key, probability=self.probability, sigma=width)

        def blurred(image: Array) -> Array:
            if self.kernel == "pillow":
                return box_gaussian_blur(image, sigma, max_sigma=self.max_sigma)
            taps = blur.kernel_size_for(min(image.shape[:2]), self.kernel_share)
            return gaussian_blur(image, sigma, kernel_size=taps)

        return apply_if(sigma > 0, blurred, image)


@dataclass(frozen=True, kw_only=True)
class Solarize:
    """Values at or above the threshold are inverted, with a probability."""

    probability: float = 0.2
    threshold: float = 0.5

    name: ClassVar[str] = "solarize"
    off: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        check_probability(self.name, probability=self.probability)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, C] in [0, 1] -> the same."""
        return color.random_solarize(
            key, image, probability=self.probability, threshold=self.threshold
        )


@dataclass(frozen=True)
class Standardize:
    """(x - mean) / std per channel, or nothing; all but random erasing come before."""

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    name: ClassVar[str] = "standardize"
    off: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        check_moments(self.name, self.mean, self.std)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.mean is not None

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, C] -> the same."""
        del key
        return standardize(image, self.mean, self.std)
