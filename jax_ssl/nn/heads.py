"""Heads that score prototypes: DINO's (Caron et al., 2021, arXiv:2104.14294)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.nn.mlp import MLP, TORCH_UNIFORM
from jax_ssl.nn.norm import norm_groups
from jax_ssl.ops.normalize import l2_normalize

NORMAL = nn.initializers.normal(0.02)


class Prototypes(nn.Module):
    """Scores of vectors against unit prototypes: a weight-normalised dense layer.

    Weight norm (Salimans & Kingma, 2016, arXiv:1602.07868) writes column k of the
    matrix as gain_k · kernel_k / ‖kernel_k‖. Without a learned gain all prototypes have
    length 1.

    Attributes:
        count: K, number of prototypes.
        learned_gain: the lengths are parameters, which start at 1.
        dtype: compute dtype of the product, which is summed in float32.
    """

    count: int
    learned_gain: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B, D] to scores [B, K] float32."""
        shape = (x.shape[-1], self.count)
        weights = l2_normalize(self.param("kernel", TORCH_UNIFORM, shape), axis=0)
        if self.learned_gain:
            # A row, so that it decays with the matrices, as in the released code.
            weights = weights * self.param("gain", nn.initializers.ones, (1, shape[1]))
        return jnp.matmul(
            x.astype(self.dtype),
            weights.astype(self.dtype),
            preferred_element_type=jnp.float32,
        )


class PrototypeHead(nn.Module):
    """DINO's projection head: an MLP to a unit bottleneck, then prototypes.

    Attributes:
        num_prototypes: K, dimensions of the output.
        hidden_dim: width of the MLP's inner layers.
        bottleneck_dim: width of its last layer, whose output is scaled to unit length.
        layers: of the MLP, which has GELU between them.
        norm: between the MLP's layers, "none" or "batch".
        groups: batch-norm groups of the global batch.
        norm_last_layer: prototypes have length 1; otherwise a learned one.
        dtype: compute dtype; parameters are float32 and so is the output.

    Note:
        As in the released code, weights of the MLP are drawn from N(0, 0.02²) and those
        of the last layer from torch's default, U(±1 / √bottleneck_dim).
    """

    num_prototypes: int
    hidden_dim: int = 2048
    bottleneck_dim: int = 256
    layers: int = 3
    norm: str = "none"
    groups: int = 1
    norm_last_layer: bool = True
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Makes the MLP and the prototypes."""
        self.mlp = MLP(
            (self.hidden_dim,) * (self.layers - 1) + (self.bottleneck_dim,),
            groups=self.groups,
            norm=self.norm,
            kernel_init=NORMAL,
            activation="gelu",
            dtype=self.dtype,
        )
        self.prototypes = Prototypes(
            self.num_prototypes, not self.norm_last_layer, self.dtype
        )

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps x [B, D] to scores ("logits") [B, K] float32."""
        return self.prototypes(self.bottleneck(x, train=train))

    def bottleneck(self, x: Array, *, train: bool = False) -> Array:
        """What is compared with the prototypes, [B, bottleneck_dim] of unit length."""
        return l2_normalize(self.mlp(x, train=train))


def head_after(
    encoder: nn.Module, num_prototypes: int, **settings: Any
) -> PrototypeHead:
    """A `PrototypeHead` with the batch-norm groups and compute dtype of `encoder`.

    Raises:
        ValueError: if a count or width is below 1, or there is no such norm.
    """
    counts = {"num_prototypes": num_prototypes}
    counts |= {k: v for k, v in settings.items() if k in _COUNTS}
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} = {value} must be at least 1.")
    norm = settings.get("norm", "none")
    if norm not in ("none", "batch"):
        raise ValueError(f"head_norm = {norm!r} is not 'none' or 'batch'.")
    return PrototypeHead(
        num_prototypes,
        groups=norm_groups(encoder),
        dtype=getattr(encoder, "dtype", jnp.float32),
        **settings,
    )


_COUNTS = ("hidden_dim", "bottleneck_dim", "layers")
