"""The gated feed-forward layer of large transformers (Shazeer, arXiv:2002.05202)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.nn.affine import Dense


class SwiGLU(nn.Module):
    """silu(x W) ⊙ (x V), then a dense map back to the width of x; all with bias.

    Attributes:
        hidden: columns of W, and of V.
        kernel_init: of all three.
        dtype: compute dtype; parameters are float32.
    """

    hidden: int
    kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [..., D] to [..., D] float32."""
        how: dict[str, Any] = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        gate = Dense(self.hidden, name="gate", **how)(x)
        value = Dense(self.hidden, name="value", **how)(x)
        out = Dense(x.shape[-1], name="out", **how)(nn.silu(gate) * value)
        return out.astype(jnp.float32)
