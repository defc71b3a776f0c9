"""AlexNet with batch norm, the network of the papers on pretext tasks.

The layers are Krizhevsky's (2012) on one device, in the form that DeepCluster (Caron et
al., 2018, arXiv:1807.05520) has released: 96, 256, 384, 384 and 256 channels, a batch
norm after each convolution in place of the normalisation across channels. RotNet's
released network is `widths=(64, 192, 384, 256, 256)`.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.encoders.conv import ConvNorm
from jax_ssl.nn.group_norm import Norm
from jax_ssl.nn.mlp import MLP


class AlexNet(nn.Module, kw_only=True):
    """Convolution, norm and ReLU for conv1 to conv5, then fully connected layers.

    For images of 32 pixels set `kernel=5, stride=1`, which leaves conv1 32 x 32, conv2
    15 x 15 and conv3 to conv5 7 x 7 cells; for smaller ones leave out pools as well.

    Attributes:
        widths: channels of each convolution. conv2 has a kernel of 5 x 5, later ones of
            3 x 3.
        kernel: side of conv1's kernel.
        stride: of conv1.
        padding: zeros on every side of conv1's input.
        pools: numbers of the convolutions, from 1, that a 3x3 max pool with stride 2
            follows. That of the last one lies before what is pooled, not in the grid.
        pool: "mean" averages the cells into widths[-1] features; "flat" lays them out,
            as the fully connected layers of the papers read them.
        hidden_dims: widths of fully connected layers, each with norm and ReLU, after
            which `Features.pooled` is read. The papers' fc6 and fc7 are
            `pool="flat", hidden_dims=(4096, 4096)`.
        groups: batch-norm groups of the global batch.
        norm: "batch"; "group_ws": group norm and standardised weights, which never
            look at another row; all widths must then be multiples of 16. Or "layer",
            layer norm.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    widths: tuple[int, ...] = (96, 256, 384, 384, 256)
    kernel: int = 11
    stride: int = 4
    padding: int = 2
    pools: tuple[int, ...] = (1, 2, 5)
    pool: Literal["mean", "flat"] = "mean"
    hidden_dims: tuple[int, ...] = ()
    groups: int = 1
    norm: Norm = "batch"
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has.

        Raises:
            ValueError: naming the setting, its value and what it must be.
        """
        lists = self.widths, self.pools, self.hidden_dims
        self.widths, self.pools, self.hidden_dims = map(tuple, lists)
        checks.words(self)
        checks.not_empty(widths=self.widths)
        checks.at_least(1, widths=self.widths)
        checks.at_least(1, kernel=self.kernel, stride=self.stride)
        checks.at_least(1, hidden_dims=self.hidden_dims, groups=self.groups)
        checks.within(f"[0, {self.kernel})", padding=self.padding)
        checks.within(f"[1, {len(self.widths)}]", pools=self.pools)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to the grid of the last convolution.

        The pyramid holds the output of every convolution, after its ReLU and before its
        pool. 224 x 224 pixels give 55, 27, 13, 13 and 13 cells on a side, and 6 after
        the last pool.

        Raises:
            ValueError: if the image is too small for the layers.
        """
        layer = ConvNorm(self.norm, self.groups, self.dtype, train)
        size = x.shape[1:3]
        levels = []
        for i, width in enumerate(self.widths, start=1):
            side, stride, padding = {
                1: (self.kernel, self.stride, self.padding),
                2: (5, 1, 2),
            }.get(i, (3, 1, 1))
            self._fits(x, side - 2 * padding, size)
            name = "{}" + str(i)
            x = layer(x, width, side, name=name, stride=stride, padding=padding)
            x = nn.relu(x)
            levels.append(x)
            if i in self.pools:
                self._fits(x, 3, size)
                x = nn.max_pool(x, (3, 3), (2, 2))
        if self.pool == "flat":
            pooled = x.reshape(x.shape[0], -1).astype(jnp.float32)
        else:
            pooled = x.mean((1, 2), dtype=jnp.float32)
        if self.hidden_dims:
            dense = MLP(
                self.hidden_dims,
                groups=self.groups,
                norm=self.norm,
                last_norm="affine",
                dtype=self.dtype,
                name="fc",
            )
            pooled = nn.relu(dense(pooled, train=train))
        return Features(pooled, grid=levels[-1], pyramid=tuple(levels))

    def _fits(self, x: Array, least: int, size: tuple[int, ...]) -> None:
        """Refuses cells that a layer would leave none of."""
        if min(x.shape[1:3]) < least:
            raise ValueError(
                f"images of {size[0]} x {size[1]} pixels are too small for kernel = "
                f"{self.kernel}, stride = {self.stride} and pools = {self.pools}, which"
                " leave no cell; for 32 pixels set encoder.kernel = 5 and "
                "encoder.stride = 1, for smaller ones fewer encoder.pools too."
            )
