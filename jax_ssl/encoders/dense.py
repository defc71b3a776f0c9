"""A multilayer perceptron on the pixels, the encoder of the first autoencoders."""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features

ACTIVATIONS = {"relu": nn.relu, "sigmoid": nn.sigmoid, "linear": lambda x: x}


class DenseEncoder(nn.Module, kw_only=True):
    """Dense layers, each followed by the activation, on an image laid out as a vector.

    Attributes:
        widths: of the layers; the last is that of the features.
        activation: "relu", "sigmoid", or "linear" for none.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    widths: tuple[int, ...] = (512, 128)
    activation: Literal["relu", "sigmoid", "linear"] = "relu"
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has.

        Raises:
            ValueError: naming the setting, its value and what it must be.
        """
        self.widths = tuple(self.widths)  # A module must be hashable.
        checks.words(self)
        checks.at_least(1, widths=self.widths, layers=len(self.widths))
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps x [B, ...] to features [B, widths[-1]], a grid of one cell."""
        del train
        x = x.reshape(x.shape[0], -1)
        levels = []
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, dtype=self.dtype, name=f"dense{i}")(x)
            x = ACTIVATIONS[self.activation](x)
            levels.append(x[:, None, None])
        return Features(x.astype(jnp.float32), levels[-1], tuple(levels))
