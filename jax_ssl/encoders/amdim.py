"""The encoder of AMDIM (Bachman et al., 2019, arXiv:1906.00910), as its code has it.

No layer but the first of the largest network is padded, so that a feature of the
coarser grids sees a part of the image and nothing else: what two distant cells have in
common must be in the image, and not in the border.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.nn.mlp import TORCH_UNIFORM
from jax_ssl.nn.norm import BatchNorm
from jax_ssl.ops.conv import conv_general_dilated

# By the side of the images: (kernel, stride) of the residual stages after the stem, of
# which each doubles the channels.
STAGES = {
    32: ((4, 2), (2, 2)),
    64: ((4, 2), (4, 2), (2, 2)),
    128: ((4, 2), (4, 2), (2, 2)),
}


class AMDIMEncoder(nn.Module, kw_only=True):
    """Residual stages without padding, from 7 x 7 over 5 x 5 to one feature.

    Attributes:
        image_size: side of the images that end as one feature. Other images give a
            larger last grid, of which `Features.pooled` is the mean.
        width: channels of the stem; ndf of the code.
        output_dim: of the feature of the whole image; n_rkhs of the code.
        depth: layers of each residual stage.
        batch_norm: inside of residual layers and after the 7 x 7 grid; a batch norm
            ends the network in any case.
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    image_size: Literal[32, 64, 128] = 128
    width: int = 128
    output_dim: int = 1024
    depth: int = 3
    batch_norm: bool = False
    groups: int = 1
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has."""
        checks.words(self)
        checks.at_least(1, width=self.width, output_dim=self.output_dim)
        checks.at_least(1, depth=self.depth, groups=self.groups)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to pooled [B, D] and grid [B, h, w, D].

        The pyramid holds the outputs of the stem and of all stages; images of
        `image_size` have grids of 7, 5, 3 and 1 cells at its end.

        Raises:
            ValueError: if the image is too small.
        """
        self._fits(x)
        if self.image_size == 128:
            x = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
            x = nn.relu(self._conv(x, self.width, 5, 2, "stem0"))
        x = nn.relu(self._conv(x, self.width, 3, 1, "stem"))
        if self.image_size == 32:
            x = self._residual(x, self.width, 1, 1, "stem_block", train)
        levels = [x]
        for i, (size, stride) in enumerate(STAGES[self.image_size]):
            channels = self.width * 2 ** (i + 1)
            x = self._stage(x, channels, size, stride, f"stage{i}", train)
            levels.append(x)
        if self.batch_norm:
            x = levels[-1] = self._norm("norm", x, train)
        for i in range(2):
            x = self._stage(x, x.shape[-1], 3, 1, f"local{i}", train)
            levels.append(x)
        x = self._residual(x, self.output_dim, 3, 1, "global", train)
        x = self._norm("global_norm", x, train)
        levels.append(x)
        return Features(
            x.mean((1, 2), dtype=jnp.float32), grid=x, pyramid=tuple(levels)
        )

    def _stage(
        self, x: Array, channels: int, size: int, stride: int, name: str, train: bool
    ) -> Array:
        x = self._residual(x, channels, size, stride, f"{name}_block0", train)
        for i in range(1, self.depth):
            x = self._residual(x, channels, 1, 1, f"{name}_block{i}", train)
        return x

    def _residual(
        self, x: Array, channels: int, size: int, stride: int, name: str, train: bool
    ) -> Array:
        """A convolution, ReLU and 1x1, beside a mean pool with channels of zeros.

        The 1x1 convolution starts at 0. Where there are fewer channels than before, a
        convolution takes the place of the pool.
        """
        y = self._conv(x, channels, size, stride, f"{name}_conv", bias=False)
        if self.batch_norm:
            y = self._norm(f"{name}_norm", y, train)
        y = self._conv(nn.relu(y), channels, 1, 1, f"{name}_out", bias=False, zero=True)
        grown = channels - x.shape[-1]
        if grown < 0:
            return y + self._conv(x, channels, size, stride, f"{name}_shortcut")
        if size > 1:
            x = nn.avg_pool(x, (size, size), (stride, stride))
        return y + jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, grown))).astype(y.dtype)

    def _conv(
        self,
        x: Array,
        channels: int,
        size: int,
        stride: int,
        name: str,
        *,
        bias: bool = True,
        zero: bool = False,
    ) -> Array:
        return nn.Conv(
            channels,
            (size, size),
            (stride, stride),
            padding="VALID",
            use_bias=bias,
            kernel_init=nn.initializers.zeros if zero else TORCH_UNIFORM,
            dtype=self.dtype,
            conv_general_dilated=conv_general_dilated,
            name=name,
        )(x)

    def _norm(self, name: str, x: Array, train: bool) -> Array:
        norm = BatchNorm(groups=self.groups, dtype=self.dtype, name=name)
        return norm(x, train=train)

    def _fits(self, x: Array) -> None:
        """Refuses images of which a layer would leave nothing."""
        side = min(x.shape[1:3])
        if self.image_size == 128:
            side = (side - 1) // 2 + 1
        side -= 2
        for size, stride in STAGES[self.image_size]:
            side = (side - size) // stride + 1
        if side < 7:
            raise ValueError(
                f"images of {x.shape[1]} x {x.shape[2]} pixels leave "
                f"{max(side, 0)} x {max(side, 0)} cells where 7 x 7 are needed; give at"
                f" least encoder.image_size = {self.image_size} pixels, or choose a "
                "smaller one of 32, 64 and 128."
            )
