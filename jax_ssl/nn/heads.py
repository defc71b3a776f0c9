"""Heads that score: a linear one, and DINO's (Caron et al., 2021, arXiv:2104.14294)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.nn.affine import Dense
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Copy, Network
from jax_ssl.nn.norm import BatchNorm
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
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        """Maps x [B, D] to scores [B, K] float32."""
        del train
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


class LinearHead(nn.Module):
    """A linear map to scores of classes or clusters.

    Attributes:
        count: of the scores.
        first_std: of the first weights.
        batch_norm: whether a batch norm comes first, with ε = 1e-6 and without scale
            and offset.
        relu: whether a ReLU comes first.
        dtype: compute dtype; parameters are float32 and so is the output.
        dropout: share of what the map reads that is zero in training.
        groups: batch-norm groups of the global batch.
    """

    count: int
    first_std: float
    batch_norm: bool = False
    relu: bool = False
    dtype: Any = jnp.float32
    dropout: float = 0.0
    groups: int = 1

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps x [B, D] to [B, count]."""
        if self.batch_norm:
            x = BatchNorm(
                groups=self.groups,
                epsilon=1e-6,
                use_scale=False,
                use_bias=False,
                name="norm",
            )(x, train=train)
        x = nn.relu(x) if self.relu else x
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        init = nn.initializers.normal(self.first_std)
        dense = Dense(self.count, kernel_init=init, dtype=self.dtype, name="dense")
        return dense(x).astype(jnp.float32)


class PlaceHead(nn.Module):
    """A small residual network for each cell of a grid, its shortcut near identity.

    AMDIM's released code: 1x1, ReLU, 1x1 that starts at 0, beside a 1x1 whose first
    weights are those of the identity, all others uniform within 0.01; then batch norm.

    Attributes:
        width: of the output. Where it is below that of the input, the shortcut is drawn
            like any other layer.
        batch_norm: a batch norm before the ReLU as well.
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters are float32 and so is the output.
    """

    width: int
    batch_norm: bool = False
    groups: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps a grid [n, h, w, D] to [n, h, w, width]."""

        def norm(x: Array, name: str) -> Array:
            return BatchNorm(groups=self.groups, name=name)(x, train=train)

        def near_identity(key: Array, shape: tuple[int, int], dtype: Any) -> Array:
            if shape[1] < shape[0]:
                return TORCH_UNIFORM(key, shape, dtype)
            small = jax.random.uniform(key, shape, dtype, -0.01, 0.01)
            return jnp.where(jnp.eye(*shape, dtype=bool), 1.0, small)

        def dense(name: str, init: Any, bias: bool = False) -> Dense:
            return Dense(
                self.width,
                use_bias=bias,
                kernel_init=init,
                dtype=self.dtype,
                name=name,
            )

        y = dense("dense0", TORCH_UNIFORM)(x)
        y = norm(y, "norm0") if self.batch_norm else y
        y = dense("dense1", nn.initializers.zeros)(nn.relu(y))
        return norm(y + dense("shortcut", near_identity, bias=True)(x), "norm")


def prototype_head(
    encoder: nn.Module,
    num_prototypes: int,
    *,
    hidden_dim: int = 2048,
    bottleneck_dim: int = 256,
    layers: int = 3,
    norm: str = "none",
    norm_last_layer: bool = True,
) -> dict[str, nn.Module]:
    """DINO's projection head as two parts of a `Network`.

    Args:
        encoder: whose batch-norm groups and compute dtype the head has.
        num_prototypes: K, dimensions of the output.
        hidden_dim: width of the MLP's inner layers.
        bottleneck_dim: width of its last layer, whose output is scaled to unit length.
        layers: of the MLP, which has GELU between them.
        norm: between the MLP's layers, "none" or "batch".
        norm_last_layer: prototypes have length 1; otherwise a learned one.

    Returns:
        {"projector": the MLP, "prototypes": the scores of its output}.

    Raises:
        ValueError: if a count or width is below 1, or there is no such norm.

    Note:
        As in the released code, weights of the MLP are drawn from N(0, 0.02²) and those
        of the last layer from torch's default, U(±1 / √bottleneck_dim).
    """
    checks.at_least(
        1,
        num_prototypes=num_prototypes,
        hidden_dim=hidden_dim,
        bottleneck_dim=bottleneck_dim,
        head_layers=layers,
    )
    checks.one_of(("none", "batch"), head_norm=norm)
    projector = mlp_after(
        encoder,
        (hidden_dim,) * (layers - 1) + (bottleneck_dim,),
        norm=norm,
        kernel_init=NORMAL,
        activation="gelu",
        unit=True,
    )
    prototypes = Prototypes(
        num_prototypes, not norm_last_layer, getattr(encoder, "dtype", jnp.float32)
    )
    return {"projector": projector, "prototypes": prototypes}


class PairedHeads:
    """Heads for images and for patches, of one set of weights or of two.

    Attributes:
        images: a `Network` of the parts "projector" and "prototypes".
        patches: the same, or one of the parts "patch_projector" and "patch_prototypes".
        num_patch_prototypes: outputs of the latter.
    """

    def __init__(
        self,
        encoder: Any,
        num_prototypes: int,
        num_patch_prototypes: int | None,
        **sizes: Any,
    ) -> None:
        checks.at_least(1, num_patch_prototypes=num_patch_prototypes)

        def head(count: int) -> dict[str, nn.Module]:
            return prototype_head(encoder, count, norm_last_layer=False, **sizes)

        self.images = self.patches = Network(**head(num_prototypes))
        self.num_patch_prototypes = num_patch_prototypes or num_prototypes
        if num_patch_prototypes is not None:
            own = head(num_patch_prototypes)
            self.patches = Network(**{f"patch_{name}": m for name, m in own.items()})

    def first(self, encoder: Any, key: Array, crops: Array) -> Copy:
        """First variables of an encoder and its heads."""
        key, patch_key = jax.random.split(key)
        net = Network(encoder=encoder, **self.images.parts)
        params, stats = net.init(key, crops)
        if self.patches is not self.images:
            token = jnp.zeros((1, params["encoder"]["class_token"].shape[-1]))
            more, empty = self.patches.init(patch_key, token)
            params, stats = {**params, **more}, {**stats, **empty}
        return Copy(params, stats)


def scores(head: Network, own: Copy, x: Array) -> Array:
    """What a head with the variables `own` says of tokens [..., D], [..., K]."""
    out, _ = head(*own, x.reshape(-1, x.shape[-1]))
    return out[list(head.parts)[-1]].reshape(*x.shape[:-1], -1)
