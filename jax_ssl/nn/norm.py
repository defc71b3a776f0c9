"""Batch normalisation whose scope is a number of groups of the global batch."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from jax_ssl.core.types import Array


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy, 2015, arXiv:1502.03167, algorithm 1).

    The GLOBAL batch is cut into `groups` runs of consecutive rows, each normalised by
    its own mean and (biased) variance. One group is synchronised batch norm; a paper's
    "batch norm per GPU of 32 images" is `groups = batch_size // 32`. The result is a
    function of the global batch alone; where the number of groups is a multiple of the
    number of devices, no communication happens.

    Attributes:
        groups: runs of consecutive rows; divides the rows of the input.
        momentum: weight of the OLD running value (torch's `momentum` is 1 - this).
        epsilon: added to the variance.
        use_scale: multiply by a learned scale (γ).
        use_bias: add a learned offset (β).
        scale_init: first value of the scale; zeros for a residual block's last norm.
        dtype: of the output. Statistics and the normalisation are float32.

    Note:
        Running statistics are those of the whole batch, whatever the groups: the mean
        of means, and the mean of variances plus the variance of means. The running
        variance is the biased one, as in TensorFlow and Flax; torch stores the unbiased
        one, which differs by n / (n - 1).
    """

    groups: int = 1
    momentum: float = 0.9
    epsilon: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Normalises x [B, ..., C] over all axes but the last.

        Raises:
            ValueError: if `train` and `groups` does not divide B.
        """
        width = x.shape[-1]
        mean_stat = self.variable("batch_stats", "mean", jnp.zeros, (width,))
        var_stat = self.variable("batch_stats", "var", jnp.ones, (width,))
        x32 = x.astype(jnp.float32)
        if not train:
            mean, var = mean_stat.value, var_stat.value
            y = (x32 - mean) * lax.rsqrt(var + self.epsilon)
        else:
            if x.shape[0] % self.groups:
                raise ValueError(
                    f"batch norm in groups = {self.groups} groups cannot share "
                    f"{x.shape[0]} rows equally; choose a divisor of {x.shape[0]}."
                )
            grouped = x32.reshape(self.groups, x.shape[0] // self.groups, -1, width)
            means = grouped.mean((1, 2))  # [G, C]
            centred = grouped - means[:, None, None]
            # Two passes: E[x^2] - E[x]^2 loses all digits when |mean| >> std.
            variances = jnp.square(centred).mean((1, 2))
            scaled = centred * lax.rsqrt(variances + self.epsilon)[:, None, None]
            y = scaled.reshape(x.shape)
            if not self.is_initializing():
                mean = means.mean(0)
                var = variances.mean(0) + jnp.square(means - mean).mean(0)
                keep = self.momentum
                mean_stat.value = keep * mean_stat.value + (1 - keep) * mean
                var_stat.value = keep * var_stat.value + (1 - keep) * var
        if self.use_scale:
            y = y * self.param("scale", self.scale_init, (width,))
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (width,))
        return y.astype(self.dtype)


def norm_groups(encoder: nn.Module) -> int:
    """Number of batch-norm groups of `encoder`; 1 where it has no batch norm."""
    return getattr(encoder, "groups", 1)
