"""RandAugment (Cubuk et al., arXiv 1909.13719), in the forms of timm and torchvision.

The two differ in operations, amounts and chances. `RandAugment` is timm's
`rand-m9-mstd0.5-inc1`, which the fine-tuning of MAE uses; `first_rand_augment` is the
form without `inc1`, which the views of InfoMin have; `torchvision_rand_augment` has the
defaults of torchvision's `RandAugment`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.augment.crop import random_place
from jax_ssl.augment.operations import NAMES, Operation, apply_operation
from jax_ssl.augment.steps import Step
from jax_ssl.core import checks
from jax_ssl.core.types import Array

TIMM = NAMES[1:]
TORCHVISION = tuple(n for n in NAMES if n not in ("invert", "solarize_add"))
ENHANCEMENTS = ("brightness", "contrast", "color", "sharpness")

# ImageNet's mean colour, with which timm fills what comes in from outside.
MEAN_COLOUR = (124 / 255, 116 / 255, 104 / 255)


def random_operation(
    key: Array,
    height: int,
    width: int,
    *,
    magnitude: float = 9.0,
    magnitude_std: float = 0.5,
    probability: float = 0.5,
    increasing: bool = True,
) -> Operation:
    """Draws an operation of timm's `rand-m{magnitude}-mstd{magnitude_std}-inc1`.

    One of its 15 operations, and with `probability` an amount by a magnitude that is
    normal and clipped to [0, 10]; otherwise the identity. Without `increasing` it is
    the form without `inc1`, in which the strongest magnitude solarizes nothing,
    posterizes least and takes enhancements one way only, to their highest factor.
    """
    uniform_key, normal_key = jax.random.split(key)
    which, applied, coin = jax.random.uniform(uniform_key, (3,))
    drawn = magnitude + magnitude_std * jax.random.normal(normal_key)
    share = jnp.clip(drawn, 0.0, 10.0) / 10.0
    signed = jnp.where(coin < 0.5, -share, share)
    amounts: dict[str, Array | float] = {
        "rotate": 30.0 * signed,
        "shear_x": 0.3 * signed,
        "shear_y": 0.3 * signed,
        "translate_x": 0.45 * width * signed,
        "translate_y": 0.45 * height * signed,
        **dict.fromkeys(ENHANCEMENTS, jnp.maximum(1.0 + 0.9 * signed, 0.1)),
        "solarize": 256.0 - jnp.floor(256.0 * share),
        "solarize_add": jnp.floor(110.0 * share),
        "posterize": 4.0 - jnp.floor(4.0 * share),
    }
    if not increasing:
        amounts |= dict.fromkeys(ENHANCEMENTS, 0.1 + 1.8 * share)
        amounts |= {"solarize": jnp.floor(256.0 * share)}
        amounts |= {"posterize": jnp.floor(4.0 * share)}
    return _chosen(TIMM, which, amounts, applied < probability)


def random_operation_torchvision(
    key: Array, height: int, width: int, *, magnitude: int = 9, num_bins: int = 31
) -> Operation:
    """Draws an operation of torchvision's `RandAugment`: one of 14, always."""
    which, coin = jax.random.uniform(key, (2,))
    share = magnitude / (num_bins - 1)
    sign = jnp.where(coin < 0.5, -1.0, 1.0)
    amounts: dict[str, Array | float] = {
        "rotate": 30.0 * share * sign,
        "shear_x": 0.3 * share * sign,
        "shear_y": 0.3 * share * sign,
        "translate_x": int(150 / 331 * width * share) * sign,
        "translate_y": int(150 / 331 * height * share) * sign,
        **dict.fromkeys(ENHANCEMENTS, 1.0 + 0.9 * share * sign),
        "solarize": 255.0 * (1.0 - share),
        "posterize": 8.0 - round(4 * share),
    }
    return _chosen(TORCHVISION, which, amounts, jnp.asarray(True))


def _chosen(
    names: Sequence[str],
    which: Array,
    amounts: Mapping[str, Array | float],
    applied: Array,
) -> Operation:
    picked = jnp.arange(len(names)) == random_place(which, len(names) - 1)
    # Sums over tables rather than gathers.
    places = np.array([NAMES.index(name) for name in names])
    number = jnp.where(applied, jnp.sum(jnp.where(picked, places, 0)), 0)
    values = jnp.stack([jnp.float32(amounts.get(name, 0.0)) for name in names])
    amount = jnp.sum(jnp.where(picked & applied, values, 0.0))
    return Operation(number.astype(jnp.int32), amount)


@dataclass(frozen=True, kw_only=True)
class RandAugment(Step):
    """RandAugment; the defaults are timm's and MAE's (arXiv 2111.06377, table 9).

    Attributes:
        num_ops: operations in a row, drawn with replacement; 0 for none.
        magnitude: mean strength, 10 the strongest; in torchvision's form a place among
            the strengths from 0.
        draw: (key, height, width, *, magnitude) -> Operation, `random_operation` or
            `random_operation_torchvision`, perhaps with further settings of it.
        interpolation: of the geometric operations.
        fill: what comes in from outside of the image.
    """

    num_ops: int = 2
    magnitude: float = 9.0
    draw: Callable[..., Operation] = random_operation
    interpolation: str = "bicubic"
    fill: float | Sequence[float] = MEAN_COLOUR

    name = "RandAugment"
    off = "rand_augment_ops"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least(0, rand_augment_ops=self.num_ops)

    @property
    def active(self) -> bool:
        """Whether there are operations."""
        return self.num_ops > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, 3] in [0, 1] -> the same; frames share all that is drawn."""
        apply = partial(
            apply_operation, interpolation=self.interpolation, fill=self.fill
        )

        def one(image: Array, key: Array) -> tuple[Array, None]:
            drawn = self.draw(key, *image.shape[-3:-1], magnitude=self.magnitude)
            return apply(image, drawn), None

        return jax.lax.scan(one, image, jax.random.split(key, self.num_ops))[0]


first_rand_augment = partial(
    RandAugment, magnitude=10.0, draw=partial(random_operation, increasing=False)
)
torchvision_rand_augment = partial(
    RandAugment, draw=random_operation_torchvision, interpolation="nearest", fill=0.0
)
