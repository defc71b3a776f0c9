"""A small convolutional network for tiny images and laptops.

No paper: the least network in which the methods of this library can be watched to
learn within minutes on a CPU.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.encoders.conv import ConvNorm
from jax_ssl.nn.group_norm import Norm


class ConvNet(nn.Module, kw_only=True):
    """Stages of 3x3 convolution, norm and ReLU; 2x2 max pools between them.

    Attributes:
        widths: channels of each stage.
        pool: "mean" averages the grid into widths[-1] features; "flat" lays it out
            into h * w * widths[-1], which keeps where things are and suits images that
            are centred, such as digits.
        groups: batch-norm groups of the global batch.
        norm: "batch"; "group_ws": group norm and standardised weights, which never
            look at another row; widths must then be multiples of 16. Or "layer",
            layer norm.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    widths: tuple[int, ...] = (24, 48)
    pool: Literal["mean", "flat"] = "mean"
    groups: int = 1
    norm: Norm = "batch"
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has.

        Raises:
            ValueError: naming the setting, its value and what it must be.
        """
        self.widths = tuple(self.widths)  # A module must be hashable.
        checks.words(self)
        checks.at_least(1, widths=self.widths, stages=len(self.widths))
        checks.at_least(1, groups=self.groups)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to a grid of side H / 2**(len(widths) - 1).

        The pyramid holds the output of every stage.

        Raises:
            ValueError: if the image is too small for the pools.
        """
        least = 2 ** (len(self.widths) - 1)
        if min(x.shape[1:3]) < least:
            raise ValueError(
                f"images of {x.shape[1]} x {x.shape[2]} pixels are too small for "
                f"{len(self.widths)} stages, which halve them to nothing; give at "
                f"least {least} pixels or fewer encoder.widths."
            )
        layer = ConvNorm(self.norm, self.groups, self.dtype, train)
        levels = []
        for i, width in enumerate(self.widths):
            if i > 0:
                x = nn.max_pool(x, (2, 2), (2, 2))
            x = nn.relu(layer(x, width, 3, name="{}" + str(i)))
            levels.append(x)
        if self.pool == "flat":
            pooled = x.reshape(x.shape[0], -1).astype(jnp.float32)
        else:
            pooled = x.mean((1, 2), dtype=jnp.float32)
        return Features(pooled, grid=x, pyramid=tuple(levels))
