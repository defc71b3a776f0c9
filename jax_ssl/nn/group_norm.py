"""Normalisation that never looks at another row: group norm on standardised weights.

Channel norm, which never looks at another place either, is for sequences.

Also the choice between it, layer norm and batch norm, by one word for a whole network.
"""

from typing import Any, Literal, TypeAlias, get_args

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.nn.affine import Dense
from jax_ssl.nn.norm import BatchNorm, Scaled

# "layer" is a group norm of one group, over all channels and places of a row (layer
# norm, Ba et al., 2016, arXiv:1607.06450).
Norm: TypeAlias = Literal["batch", "group_ws", "layer"]


class GroupNorm(Scaled):
    """Group normalisation (Wu & He, 2018, arXiv:1803.08494).

    The channels of every row are cut into consecutive groups, each normalised by its
    mean and (biased) variance over its channels and places.

    Attributes:
        num_groups: divides the channels.
    """

    num_groups: int = 16

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Normalises x [B, ..., C] row by row, alike in training and evaluation.

        Raises:
            ValueError: if `num_groups` does not divide C.
        """
        del train
        width = x.shape[-1]
        if width % self.num_groups:
            raise ValueError(
                f"group norm cannot cut {width} channels into {self.num_groups} groups;"
                f" give layers a width that is a multiple of {self.num_groups}."
            )
        grouped = x.astype(jnp.float32).reshape(
            x.shape[0], -1, self.num_groups, width // self.num_groups
        )
        centred = grouped - grouped.mean((1, 3), keepdims=True)
        # Two passes: E[x^2] - E[x]^2 loses all digits when |mean| >> std.
        variance = jnp.square(centred).mean((1, 3), keepdims=True)
        y = (centred * lax.rsqrt(variance + self.epsilon)).reshape(x.shape)
        return self.scaled(y)


class ChannelNorm(Scaled):
    """Normalisation over the channels of every place by itself, as CPC_audio has it.

    It is layer norm whose variance is the unbiased one, Σ (x - mean)² / (C - 1), as in
    facebookresearch/CPC_audio. No place learns anything of another one, which a norm
    over time would let it: there the future leaks into the past.
    """

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Normalises x [..., C] over C, alike in training and evaluation.

        Raises:
            ValueError: if there is one channel alone.
        """
        del train
        width = x.shape[-1]
        checks.at_least(2, channels_of_channel_norm=width)
        x = x.astype(jnp.float32)
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centred).sum(-1, keepdims=True) / (width - 1)
        return self.scaled(centred * lax.rsqrt(variance + self.epsilon))


def standardize_kernel(kernel: Array, epsilon: float = 1e-10) -> Array:
    """Zero mean and unit variance over the inputs of every output channel.

    Weight standardisation (Qiao et al., 2019, arXiv:1903.10520).

    Args:
        kernel: [..., inputs, outputs].
        epsilon: added to the variance.

    Returns:
        Array like `kernel`, float32.
    """
    axes = tuple(range(kernel.ndim - 1))
    centred = kernel - kernel.mean(axes, keepdims=True)
    variance = jnp.square(centred).mean(axes, keepdims=True)
    return centred * lax.rsqrt(variance + epsilon)


class _Standardized(nn.Module):
    """A layer that applies its kernel standardised; the parameter is as it is."""

    def param(self, name: str, *args: Any, **settings: Any) -> Any:
        """The parameter as the layer applies it."""
        value = super().param(name, *args, **settings)
        return standardize_kernel(value) if name == "kernel" else value


class StandardizedConv(_Standardized, nn.Conv):
    """Convolution by the standardised kernel."""


class StandardizedDense(_Standardized, Dense):
    """Dense map by the standardised kernel."""


def norm_layer(norm: str, *, groups: int, **settings: Any) -> nn.Module:
    """The normalisation layer that a network's `norm` stands for.

    Args:
        norm: "batch"; "group_ws" for group norm, which wants standardised weights; or
            "layer" for layer norm.
        groups: of batch norm.
        **settings: fields that `BatchNorm` and `GroupNorm` share.

    Raises:
        ValueError: for another word.
    """
    checks.one_of(get_args(Norm), norm=norm)
    if norm == "batch":
        return BatchNorm(groups=groups, **settings)
    return GroupNorm(num_groups=1 if norm == "layer" else 16, **settings)
