"""The layer of this folder's networks over images: a convolution and its norm."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import flax.linen as nn

from jax_ssl.core.types import Array, ComputeDtype
from jax_ssl.nn.group_norm import Norm, StandardizedConv, norm_layer
from jax_ssl.ops.conv import conv_general_dilated

KernelInit: TypeAlias = Literal["he_fan_out", "lecun_fan_in"]
KERNEL_INITS: dict[KernelInit, nn.initializers.Initializer] = {
    # He et al. (2015, arXiv:1502.01852) with fan-out, as in torchvision.
    "he_fan_out": nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
    # TensorFlow's default variance scaling, as in SimCLR.
    "lecun_fan_in": nn.initializers.lecun_normal(),
}


@dataclass(frozen=True)
class ConvNorm:
    """A square convolution without bias and its norm, alike in all of a network.

    It is called inside of a compact method, whose module gets the two layers.

    Attributes:
        norm: "batch"; "group_ws": group norm, and a standardised kernel; or "layer".
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters are float32.
        train: as for the norm.
        kernel_init: see `KERNEL_INITS`.
        conv_padding: where a call gives none: "same" is TensorFlow's, which pads
            behind more than before where a stride leaves an odd number.
    """

    norm: Norm
    groups: int
    dtype: ComputeDtype
    train: bool
    kernel_init: KernelInit = "he_fan_out"
    conv_padding: Literal["symmetric", "same"] = "symmetric"

    def conv(
        self,
        x: Array,
        channels: int,
        size: int,
        *,
        name: str,
        stride: int = 1,
        padding: int | str = 0,
    ) -> Array:
        """The convolution alone; see `__call__`."""
        layer = StandardizedConv if self.norm == "group_ws" else nn.Conv
        return layer(
            channels,
            (size, size),
            (stride, stride),
            padding=padding,
            use_bias=False,
            kernel_init=KERNEL_INITS[self.kernel_init],
            dtype=self.dtype,
            conv_general_dilated=conv_general_dilated,
            name=name,
        )(x)

    def __call__(
        self,
        x: Array,
        channels: int,
        size: int,
        *,
        name: str,
        stride: int = 1,
        padding: int | None = None,
        zero_scale: bool = False,
    ) -> Array:
        """Maps x [B, h, w, C] to [B, h / stride, w / stride, channels].

        Padding is explicit and alike on every side unless `conv_padding` is told,
        because "SAME" with a stride pads one side less than the other, which shifts the
        grid against most published weights.

        Args:
            x: the input.
            channels: of the output.
            size: side of the kernel, odd where no padding is given.
            name: of both layers, with "{}" in the place of "conv" and "norm".
            stride: step of the output grid in input cells.
            padding: zeros on every side; None for `size // 2`, or `conv_padding`.
            zero_scale: whether the scale of the norm starts at 0 in place of 1.
        """
        around = "SAME" if self.conv_padding == "same" else size // 2
        x = self.conv(
            x,
            channels,
            size,
            name=name.format("conv"),
            stride=stride,
            padding=around if padding is None else padding,
        )
        return norm_layer(
            self.norm,
            groups=self.groups,
            scale_init=nn.initializers.zeros if zero_scale else nn.initializers.ones,
            dtype=self.dtype,
            name=name.format("norm"),
        )(x, train=self.train)
