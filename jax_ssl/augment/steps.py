"""The operations of a recipe as values, to be listed in the order of a paper.

A step holds the paper's numbers, refuses wrong ones when it is made, and is called with
a key and one image. `recipe.View` makes a view of a list of steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax

from jax_ssl.augment import blur, color, crop
from jax_ssl.augment.pixels import check_moments, standardize
from jax_ssl.core import checks
from jax_ssl.core.types import Array


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
        checks.words(self)
        checks.at_least(1, size=self.size)
        checks.within("(0, 1]", min_scale=self.min_scale, max_scale=self.max_scale)
        checks.rising(min_scale=self.min_scale, max_scale=self.max_scale)
        checks.positive(min_ratio=self.min_ratio, max_ratio=self.max_ratio)
        checks.rising(min_ratio=self.min_ratio, max_ratio=self.max_ratio)
        checks.within("[0, 1]", flip=self.flip)

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
class Step:
    """One operation on one image, done with a probability.

    Attributes:
        probability: that anything changes.
        name: for pictures.
        off: the setting of recipes that leaves it out, where it needs three channels.
    """

    probability: float = 1.0

    name: ClassVar[str]
    off: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        checks.words(self)
        checks.within("[0, 1]", **{f"{self.name} probability": self.probability})

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, C] float32 in [0, 1] -> the same; `Standardize` leaves [0, 1]."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ColorJitter(Step):
    """Brightness, contrast, saturation and hue in a random order.

    Attributes:
        amounts: of the four, at strength 1; see `color.random_jitter`.
        strength: multiplies `amounts`.
        brightness: a factor, or an offset.
    """

    probability: float = 0.8
    amounts: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2)
    strength: float = 1.0
    brightness: Literal["multiplicative", "additive"] = "multiplicative"

    name = "color jitter"
    off = "strength"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least(0, strength=self.strength, jitter=self.amounts)
        if len(self.amounts) != 4:
            raise ValueError(
                f"jitter = {self.amounts} must be four amounts: brightness, contrast, "
                "saturation, hue."
            )
        if self.strength * self.amounts[3] > 0.5:
            raise ValueError(
                f"strength = {self.strength} times the hue jitter {self.amounts[3]} is "
                "above half a turn, all there is; take a strength up to "
                f"{0.5 / self.amounts[3]:g}."
            )

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
class Grayscale(Step):
    """The luma in all channels."""

    probability: float = 0.2

    name = "grayscale"
    off = "gray_probability"

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, 3] in [0, 1] -> the same."""
        return color.random_grayscale(key, image, probability=self.probability)


@dataclass(frozen=True, kw_only=True)
class Blur(Step):
    """Gaussian blur of a random width.

    Attributes:
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

    name = "blur"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least(0, min_sigma=self.min_sigma, max_sigma=self.max_sigma)
        checks.rising(min_sigma=self.min_sigma, max_sigma=self.max_sigma)
        checks.within("[0, 1]", blur_kernel_share=self.kernel_share)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0 and self.max_sigma > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, C] -> the same."""
        how: dict[str, Any] = {
            "probability": self.probability,
            "sigma": (self.min_sigma, self.max_sigma),
        }
        if self.kernel == "pillow":
            return blur.random_pillow_blur(key, image, **how)
        taps = blur.kernel_size_for(min(image.shape[:2]), self.kernel_share)
        return blur.random_blur(key, image, kernel_size=taps, **how)


@dataclass(frozen=True, kw_only=True)
class Solarize(Step):
    """Values at or above the threshold are inverted."""

    probability: float = 0.2
    threshold: float = 0.5

    name = "solarize"

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, C] in [0, 1] -> the same."""
        return color.random_solarize(
            key, image, probability=self.probability, threshold=self.threshold
        )


@dataclass(frozen=True)
class Standardize(Step):
    """(x - mean) / std per channel, or nothing; all but random erasing come before."""

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    name = "standardize"

    def __post_init__(self) -> None:
        check_moments(self.mean, self.std)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.mean is not None

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, C] -> the same."""
        del key
        return standardize(image, self.mean, self.std)
