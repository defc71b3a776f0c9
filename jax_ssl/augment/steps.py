"""The operations of a recipe as values, to be listed in the order of a paper.

A step holds the paper's numbers, refuses wrong ones when it is made, and is called with
a key and one image. `recipe.View` makes a view of a crop and a list of steps. Axes
before [H, W, C], such as the frames of a video, share what is drawn.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.augment.affine import quarter_turn
from jax_ssl.augment.color import ORDERS, Jitter, apply_jitter
from jax_ssl.augment.crop import random_place
from jax_ssl.augment.pixels import check_moments, standardize
from jax_ssl.augment.tones import random_photometric, sometimes
from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.ops import color
from jax_ssl.ops.filters import gaussian_blur
from jax_ssl.ops.platforms import apply_if
from jax_ssl.ops.stencils import box_gaussian_blur


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
        """[..., h, w, C] float32 in [0, 1] -> the same; `Standardize` leaves it."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ColorJitter(Step):
    """Brightness, contrast, saturation and hue in a random order.

    Attributes:
        amounts: of the four, at strength 1; see `draw`.
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

    def draw(self, key: Array) -> Jitter:
        """The parameters of one colour jitter.

        Factors are uniform in [max(0, 1 - a), 1 + a], an additive brightness in
        [-a, a], the hue shift in [-a, a], a being the amount times the strength, and
        the order is one of all 24. With 1 - `probability` all four are those of the
        identity.
        """
        additive = self.brightness == "additive"
        neutral = np.array([0.0 if additive else 1.0, 1.0, 1.0, 0.0])
        amounts = self.strength * np.array(self.amounts)
        low, high = neutral - amounts, neutral + amounts
        low = np.where(neutral == 1.0, np.maximum(low, 0.0), low)
        uniform = jax.random.uniform(key, (6,))
        drawn = jnp.float32(low) + jnp.float32(high - low) * uniform[:4]
        drawn = jnp.where(uniform[4] < self.probability, drawn, jnp.float32(neutral))
        order = random_place(uniform[5], len(ORDERS) - 1).astype(jnp.int32)
        first, contrast, saturation, hue = drawn
        brightness, offset = (jnp.ones(()), first) if additive else (first, 0.0)
        return Jitter(brightness, contrast, saturation, hue, order, offset)

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, 3] in [0, 1] -> the same."""
        return apply_jitter(image, self.draw(key))


@dataclass(frozen=True, kw_only=True)
class Grayscale(Step):
    """The luma in all channels."""

    probability: float = 0.2

    name = "grayscale"
    off = "gray_probability"

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, 3] in [0, 1] -> the same."""
        return sometimes(key, image, color.grayscale, probability=self.probability)


@dataclass(frozen=True, kw_only=True)
class Blur(Step):
    """Gaussian blur of a random width, in one of the two forms that go by that name.

    SimCLR (arXiv 2002.05709), appendix A: probability 0.5, a standard deviation that is
    uniform in [0.1, 2], taps a tenth of the side. MoCo v2 (arXiv 2003.04297), in
    the released code: Pillow's radius, uniform in [0.1, 2].

    Attributes:
        min_sigma: smallest standard deviation, in pixels of the view.
        max_sigma: largest.
        kernel: "sampled" taps, as in SimCLR's and BYOL's released codes (which have
            zeros beyond the border, where here it is reflected) and torchvision's
            `GaussianBlur`; or "pillow", three boxes, which is Pillow's
            `ImageFilter.GaussianBlur` and in the released codes of MoCo v2 and v3,
            SwAV, SimSiam, Barlow Twins, VICReg and DINO.
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

    def draw(self, key: Array) -> Array:
        """A standard deviation [], uniform in its range, or 0 for no blur."""
        applied, amount = jax.random.uniform(key, (2,))
        drawn = self.min_sigma + (self.max_sigma - self.min_sigma) * amount
        return jnp.where(applied < self.probability, drawn, 0.0)

    def kernel_size(self, side: int) -> int:
        """The odd number of taps that is about their share of `side`, at least 3."""
        return 2 * max(1, int(side * self.kernel_share) // 2) + 1

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, C] -> the same."""
        sigma, taps = self.draw(key), self.kernel_size(min(image.shape[-3:-1]))

        def blurred(image: Array) -> Array:
            if self.kernel == "pillow":
                return box_gaussian_blur(image, sigma, max_sigma=self.max_sigma)
            return gaussian_blur(image, sigma, kernel_size=taps)

        return apply_if(sigma > 0, blurred, image)


@dataclass(frozen=True, kw_only=True)
class Solarize(Step):
    """Values at or above the threshold are inverted.

    BYOL (arXiv 2006.07733), appendix B: threshold 0.5, probability 0 in the first view
    and 0.2 in the second.
    """

    probability: float = 0.2
    threshold: float = 0.5

    name = "solarize"

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, C] in [0, 1] -> the same."""
        solarized = functools.partial(color.solarize, threshold=self.threshold)
        return sometimes(key, image, solarized, probability=self.probability)


@dataclass(frozen=True, kw_only=True)
class Photometric(Step):
    """Posterisation, sharpness, solarisation and autocontrast: all four, or none."""

    probability: float = 0.66

    name = "photometric"

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, C] in [0, 1] -> the same."""
        return random_photometric(key, image, probability=self.probability)


@dataclass(frozen=True, kw_only=True)
class Turn(Step):
    """None, one, two or three quarter turns, each as likely; pixels are only moved."""

    name = "quarter turn"

    def draw(self, key: Array) -> Array:
        """The number of counter-clockwise quarters, [] int32 in 0 to 3."""
        applied, which = jax.random.uniform(key, (2,))
        quarters = random_place(which, 3).astype(jnp.int32)
        return jnp.where(applied < self.probability, quarters, 0)

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, h, C] -> the same."""
        return quarter_turn(image, self.draw(key))


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
        """[..., h, w, C] -> the same."""
        del key
        return standardize(image, self.mean, self.std)
