"""Convolutions with a leaky ReLU, the layers of networks of optical flow."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.conv import conv_general_dilated, transposed_conv

SLOPE = 0.1  # Below 0, as in FlowNet and PWC-Net.
HE = nn.initializers.he_normal()
# An output of a doubling layer reads a quarter of the 4 x 4 taps.
HE_DOUBLING = nn.initializers.variance_scaling(8.0, "fan_in", "normal")


class LeakyConv(nn.Module):
    """A convolution with offsets, and a leaky ReLU behind it.

    Attributes:
        features: channels of the output.
        size: side of the kernel, odd.
        stride: step of the output grid in cells of the input.
        dilation: step between taps.
        gain: of the first weights; 1 is He's (2015, arXiv:1502.01852).
        activated: whether the leaky ReLU follows.
        dtype: compute dtype; parameters are float32.
    """

    features: int
    size: int = 3
    stride: int = 1
    dilation: int = 1
    gain: float = 1.0
    activated: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), features]."""
        x = nn.Conv(
            self.features,
            (self.size, self.size),
            (self.stride, self.stride),
            # Alike on every side, which "SAME" is not where there is a stride.
            padding=self.dilation * (self.size // 2),
            kernel_dilation=self.dilation,
            kernel_init=nn.initializers.variance_scaling(
                2.0 * self.gain**2, "fan_in", "normal"
            ),
            dtype=self.dtype,
            conv_general_dilated=conv_general_dilated,
            name="conv",
        )(x)
        return nn.leaky_relu(x, SLOPE) if self.activated else x


class LeakyUpConv(nn.Module):
    """A transposed convolution that doubles the sides of a grid.

    Attributes:
        features: channels of the output.
        activated: whether a leaky ReLU follows.
        dtype: compute dtype; parameters are float32.
    """

    features: int
    activated: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B, H, W, C] to [B, 2 H, 2 W, features]."""
        shape = (4, 4, x.shape[-1], self.features)
        kernel = self.param("kernel", HE_DOUBLING, shape).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = transposed_conv(x.astype(self.dtype), kernel) + bias.astype(self.dtype)
        return nn.leaky_relu(x, SLOPE) if self.activated else x


def enlarged(x: Array, factor: int) -> Array:
    """Grids [B, H, W, C] with sides `factor` times as long, bilinear; values stay."""
    batch, height, width, channels = x.shape
    sides = (batch, factor * height, factor * width, channels)
    return jax.image.resize(x, sides, "bilinear")


def check_halvings(shape: tuple[int, ...], stride: int) -> None:
    """Refuses images whose sides the coarsest grid does not divide.

    Args:
        shape: of the images, [..., H, W, C].
        stride: pixels of a cell of the coarsest grid.

    Raises:
        ValueError: if either side is no multiple of `stride`.
    """
    height, width = shape[-3:-1]
    if height % stride or width % stride:
        raise ValueError(
            f"images of {height} x {width} pixels: the coarsest cells of this network "
            f"are {stride} x {stride}; give config.views.size = two multiples of "
            f"{stride}, or the network fewer levels."
        )
