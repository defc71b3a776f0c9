"""The convolution of this folder: square, symmetric padding, no bias."""

from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.nn.group_norm import Norm, StandardizedConv
from jax_ssl.ops.conv import conv_general_dilated

KernelInit: TypeAlias = Literal["he_fan_out", "lecun_fan_in"]
KERNEL_INITS: dict[KernelInit, nn.initializers.Initializer] = {
    # He et al. (2015, arXiv:1502.01852) with fan-out, as in torchvision.
    "he_fan_out": nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
    # TensorFlow's default variance scaling, as in SimCLR.
    "lecun_fan_in": nn.initializers.lecun_normal(),
}


def conv(
    features: int,
    size: int,
    *,
    stride: int = 1,
    kernel_init: KernelInit = "he_fan_out",
    norm: Norm = "batch",
    dtype: Any = jnp.float32,
    name: str,
) -> nn.Conv:
    """Convolution of `size` x `size` with `size // 2` zeros on every side.

    Padding is explicit because "SAME" with a stride pads one side less than the
    other, which shifts the grid against published weights.

    Args:
        features: output channels.
        size: odd side of the kernel.
        stride: step of the output grid in input cells.
        kernel_init: see `KERNEL_INITS`.
        norm: of the layer that follows; "group_ws" standardises the kernel.
        dtype: compute dtype; the kernel is float32.
        name: of the sub-module.
    """
    pad = (size // 2, size // 2)
    layer = nn.Conv if norm == "batch" else StandardizedConv
    return layer(
        features,
        (size, size),
        (stride, stride),
        padding=(pad, pad),
        use_bias=False,
        kernel_init=KERNEL_INITS[kernel_init],
        dtype=dtype,
        conv_general_dilated=conv_general_dilated,
        name=name,
    )
