"""The transformations of Exemplar-CNN (Dosovitskiy et al., 2014, arXiv:1406.6909).

A seed patch is moved, scaled and turned, its contrast changes along the principal
components of pixels, its saturation and value in HSV by a power, a factor and an
offset, and its hue by an offset; all pixels of a patch share what is drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.augment.affine import random_affine_matrix
from jax_ssl.augment.crop import between, resized_center_crop
from jax_ssl.augment.pixels import IMAGENET_MEAN, IMAGENET_STD
from jax_ssl.augment.recipe import Recipe, View
from jax_ssl.augment.steps import Standardize, Step
from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.ops import color
from jax_ssl.ops.warp import BORDERS, affine_points, sample

Range = tuple[float, float]

# Principal components of ImageNet's pixels, a row each, from the largest variance to
# the least: about grey, blue to yellow, and green to magenta. They are the eigenvectors
# that many implementations of AlexNet's colour noise (Krizhevsky, 2012) carry.
IMAGENET_COMPONENTS = (
    (-0.5675, -0.5808, -0.5836),
    (0.7192, -0.0045, -0.6948),
    (0.4009, -0.8140, 0.4203),
)


@dataclass(frozen=True, kw_only=True)
class MovedPatch:
    """The middle of an image, moved, scaled and turned; always the first step.

    Attributes:
        size: side of the patch.
        resize: what the image's shorter side is resized to before; `size` at least.
            Where it is larger, what comes in at the border is the image's own.
        translate: shift along each axis, uniform up to this share of the patch.
        scale: smallest and largest factor of what is seen, uniform.
        degrees: turn, uniform in [-degrees, degrees].
        border: what comes in from outside of the image: "zero", or "edge" for its
            nearest pixel.
    """

    size: int
    resize: int
    translate: float
    scale: Range
    degrees: float
    border: Literal["zero", "edge"] = "edge"

    name: ClassVar[str] = "affine"

    def __post_init__(self) -> None:
        checks.at_least(1, size=self.size)
        checks.rising(size=self.size, resize=self.resize)
        checks.within("[0, 1]", translate=self.translate)
        checks.positive(min_scale=self.scale[0], max_scale=self.scale[1])
        checks.rising(min_scale=self.scale[0], max_scale=self.scale[1])
        checks.within("[0, 180]", degrees=self.degrees)
        checks.one_of(BORDERS, border=self.border)

    def __call__(self, key: Array, image: Array, extent: Array | None) -> Array:
        """Maps [H, W, C] to [size, size, C] float32 in the image's own range.

        Args:
            key: PRNG key.
            image: uint8 or float.
            extent: [2] int32 (height, width) of the filled top-left part of `image`,
                where that is a canvas; None for all of it.
        """
        matrix = random_affine_matrix(
            key,
            self.size,
            self.size,
            degrees=self.degrees,
            translate=self.translate,
            scale=self.scale,
        )
        whole = resized_center_crop(
            image, self.resize, self.resize, extent=extent, method="bilinear"
        )
        points = affine_points(matrix, self.size, self.size)
        inside = points + (self.resize - self.size) // 2
        return sample(whole, inside, border=self.border)


@dataclass(frozen=True, kw_only=True)
class ComponentContrast(Step):
    """Contrast along each principal component of pixels, by a factor of its own.

    Attributes:
        factor: smallest and largest, log-uniform.
        components: unit vectors [3, 3], a row each, at right angles to each other.
        center: the colour that factors leave as it is, the mean pixel.
    """

    factor: Range = (0.5, 2.0)
    components: Sequence[Sequence[float]] = IMAGENET_COMPONENTS
    center: Sequence[float] = IMAGENET_MEAN

    name = "PCA contrast"
    off = "strength"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive(contrast=self.factor)
        rows = np.array(self.components, np.float64)
        square = rows.shape == (3, 3)
        if not square or np.abs(rows @ rows.T - np.eye(3)).max() > 0.01:
            raise ValueError(
                f"components = {self.components} must be three unit vectors at right "
                "angles, the eigenvectors of the covariance of pixels, a row each."
            )
        if len(self.center) != 3:
            raise ValueError(
                f"center = {self.center} must be a colour, one number a channel."
            )

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0 and self.factor != (1.0, 1.0)

    def draw(self, key: Array) -> Array:
        """Factors of the three components, [3]; 1 where nothing is to change."""
        applied, *uniform = jax.random.uniform(key, (4,))
        factors = log_uniform(self.factor, jnp.stack(uniform))
        return jnp.where(applied < self.probability, factors, 1.0)

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, 3] in [0, 1] -> the same."""
        rows, center = (
            jnp.array(x, jnp.float32) for x in (self.components, self.center)
        )
        more = self.draw(key) - 1.0
        # x + Σ (fₖ - 1) (x - m)·uₖ uₖ, which factors of 1 leave as it is, exactly.
        centred = image - center
        for k in range(3):
            along = jnp.sum(centred * rows[k], axis=-1, keepdims=True)
            image = image + more[k] * along * rows[k]
        return jnp.clip(image, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class SaturationValue(Step):
    """Saturation and value of HSV to a power, times a factor, plus an offset.

    Attributes:
        power: smallest and largest, log-uniform; one of each of the two.
        factor: smallest and largest, log-uniform, likewise.
        offset: smallest and largest, uniform, likewise.
    """

    power: Range = (0.25, 4.0)
    factor: Range = (0.7, 1.4)
    offset: Range = (-0.1, 0.1)

    name = "saturation, value"
    off = "strength"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive(power=self.power, factor=self.factor)
        checks.within("[-1, 1]", offset=self.offset)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        neutral = self.power == self.factor == (1.0, 1.0) and self.offset == (0.0, 0.0)
        return self.probability > 0 and not neutral

    def draw(self, key: Array) -> Array:
        """(power, factor, offset) of saturation and of value, [2, 3]."""
        uniform = jax.random.uniform(key, (7,))
        power, factor, offset = uniform[1:].reshape(3, 2)
        drawn = jnp.stack(
            [
                log_uniform(self.power, power),
                log_uniform(self.factor, factor),
                between(self.offset, offset),
            ],
            axis=1,
        )
        neutral = jnp.array([1.0, 1.0, 0.0])
        return jnp.where(uniform[0] < self.probability, drawn, neutral)

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, 3] in [0, 1] -> the same."""
        saturation, value = self.draw(key)
        return color.saturation_value(image, saturation, value)


@dataclass(frozen=True, kw_only=True)
class HueShift(Step):
    """The hue of all pixels, turned.

    Attributes:
        amount: uniform in [-amount, amount], in turns.
    """

    amount: float = 0.1

    name = "hue"
    off = "strength"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.within("[0, 0.5]", hue=self.amount)

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.probability > 0 and self.amount > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, 3] in [0, 1] -> the same."""
        applied, amount = jax.random.uniform(key, (2,))
        shift = self.amount * (2.0 * amount - 1.0)
        return color.hue(image, jnp.where(applied < self.probability, shift, 0.0))


def log_uniform(bounds: Range, uniform: Array) -> Array:
    """What is log-uniform in the bounds, out of what is uniform in [0, 1)."""
    return jnp.exp(between((math.log(bounds[0]), math.log(bounds[1])), uniform))


def exemplar(
    *,
    num_views: int | None = None,
    size: int = 32,
    resize: int | None = None,
    translate: float = 0.2,
    min_scale: float = 0.7,
    max_scale: float = 1.4,
    degrees: float = 20.0,
    border: Literal["zero", "edge"] = "edge",
    strength: float = 1.0,
    contrast: Range = (0.5, 2.0),
    components: Sequence[Sequence[float]] = IMAGENET_COMPONENTS,
    center: Sequence[float] = IMAGENET_MEAN,
    power: Range = (0.25, 4.0),
    factor: Range = (0.7, 1.4),
    offset: Range = (-0.1, 0.1),
    hue: float = 0.1,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
    carried: tuple[str, ...] = ("index",),
) -> Recipe:
    """Random transformations of the patch in the middle of every image, the seed.

    The kinds and ranges are those of Exemplar-CNN (arXiv 1406.6909). Which
    distributions they have inside of these ranges is not said there: here factors of
    colours and powers are log-uniform, all others uniform, and values are cut to [0, 1]
    after every step. The paper's seeds lie where gradients are strong, here in the
    middle of an image; of images of 32 pixels, that is all of them.

    Args:
        num_views: how many; None: one, without an axis of views. With two, and
            `carried=()`, they are a pair for any joint-embedding method.
        size: side of the patch.
        resize: what the image's shorter side is resized to first; `size` unless given.
        translate: shift along each axis, as a share of the patch.
        min_scale: smallest factor of the size of what is seen.
        max_scale: largest.
        degrees: turn to either side.
        border: what comes in from outside: "zero", or "edge", the nearest pixel.
        strength: the colours' ranges are this power of the factors' and this share of
            the offsets'; 0 leaves the colours alone.
        contrast: smallest and largest factor along each principal component.
        components: unit vectors of the principal components of pixels, a row each;
            ImageNet's unless given.
        center: the mean pixel that contrast is about.
        power: smallest and largest power of saturation and value.
        factor: smallest and largest factor of both.
        offset: smallest and largest offset of both.
        hue: largest offset of the hue, in turns.
        mean: per channel, subtracted.
        std: per channel, divided by.
        carried: fields of the example to hand over.

    Returns:
        {"image": [size, size, 3] float32, "index": []}, or [num_views, size, size, 3]
        images; where nothing is carried, the images alone.

    Raises:
        ValueError: if a setting is out of its range.
    """
    checks.at_least(1, num_views=num_views)
    checks.at_least(0, strength=strength)
    checks.positive(contrast=contrast, power=power, factor=factor)

    def scaled(bounds: Range) -> Range:
        return bounds[0] ** strength, bounds[1] ** strength

    view = View(
        MovedPatch(
            size=size,
            resize=size if resize is None else resize,
            translate=translate,
            scale=(min_scale, max_scale),
            degrees=degrees,
            border=border,
        ),
        ComponentContrast(
            factor=scaled(contrast),
            components=tuple(map(tuple, components)),
            center=tuple(center),
        ),
        SaturationValue(
            power=scaled(power),
            factor=scaled(factor),
            offset=(strength * offset[0], strength * offset[1]),
        ),
        HueShift(amount=strength * hue),
        Standardize(mean, std),
    )
    views = view if num_views is None else (view,) * num_views
    return Recipe("exemplar", {"image": views} if carried else views, carried)
