"""Steps of training with labels, which no self-supervised recipe has.

With the settings of timm's `rand-m9-mstd0.5-inc1` and `reprob 0.25`, which MAE's
fine-tuning uses (He et al., 2022, arXiv:2111.06377, table 9).
"""

from dataclasses import dataclass
from typing import ClassVar

from jax_ssl.augment.checks import check_probability, check_range
from jax_ssl.augment.erase import random_erasing
from jax_ssl.augment.randaugment import rand_augment
from jax_ssl.core.types import Array


@dataclass(frozen=True, kw_only=True)
class RandAugment:
    """RandAugment in timm's form; see `randaugment.rand_augment`.

    Attributes:
        num_ops: operations in a row; 0 for none.
        magnitude: mean strength, 10 the strongest.
    """

    num_ops: int = 2
    magnitude: float = 9.0

    name: ClassVar[str] = "RandAugment"
    off: ClassVar[str | None] = "rand_augment_ops"

    def __post_init__(self) -> None:
        check_range("RandAugment", 0, rand_augment_ops=self.num_ops)
        check_range("RandAugment", 0.0, 10.0, rand_augment_magnitude=self.magnitude)

    @property
    def active(self) -> bool:
        """Whether there are operations."""
        return self.num_ops > 0

    def __call__(self, key: Array, image: Array) -> Array:
        """[h, w, 3] in [0, 1] -> the same."""
        return rand_augment(key, image, num_ops=self.num_ops, magnitude=self.magnitude)


@dataclass(frozen=True, kw_only=True)
class RandomErasing:
    """A box of standard normal noise; behind `Standardize`, as in timm.

    Attributes:
        probability: that there is one.
    """

    probability: float = 0.25

    name: ClassVar[str] = "random erasing"
    off: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        check_probability("random erasing", erase_probability=self.probability)

    @property
    def active(self) -> bool:
        """Whether it can erase."""
        return self.probability > 0

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
