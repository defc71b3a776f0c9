"""A fully connected layer for each channel of a grid."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array


class ChannelwiseDense(nn.Module):
    """Connects all cells of each channel, and no two channels.

    Context encoders (Pathak et al., 2016, arXiv:1604.07379): m channels of
    n x n cells have m n⁴ weights, where a dense layer has m² n⁴.

    Attributes:
        dtype: compute dtype; parameters are float32.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps x [B, h, w, C] to the same shape."""
        del train
        B, h, w, C = x.shape
        init = nn.initializers.normal((h * w) ** -0.5)
        kernel = self.param("kernel", init, (h * w, h * w, C)).astype(self.dtype)
        y = jnp.einsum(
            "bic,ijc->bjc", x.reshape(B, h * w, C).astype(self.dtype), kernel
        )
        return y.reshape(x.shape)
