"""Pooling by attention (Zhai et al., 2022, arXiv:2106.04560, "MAP head")."""

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.nn.affine import Dense, LayerNorm
from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.transformer import attention


class MAPHead(nn.Module):
    """A learned probe attends to all tokens; a residual feed-forward layer follows.

    Attributes:
        num_heads: divides the width of the input.
        mlp_ratio: hidden width of the feed-forward layer over the width of the input.
        activation: of the feed-forward layer, see `MLP`.
        norm_epsilon: ε of its norm.
    """

    num_heads: int
    mlp_ratio: float = 4.0
    activation: str = "gelu"
    norm_epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps tokens x [B, n, D] to [B, D] float32."""
        B, n, dim = x.shape
        heads = self.num_heads, dim // self.num_heads
        probe = self.param("probe", nn.initializers.xavier_uniform(), (1, dim))
        q = Dense(dim, name="query")(probe).reshape(1, 1, *heads)
        k = Dense(dim, name="key")(x).reshape(B, n, *heads)
        v = Dense(dim, name="value")(x).reshape(B, n, *heads)
        q = jnp.broadcast_to(q, (B, *q.shape[1:]))
        x = Dense(dim, name="out")(attention(q, k, v).reshape(B, dim))
        mlp = MLP(
            (round(dim * self.mlp_ratio), dim),
            norm="none",
            activation=self.activation,
            name="feed_forward",
        )
        y: Array = x + mlp(LayerNorm(self.norm_epsilon, name="norm")(x), train=False)
        return y
