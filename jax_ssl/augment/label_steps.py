"""Steps of training with labels, which no self-supervised recipe has.

With the settings of timm's `rand-m9-mstd0.5-inc1` and `reprob 0.25`, which MAE's
fine-tuning uses (He et al., 2022, arXiv:2111.06377, table 9).
"""

from dataclasses import dataclass

from jax_ssl.augment.erase import random_erasing
from jax_ssl.augment.randaugment import rand_augment
from jax_ssl.augment.steps import Step
from jax_ssl.core import checks
from jax_ssl.core.types import Array


@dataclass(frozen=True, kw_only=True)
class RandAugment(Step):
    """RandAugment in timm's form; see `randaugment.rand_augment`.

    Attributes:
        num_ops: operations in a row; 0 for none.
        magnitude: mean strength, 10 the strongest.
    """

    num_ops: int = 2
    magnitude: float = 9.0

    name = "RandAugment"
    off = "rand_augment_ops"

    def __post_init__(self) -> None:
        checks.at_least(0, rand_augment_ops=self.num_ops)
        checks.within("[0, 10]", rand_augment_magnitude=self.magnitude)

    @property
    def active(self) -> bool:
        """Whether there are operations."""
        return self.num_ops > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, 3] in [0, 1] -> the same."""
        return rand_augment(key, image, num_ops=self.num_ops, magnitude=self.magnitude)


@dataclass(frozen=True, kw_only=True)
class RandomErasing(Step):
    """A box of standard normal noise; behind `Standardize`, as in timm."""

    probability: float = 0.25

    name = "random erasing"

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, C], standardized -> the same."""
        return random_erasing(
            key,
            image,
            probability=self.probability,
            scale=(0.02, 1 / 3),
            ratio=(0.3, 1 / 0.3),
            fill="noise",
        )
