"""A dense map and layer norm, whose gradients are quick on a CPU too.

They are flax's, with the same parameters by the same names, but for the gradients of
kernels, biases and scales: see `ops.products`.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from jax_ssl.core.types import Array
from jax_ssl.ops.platforms import gradient_made_once
from jax_ssl.ops.products import dense, spread


class Dense(nn.Dense):
    """The dense map x W + b of the last axis."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [..., D] to [..., features]."""
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, shape[1:], self.param_dtype)
        found: Any = self.promote_dtype(x, kernel, bias, dtype=self.dtype)
        x, kernel, bias = found
        y = dense(x, kernel)
        y = y if bias is None else y + spread(bias, y.shape)
        # Else it is computed once for each of the three that read it.
        return gradient_made_once(y, kernel)


class LayerNorm(nn.Module):
    """Layer norm over the last axis, statistics in float32 and in two passes.

    Attributes:
        epsilon: added to the variance.
        dtype: of the output; parameters are float32.
    """

    epsilon: float = 1e-6
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalizes x [..., D] over D."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        x = x.astype(jnp.float32)
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        y = centred * lax.rsqrt(variance + self.epsilon)
        y = y * spread(scale, y.shape) + spread(bias, y.shape)
        return y.astype(self.dtype)
