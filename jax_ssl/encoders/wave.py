"""Strided convolutions over the samples of a wave.

The defaults are those of contrastive predictive coding (van den Oord et al., 2018,
arXiv:1807.03748, section 3.1): five layers that leave one vector for every 160 samples.
The paper has no norm; here a group norm, which never looks at another row, follows each
layer.
"""

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.encoders.conv import KERNEL_INITS
from jax_ssl.nn.group_norm import GroupNorm


class WaveEncoder(nn.Module, kw_only=True):
    """Layers of one-dimensional convolution, group norm and ReLU.

    Attributes:
        widths: channels of each layer; multiples of `norm_groups`.
        kernels: samples that each layer looks at.
        strides: steps of each layer, at most its kernel.
        norm_groups: groups of channels of the norm; 0 for no norm.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    widths: tuple[int, ...] = (512, 512, 512, 512, 512)
    kernels: tuple[int, ...] = (10, 8, 4, 4, 4)
    strides: tuple[int, ...] = (5, 4, 2, 2, 2)
    norm_groups: int = 16
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has."""
        sizes = self.widths, self.kernels, self.strides
        self.widths, self.kernels, self.strides = map(tuple, sizes)
        if not self.widths or len({len(each) for each in sizes}) > 1:
            raise ValueError(
                f"widths = {self.widths}, kernels = {self.kernels} and strides = "
                f"{self.strides} must have the same length; give one of each for every "
                "layer."
            )
        checks.at_least(1, widths=self.widths, strides=self.strides)
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            checks.at_least(stride, kernels=kernel)
        checks.at_least(0, norm_groups=self.norm_groups)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps waves [B, T] to a grid [B, t, D], t about T over all strides.

        The pyramid holds the output of every layer.

        Raises:
            ValueError: if the input is no wave.
        """
        if x.ndim != 2:
            raise ValueError(
                f"the wave encoder reads waves [B, T], not {x.shape}; choose views of "
                "waves, such as two_windows."
            )
        x = x[..., None]
        levels = []
        layers = zip(self.widths, self.kernels, self.strides, strict=True)
        for i, (width, kernel, stride) in enumerate(layers):
            pad = -(-(kernel - stride) // 2)  # On both sides alike, as in torch's code.
            x = nn.Conv(
                width,
                (kernel,),
                (stride,),
                padding=((pad, pad),),
                use_bias=self.norm_groups == 0,
                kernel_init=KERNEL_INITS["he_fan_out"],
                dtype=self.dtype,
                name=f"conv{i}",
            )(x)
            if self.norm_groups:
                norm = GroupNorm(self.norm_groups, dtype=self.dtype, name=f"norm{i}")
                x = norm(x, train=train)
            x = nn.relu(x)
            levels.append(x)
        pooled = x.mean(1, dtype=jnp.float32)
        return Features(pooled, grid=x, pyramid=tuple(levels))
