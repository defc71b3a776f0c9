"""Pairs of convolutions that halve an image many times: the encoders of early depth.

The contracting half of DispNet (Mayer et al., 2016, arXiv:1512.02134) in the form of
SfMLearner (Zhou et al., 2017, arXiv:1704.07813), and with `halving="second",
activation="elu"` the VGG-like encoder of Monodepth (Godard et al., 2017,
arXiv:1609.03677). The released codes have no norm, the paper of SfMLearner has batch
norm.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.nn.disparity import ACTIVATIONS, Activation, convolution
from jax_ssl.nn.norm import BatchNorm


class DispNet(nn.Module, kw_only=True):
    """Two convolutions for each level, of which one has stride 2.

    Attributes:
        widths: channels of each level; each halves the sides, an odd one upwards.
        kernels: sides of the kernels of the first levels; those of later ones are 3.
        halving: which convolution of a pair has stride 2, the "first" or the "second".
        activation: "relu" or "elu", after every convolution.
        norm: "none", or "batch" before every activation.
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 512, 512, 512)
    kernels: tuple[int, ...] = (7, 5)
    halving: Literal["first", "second"] = "first"
    activation: Activation = "relu"
    norm: Literal["none", "batch"] = "none"
    groups: int = 1
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has.

        Raises:
            ValueError: naming the setting, its value and what it must be.
        """
        self.widths, self.kernels = tuple(self.widths), tuple(self.kernels)
        checks.words(self)
        checks.not_empty(widths=self.widths)
        checks.at_least(1, widths=self.widths, kernels=self.kernels)
        checks.at_least(1, groups=self.groups)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to a grid of side H / 2**len(widths).

        The pyramid holds the output of every level; its first is half as fine as the
        image.
        """
        act, levels = ACTIVATIONS[self.activation], []
        kernels = dict.fromkeys(range(len(self.widths)), 3) | dict(
            enumerate(self.kernels)
        )
        strides = (2, 1) if self.halving == "first" else (1, 2)
        for i, width in enumerate(self.widths):
            for part, stride in zip("ab", strides, strict=True):
                x = convolution(
                    x,
                    width,
                    kernels[i],
                    stride=stride,
                    dtype=self.dtype,
                    name=f"conv{i}{part}",
                )
                if self.norm == "batch":
                    name = f"norm{i}{part}"
                    norm = BatchNorm(groups=self.groups, dtype=self.dtype, name=name)
                    x = norm(x, train=train)
                x = act(x)
            levels.append(x)
        pooled = x.mean((1, 2), dtype=jnp.float32)
        return Features(pooled, grid=x, pyramid=tuple(levels))
