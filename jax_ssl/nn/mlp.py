"""The multilayer perceptron of projection heads."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.nn.affine import Dense
from jax_ssl.nn.group_norm import StandardizedDense, norm_layer
from jax_ssl.nn.norm import norm_groups
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.ops.platforms import on_cpu

# torch's default for dense layers: uniform within 1 / sqrt(inputs).
TORCH_UNIFORM = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def gelu(x: Array) -> Array:
    """The exact GELU, x Φ(x) (Hendrycks & Gimpel, 2016, arXiv:1606.08415).

    On a CPU by erf, as in PyTorch, which takes a third of the time of JAX's erfc and is
    off by a rounding error of x where x is far below zero.
    """
    if not on_cpu():
        return nn.gelu(x, approximate=False)
    return x * (0.5 + 0.5 * jax.lax.erf(x * math.sqrt(0.5)))


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "gelu": gelu,
    "gelu_tanh": functools.partial(nn.gelu, approximate=True),
}


class MLP(nn.Module):
    """Dense layers with a norm, if any, and an activation between them.

    Attributes:
        widths: output width of every layer; the last is the output.
        groups: batch-norm groups of the global batch.
        norm: between the layers: "batch", "none", "layer", or "group_ws", group norm
            and standardised weights in all layers.
        last_norm: norm after the last layer: "none", "scale" (no offset), "plain"
            (neither scale nor offset) or "affine".
        kernel_init: of the dense layers.
        use_bias: dense layers that no norm follows get a bias.
        activation: "relu"; "gelu", the exact (erf) one; or "gelu_tanh", approximate.
        unit: the output is scaled to unit length.
        dropout: share of the inputs of each layer that are zero in training.
        dtype: compute dtype; parameters are float32 and so is the output.
    """

    widths: Sequence[int]
    groups: int = 1
    norm: str = "batch"
    last_norm: str = "none"
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    use_bias: bool = True
    activation: str = "relu"
    unit: bool = False
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps x [..., D] to [..., widths[-1]] float32; without widths, x to itself.

        Raises:
            ValueError: if `norm`, `last_norm` or `activation` is not one of its words,
                or only the last layer would have a norm.
        """
        checks.one_of(ACTIVATIONS, activation=self.activation)
        checks.one_of(("none", "scale", "plain", "affine"), last_norm=self.last_norm)
        if self.norm == "none" != self.last_norm:
            raise ValueError(
                f"norm = 'none' leaves no norm for last_norm = {self.last_norm!r}."
            )
        dense = StandardizedDense if self.norm == "group_ws" else Dense
        last = len(self.widths) - 1
        for i, width in enumerate(self.widths):
            normed = (i < last or self.last_norm != "none") and self.norm != "none"
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x = dense(
                width,
                use_bias=self.use_bias and not normed,
                kernel_init=self.kernel_init,
                dtype=self.dtype,
                name=f"dense{i}",
            )(x)
            if normed:
                x = norm_layer(
                    self.norm,
                    groups=self.groups,
                    use_scale=i < last or self.last_norm in ("scale", "affine"),
                    use_bias=i < last or self.last_norm == "affine",
                    dtype=self.dtype,
                    name=f"norm{i}",
                )(x, train=train)
            if i < last:
                x = ACTIVATIONS[self.activation](x)
        x = x.astype(jnp.float32)
        return l2_normalize(x) if self.unit else x


def mlp_after(encoder: nn.Module, widths: Sequence[int], **settings: Any) -> MLP:
    """An MLP with the norm, batch-norm groups and compute dtype of `encoder`.

    Args:
        encoder: whose features it will read; one without these fields has the defaults.
        widths: of the layers.
        **settings: attributes of `MLP`, before those of the encoder.
    """
    like = {
        "groups": norm_groups(encoder),
        "norm": getattr(encoder, "norm", "batch"),
        "dtype": getattr(encoder, "dtype", jnp.float32),
    }
    return MLP(widths=tuple(widths), **{**like, **settings})
