"""The feature pyramid of PWC-Net (Sun et al., 2018, arXiv:1709.02371)."""

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.nn.leaky import LeakyConv


class PWCNet(nn.Module, kw_only=True):
    """Pairs of 3 x 3 convolutions and leaky ReLU, the first of each of stride 2.

    Attributes:
        widths: channels of each level; each halves the sides. The defaults are those of
            monocular scene flow (Hur & Roth, 2020, arXiv:2004.04143); PWC-Net itself
            has 16, 32, 64, 96, 128, 196.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    widths: tuple[int, ...] = (32, 64, 96, 128, 192, 256)
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has.

        Raises:
            ValueError: naming the setting, its value and what it must be.
        """
        self.widths = tuple(self.widths)  # A module must be hashable.
        checks.words(self)
        checks.at_least(1, widths=self.widths)
        checks.not_empty(widths=self.widths)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to a pyramid of sides H / 2, H / 4, ..., rounded up.

        The grid is its last level, and `pooled` the mean of it.
        """
        del train
        levels = []
        for i, width in enumerate(self.widths):
            x = LeakyConv(width, stride=2, dtype=self.dtype, name=f"down{i}")(x)
            x = LeakyConv(width, dtype=self.dtype, name=f"conv{i}")(x)
            levels.append(x)
        return Features(x.mean((1, 2), dtype=jnp.float32), x, tuple(levels))
