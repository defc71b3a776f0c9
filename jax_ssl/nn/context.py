"""What each row of a grid knows of itself and of the rows above it."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.conv import conv_general_dilated


class RowContext(nn.Module):
    """Residual blocks of masked convolutions, in the manner of a PixelCNN.

    Each block is 1x1, ReLU, 1x3, 2x1 over a row and the one above it, ReLU, 1x1, and
    is added to its input; a ReLU comes last (CPC v2, Hénaff et al., 2020,
    arXiv:1905.09272, the context network of its appendix). A cell sees rows up to its
    own, in which it also sees cells to its right; it sees nothing of the rows below.

    Attributes:
        layers: blocks; a cell sees so many cells to each side and so many rows up.
        width: channels inside of a block.
        dtype: compute dtype; parameters are float32 and so is the output.
    """

    layers: int
    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps a grid [n, h, w, D] to [n, h, w, D]."""
        del train
        x = x.astype(self.dtype)
        for i in range(self.layers):
            y = nn.relu(self._conv(x, self.width, (1, 1), f"block{i}_in"))
            y = self._conv(y, self.width, (1, 3), f"block{i}_row")
            y = jnp.pad(y, ((0, 0), (1, 0), (0, 0), (0, 0)))
            y = nn.relu(self._conv(y, self.width, (2, 1), f"block{i}_up", "VALID"))
            x = x + self._conv(y, x.shape[-1], (1, 1), f"block{i}_out")
        return nn.relu(x).astype(jnp.float32)

    def _conv(
        self,
        x: Array,
        channels: int,
        size: tuple[int, int],
        name: str,
        padding: str = "SAME",
    ) -> Array:
        return nn.Conv(
            channels,
            size,
            padding=padding,
            dtype=self.dtype,
            conv_general_dilated=conv_general_dilated,
            name=name,
        )(x)


class Contexts(nn.Module):
    """A `RowContext` of its own for each of several grids.

    Attributes:
        layers: as there.
        width: as there.
        dtype: as there.
    """

    layers: int
    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps grids [n, G, h, w, D] to [n, G, h, w, D] float32."""
        each = [
            RowContext(self.layers, self.width, self.dtype, name=f"context{i}")(
                x[:, i], train=train
            )
            for i in range(x.shape[1])
        ]
        return jnp.stack(each, axis=1)


class LinearPredictors(nn.Module):
    """A linear map for each of several horizons, and for each of several grids.

    Attributes:
        horizons: K, maps of each grid.
        width: of a prediction; that of the input where it is None.
        dtype: compute dtype; parameters are float32 and so is the output.

    Note:
        First weights are a tenth of LeCun's, so that scores of unnormalised vectors are
        close to each other at first. With larger ones the first steps do little but
        shrink the features.
    """

    horizons: int
    width: int | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps grids [n, G, h, w, D] to [n, G, K, h, w, T] float32."""
        del train
        grids, dim = x.shape[1], x.shape[-1]
        init = nn.initializers.variance_scaling(
            0.01, "fan_in", "truncated_normal", batch_axis=(0, 1)
        )
        shape = (grids, self.horizons, dim, self.width or dim)
        kernel = self.param("kernel", init, shape)
        return jnp.einsum(
            "ngijd,gkdt->ngkijt",
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            preferred_element_type=jnp.float32,
        )
