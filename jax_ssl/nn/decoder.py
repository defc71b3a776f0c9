"""The decoder of masked image modelling: a light transformer that fills the gaps."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array
from jax_ssl.nn.affine import Dense, LayerNorm
from jax_ssl.nn.transformer import Block
from jax_ssl.ops.patches import gather_tokens
from jax_ssl.ops.positions import sincos_positions

XAVIER = nn.initializers.xavier_uniform()


class Decoder(nn.Module):
    """Puts visible tokens back in their places and predicts the values of all patches.

    MAE (He et al., 2022, arXiv:2111.06377), section 3 and appendix A.1: one learned
    token stands for every patch that is missing, and positions, fixed sines and
    cosines, are added to all. Where none is missing, there is no such token.

    Attributes:
        width: of the decoder's tokens; a multiple of 4 and of `num_heads`.
        depth: blocks; 0 for a head that reads every token by itself.
        num_heads: of their attention.
        dtype: compute dtype; parameters, the final norm and the output are float32.
    """

    width: int = 512
    depth: int = 8
    num_heads: int = 16
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens: Array,
        restore: Array,
        grid: tuple[int, int],
        values: int,
        *,
        train: bool,
    ) -> Array:
        """Predictions of all patches, [B, N, values] float32.

        Args:
            tokens: [B, 1 + K, D], the class token and those of the visible patches.
            restore: [B, N] int32, see `ops.patches.Kept`.
            grid: (h, w) with h w = N.
            values: of a patch.
            train: for the blocks, which here draw nothing.
        """

        def dense(width: int, name: str) -> Dense:
            return Dense(width, kernel_init=XAVIER, dtype=self.dtype, name=name)

        x = dense(self.width, "embed")(tokens)  # [B, 1 + K, width]
        front, visible = x[:, :1], x[:, 1:]
        if missing := restore.shape[1] - visible.shape[1]:
            # A matrix, which decays as it does in the published recipe; vectors do not.
            first = nn.initializers.normal(0.02)
            token = self.param("mask_token", first, (1, self.width)).astype(x.dtype)
            filled = jnp.broadcast_to(token, (x.shape[0], missing, self.width))
            visible = jnp.concatenate([visible, filled], axis=1)
        patches = gather_tokens(visible, restore)
        # The class token stays, at position 0, for the patches to look at.
        positions = np.pad(sincos_positions(*grid, self.width), ((1, 0), (0, 0)))
        x = jnp.concatenate([front, patches], axis=1) + positions.astype(x.dtype)
        for i in range(self.depth):
            block = Block(self.num_heads, dtype=self.dtype, name=f"block{i}")
            x = block(x, train=train)
        x = LayerNorm(name="norm")(x[:, 1:])
        return dense(values, "pixels")(x).astype(jnp.float32)
