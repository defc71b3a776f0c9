"""FlowNetC's layers for one image (Fischer et al., 2015, arXiv:1504.06852)."""

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.nn.leaky import LeakyConv


class FlowNet(nn.Module, kw_only=True):
    """Strided convolutions and leaky ReLU, without norm; the same for both images.

    Attributes:
        widths: channels of each level; each halves the sides.
        kernels: sides of the kernels, as many.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    widths: tuple[int, ...] = (64, 128, 256)
    kernels: tuple[int, ...] = (7, 5, 5)
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has.

        Raises:
            ValueError: naming the setting, its value and what it must be.
        """
        self.widths = tuple(self.widths)  # A module must be hashable.
        self.kernels = tuple(self.kernels)
        checks.words(self)
        checks.at_least(1, widths=self.widths, kernels=self.kernels)
        checks.not_empty(widths=self.widths)
        if len(self.widths) != len(self.kernels):
            raise ValueError(
                f"widths = {self.widths} and kernels = {self.kernels} must have the "
                "same length."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to a pyramid of sides H / 2, H / 4, ..., rounded up.

        The grid is its last level, and `pooled` the mean of it.
        """
        del train
        levels = []
        for i, (width, size) in enumerate(zip(self.widths, self.kernels, strict=True)):
            layer = LeakyConv(width, size, 2, dtype=self.dtype, name=f"conv{i}")
            x = layer(x)
            levels.append(x)
        return Features(x.mean((1, 2), dtype=jnp.float32), x, tuple(levels))
