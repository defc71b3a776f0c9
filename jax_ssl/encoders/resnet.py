"""ResNet (He et al., 2016, arXiv:1512.03385), 18 to 152 layers, any width.

The conventions are those of torchvision, so that converted weights give the same
features: explicit symmetric padding, the stride of a bottleneck on its 3x3 convolution
("v1.5"), a 1x1 convolution and a norm on every shortcut that changes shape, ε = 1e-5.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.encoders.conv import ConvNorm, KernelInit
from jax_ssl.nn.depth import recomputed
from jax_ssl.nn.group_norm import Norm
from jax_ssl.ops.patches import grid_shape, patchify

SQUEEZED = 32  # The least channels between the two layers that choose.


def selective(
    layer: ConvNorm, x: Array, channels: int, stride: int, ratio: float
) -> Array:
    """Selective kernels (Li et al., 2019, arXiv:1903.06586) as in SimCLR v2.

    Two streams, both of a 3x3 convolution, are mixed channel by channel, by weights
    that the means of their sum over the image tell.

    Args:
        layer: the convolutions and norms of the network.
        x: [B, h, w, C'].
        channels: C of the output.
        stride: of the 3x3 convolution.
        ratio: channels between the layers that choose, by C.

    Returns:
        [B, h / stride, w / stride, C].
    """
    y = nn.relu(layer(x, 2 * channels, 3, name="{}1", stride=stride))
    first, second = jnp.split(y, 2, axis=-1)
    means = (first + second).mean((1, 2), keepdims=True, dtype=jnp.float32)
    squeezed = max(int(channels * ratio), SQUEEZED)
    z = nn.relu(layer(means, squeezed, 1, name="{}_squeeze"))
    scores = layer.conv(z, 2 * channels, 1, name="conv_mix").astype(jnp.float32)
    # The softmax of two.
    share = nn.sigmoid(scores[..., :channels] - scores[..., channels:]).astype(y.dtype)
    return share * first + (1 - share) * second


class Block(nn.Module):
    """Residual block of two 3x3 convolutions, or 1x1, 3x3, 1x1 for a bottleneck.

    Attributes:
        channels: a bottleneck's output has four times as many.
        inner: of the 3x3 convolution.
        stride: of the first 3x3 convolution.
        bottleneck: the three-convolution form.
        zero_init_residual: the last norm's scale starts at 0, the block as identity.
        sk_ratio: of the network.
        layer: the convolutions and norms of the network.
    """

    channels: int
    inner: int
    stride: int
    bottleneck: bool
    zero_init_residual: bool
    sk_ratio: float
    layer: ConvNorm

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B, h, w, C] to [B, h / stride, w / stride, C']."""
        c, inner = self.channels, self.inner
        if self.bottleneck:
            layers = [(inner, 1, 1), (inner, 3, self.stride), (4 * c, 1, 1)]
        else:
            layers = [(c, 3, self.stride), (c, 3, 1)]
        y = x
        for i, (channels, size, stride) in enumerate(layers):
            if i > 0:
                y = nn.relu(y)
            if self.sk_ratio > 0 and i == 1:
                y = selective(self.layer, y, channels, stride, self.sk_ratio)
                continue
            zero = self.zero_init_residual and i == len(layers) - 1
            name = "{}" + str(i)
            y = self.layer(y, channels, size, name=name, stride=stride, zero_scale=zero)
        if x.shape != y.shape:
            name, stride = "{}_shortcut", self.stride
            if self.sk_ratio > 0:
                # Zeros behind the end count with a stride, and without do not.
                x = nn.avg_pool(
                    x,
                    (2, 2),
                    (stride, stride),
                    padding=((0, 1), (0, 1)),
                    count_include_pad=stride > 1,
                )
                stride = 1
            x = self.layer(x, y.shape[-1], 1, name=name, stride=stride)
        return nn.relu(x + y)


class ResNet(nn.Module, kw_only=True):
    """Residual network over images.

    Attributes:
        stage_sizes: blocks of each stage; stage i has channels * 2**i * width channels.
        bottleneck: three-convolution blocks (50 layers and more).
        stem: "imagenet" (7x7 stride 2, 3x3 max pool stride 2); "small" (3x3 stride 1,
            no pool), for images of about 32 pixels; or "patches", a linear map of
            patches that do not overlap, for small images and little time.
        patch: side of these patches in pixels; divides the image's sides.
        channels: of the stem and the first stage, before `width`; 64 in the papers.
        width: multiplies the channels of every layer (SimCLR's 1x, 2x, 4x).
        inner_width: multiplies those within a bottleneck alone, as in torchvision's
            "wide" networks, whose pooled features are no wider.
        groups: batch-norm groups of the global batch.
        norm: "batch"; "group_ws": group norm and standardised weights, which never
            look at another row. Or "layer", layer norm.
        stem_padding: zeros on every side of the image before the stem's convolution;
            None for half its kernel, 3 or 1. solo-learn's networks for CIFAR have 2
            with the small stem, so that their grid has two cells more.
        pool_padding: of the pool behind the "imagenet" stem: "symmetric", torch's, or
            "same", TensorFlow's, which pads images of an even size behind their end
            alone.
        conv_padding: of the convolutions, likewise; Haiku's, and so BYOL's, is "same".
        sk_ratio: above 0, the networks of SimCLR v2 (arXiv:2006.10029) with selective
            kernels, whose value is 0.0625: see `selective`. Their "imagenet" stem has
            three 3x3 convolutions, and their shortcuts average before the convolution
            (ResNet-D, arXiv:1812.01187). For bottlenecks alone.
        zero_init_residual: the last norm of every block starts with scale 0. It is the
            choice of SimCLR, BYOL, SimSiam, MoCo v3, Barlow Twins and VICReg; MoCo,
            SwAV, DeepCluster-v2, DINO, NPID and W-MSE start all scales with 1, as do
            torchvision's networks unless told otherwise.
        kernel_init: "he_fan_out" (torchvision's) or "lecun_fan_in" (SimCLR's).
        remat: what the backward pass makes again to save memory: "none", or "full",
            all that is inside of a block, for one more forward pass.
        dtype: compute dtype; parameters and `Features.pooled` are float32.

    """

    stage_sizes: tuple[int, ...]
    bottleneck: bool
    stem: Literal["imagenet", "small", "patches"] = "imagenet"
    patch: int = 2
    channels: int = 64
    width: int = 1
    inner_width: int = 1
    groups: int = 1
    norm: Norm = "batch"
    stem_padding: int | None = None
    pool_padding: Literal["symmetric", "same"] = "symmetric"
    conv_padding: Literal["symmetric", "same"] = "symmetric"
    sk_ratio: float = 0.0
    zero_init_residual: bool = True
    kernel_init: KernelInit = "he_fan_out"
    remat: Literal["none", "full"] = "none"
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has.

        Raises:
            ValueError: naming the setting, its value and what it must be.
        """
        self.stage_sizes = tuple(self.stage_sizes)  # A module must be hashable.
        checks.words(self)
        checks.at_least(1, stage_sizes=self.stage_sizes, stages=len(self.stage_sizes))
        checks.at_least(1, width=self.width, groups=self.groups)
        checks.at_least(1, patch=self.patch, channels=self.channels)
        checks.at_least(1, inner_width=self.inner_width)
        if self.inner_width > 1 and not self.bottleneck:
            raise ValueError(
                f"inner_width = {self.inner_width} widens bottlenecks, and the blocks "
                "of this network are none; set width, or bottleneck = True."
            )
        checks.at_least(0, stem_padding=self.stem_padding, sk_ratio=self.sk_ratio)
        if self.sk_ratio > 0 and not self.bottleneck:
            raise ValueError(
                f"sk_ratio = {self.sk_ratio} is of bottlenecks, and the blocks of this "
                "network are none; set sk_ratio = 0, or bottleneck = True."
            )
        if self.sk_ratio > 0 and self.stem_padding is not None:
            raise ValueError(
                f"stem_padding = {self.stem_padding} is of one convolution, and with "
                "sk_ratio the stem has several; set stem_padding = None."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to pooled [B, D] and grid [B, H / 32, W / 32, D].

        The grid is H / 8 x W / 8 with the small stem, which patches divide further, and
        in the compute dtype. It is averaged in float32. The pyramid holds the stem's
        output (before its pool) and every stage's.

        Raises:
            ValueError: if patches do not fill the image.
        """
        imagenet = self.stem == "imagenet"
        deep = imagenet and self.sk_ratio > 0
        size, stride = (7, 2) if imagenet else (3, 1)
        layer = ConvNorm(
            self.norm,
            self.groups,
            self.dtype,
            train,
            self.kernel_init,
            self.conv_padding,
        )
        if deep:
            size, channels = 3, 32 * self.width
            for i in range(2):
                x = layer(x, channels, 3, name=f"stem{i}_{{}}", stride=stride)
                x, stride = nn.relu(x), 1
        if self.stem == "patches":
            # As a matrix product, which every platform is fast at.
            size, (h, w) = 1, grid_shape(x.shape[1], x.shape[2], self.patch)
            x = patchify(x, self.patch).reshape(len(x), h, w, -1)
        x = layer(
            x,
            self.channels * self.width,
            size,
            name="stem_{}",
            stride=stride,
            padding=self.stem_padding,
        )
        x = nn.relu(x)
        levels = [x]
        if imagenet:
            around = ((1, 1), (1, 1)) if self.pool_padding == "symmetric" else "SAME"
            x = nn.max_pool(x, (3, 3), (2, 2), padding=around)
        for i, blocks in enumerate(self.stage_sizes):
            for j in range(blocks):
                channels = self.channels * 2**i * self.width
                x = recomputed(Block, self.remat, static=())(
                    channels=channels,
                    inner=channels * self.inner_width,
                    stride=2 if i > 0 and j == 0 else 1,
                    bottleneck=self.bottleneck,
                    zero_init_residual=self.zero_init_residual,
                    sk_ratio=self.sk_ratio,
                    layer=layer,
                    name=f"stage{i}_block{j}",
                )(x)
            levels.append(x)
        pooled = x.mean((1, 2), dtype=jnp.float32)
        return Features(pooled, grid=x, pyramid=tuple(levels))
