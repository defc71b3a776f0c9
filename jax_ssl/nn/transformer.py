"""The pre-norm transformer block (Dosovitskiy et al., 2021, arXiv:2010.11929).

Also drop path and layer scale. The conventions are timm's: LayerNorm with ε = 1e-6, one
matrix for query, key and value, with bias, and the exact (erf) GELU.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import Initializer

from jax_ssl.core.types import Array
from jax_ssl.nn.affine import Dense, LayerNorm
from jax_ssl.nn.depth import kept_rows, of_kept
from jax_ssl.nn.mlp import MLP
from jax_ssl.nn.swiglu import SwiGLU
from jax_ssl.ops.platforms import gradient_made_once
from jax_ssl.parallel.chunks import row_numbers


def attention(q: Array, k: Array, v: Array) -> Array:
    """Scaled dot-product attention, softmax(q kᵀ / √d) v, the softmax in float32.

    On NVIDIA GPUs, in half precision, one fused kernel (cuDNN's) that never writes the
    [n, m] shares to memory; elsewhere two products, which XLA compiles.

    Args:
        q: [B, n, heads, d].
        k: [B, m, heads, d].
        v: [B, m, heads, d].

    Returns:
        [B, n, heads, d] in the dtype of `v`.
    """
    if fused_here(q):
        fused: Array = jax.nn.dot_product_attention(q, k, v, implementation="cudnn")
        return fused
    return mixed(attention_weights(q, k), v)


def fused_here(q: Array) -> bool:
    """Whether the devices of the mesh have a fused kernel for such queries."""
    half = q.dtype in (jnp.bfloat16, jnp.float16)
    return half and q.shape[-1] % 8 == 0 and q.shape[-1] <= 128 and _on_nvidia()


def _on_nvidia() -> bool:
    # Those of the mesh, for a program may be compiled for a slice that is not here.
    device = jax.sharding.get_abstract_mesh().abstract_device or jax.devices()[0]
    return "NVIDIA" in device.device_kind.upper()


def attention_weights(q: Array, k: Array) -> Array:
    """Shares softmax(q kᵀ / √d), [B, heads, n, m] float32, rows summing to 1."""
    logits = jnp.einsum(
        "bnhd,bmhd->bhnm",
        q * q.shape[-1] ** -0.5,
        k,
        preferred_element_type=jnp.float32,
    )
    return jax.nn.softmax(logits, axis=-1)


def mixed(weights: Array, v: Array) -> Array:
    """Values v [B, m, heads, d] in these shares, [B, n, heads, d]."""
    return jnp.einsum("bhnm,bmhd->bnhd", weights.astype(v.dtype), v)


def turned(x: Array, angles: Array) -> Array:
    """Queries or keys x [B, n, heads, d], the last m tokens rotated.

    Channels i and i + d / 2 are a pair, turned by the angle i of the token.

    Args:
        x: tokens; those before the last m have no place and stay as they are.
        angles: [m, d / 2], or [B, m, d / 2] for other places in each row.
    """
    rest = x.shape[1] - angles.shape[-2]
    cos, sin = (f(angles)[..., None, :].astype(x.dtype) for f in (jnp.cos, jnp.sin))
    first, second = jnp.split(x[:, rest:], 2, axis=-1)
    pair = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate([x[:, :rest], jnp.concatenate(pair, axis=-1)], axis=1)


class SelfAttention(nn.Module):
    """Multi-head self-attention.

    Attributes:
        num_heads: divides the width of the input.
        kernel_init: of the output projection.
        qkv_init: of the [D, 3 D] matrix of query, key and value.
        dtype: compute dtype; parameters are float32.
    """

    num_heads: int
    kernel_init: Initializer = nn.initializers.xavier_uniform()
    qkv_init: Initializer = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, turn: Array | None = None) -> Array:
        """Maps x [B, n, D] to [B, n, D]; for `turn` see `turned`."""
        B, n, dim = x.shape
        qkv = Dense(3 * dim, kernel_init=self.qkv_init, dtype=self.dtype, name="qkv")
        heads = qkv(x).reshape(B, n, 3, self.num_heads, dim // self.num_heads)
        q, k, v = (part[:, :, 0] for part in jnp.split(heads, 3, axis=2))
        if turn is not None:
            q, k = turned(q, turn), turned(k, turn)
        if self.is_mutable_collection("intermediates"):
            # Somebody wants to see the shares, which the fused kernel never makes.
            weights = attention_weights(q, k)
            self.sow("intermediates", "weights", weights)
            x = mixed(weights, v)
        else:
            x = attention(q, k, v)
        out = Dense(dim, kernel_init=self.kernel_init, dtype=self.dtype, name="out")
        return out(x.reshape(B, n, dim))


class Branch(nn.Module):
    """What a residual branch passes before it is added: layer scale, then drop path.

    Drop path (Huang et al., 2016, arXiv:1603.09382) drops the branch of whole rows and
    divides the others by the probability of keeping them. Layer scale (Touvron et al.,
    2021, arXiv:2103.17239) multiplies each channel by a learned number.

    Attributes:
        drop_path: probability of dropping, in [0, 1); drawn from the "drop_path" keys.
            An array [] where it is not known when tracing.
        layer_scale: first value of the scale; 0 for none.
    """

    drop_path: float | Array = 0.0
    layer_scale: float = 0.0

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps x [B, ..., D] to the same shape."""
        if self.layer_scale:
            init = nn.initializers.constant(self.layer_scale)
            x = x * self.param("scale", init, (x.shape[-1],)).astype(x.dtype)
        if not train or (isinstance(self.drop_path, float) and not self.drop_path):
            return x
        keep = 1 - self.drop_path
        key, n = self.make_rng("drop_path"), x.shape[0]
        # A key for each row of the global batch, so that chunks draw the same.
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, row_numbers(n))
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, keep))(keys)
        kept = kept.reshape(n, *(1,) * (x.ndim - 1))
        return jnp.where(kept, x / keep, 0).astype(x.dtype)


class Block(nn.Module):
    """Pre-norm block: x + attention(norm(x)), then x + feed_forward(norm(x)).

    Attributes:
        num_heads: divides the width of the input.
        mlp_ratio: hidden width of the feed-forward layer over the width of the input.
        drop_path: probability of dropping a branch, for each row and branch; an array
            [] where it is not known when tracing.
        drop_group: 0, or of how many consecutive rows a fixed share loses the branch,
            which is then not computed for them.
        layer_scale: first value of the layer scale; 0 for none.
        kernel_init: of all dense layers but `qkv`.
        qkv_init: of the matrix of query, key and value.
        dtype: compute dtype of the dense layers and of the residual stream; parameters,
            norms' statistics and the softmax are float32.
        norm_epsilon: ε of the norms.
        gated: the feed-forward layer is a `SwiGLU`.
        activation: of the feed-forward layer otherwise: "gelu" or "gelu_tanh".
    """

    num_heads: int
    mlp_ratio: float = 4.0
    drop_path: float | Array = 0.0
    drop_group: int = 0
    layer_scale: float = 0.0
    kernel_init: Initializer = nn.initializers.xavier_uniform()
    qkv_init: Initializer = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32
    norm_epsilon: float = 1e-6
    gated: bool = False
    activation: str = "gelu"

    @nn.compact
    def __call__(
        self, x: Array, train: bool = False, turn: Array | None = None
    ) -> Array:
        """Maps x [B, n, D] to [B, n, D]; `train` only drops paths.

        Args:
            x: tokens.
            train: whether paths are dropped.
            turn: angles of the places, see `turned`; None for none.
        """
        attend = SelfAttention(
            self.num_heads,
            self.kernel_init,
            self.qkv_init,
            self.dtype,
            name="attention",
        )
        hidden = round(x.shape[-1] * self.mlp_ratio)
        feed_forward: Callable[[Array], Array]
        if self.gated:
            feed_forward = SwiGLU(
                hidden, self.kernel_init, self.dtype, name="feed_forward"
            )
        else:
            mlp = MLP(
                (hidden, x.shape[-1]),
                norm="none",
                kernel_init=self.kernel_init,
                activation=self.activation,
                dtype=self.dtype,
                name="feed_forward",
            )
            feed_forward = functools.partial(mlp, train=train)
        layers = (functools.partial(attend, turn=turn), feed_forward)
        x = x.astype(self.dtype)
        share = float(self.drop_path) if train and self.drop_group else 0.0
        for i, layer in enumerate(layers):
            norm = LayerNorm(self.norm_epsilon, self.dtype, name=f"norm{i}")
            drop = 0.0 if share else self.drop_path
            branch = Branch(drop, self.layer_scale, name=f"branch{i}")

            def added(x: Array, parts: Any = (branch, layer, norm)) -> Array:
                branch, layer, norm = parts
                y: Array = branch(layer(norm(x)).astype(self.dtype), train=train)
                return y

            if share:
                key = self.make_rng("drop_path")
                kept = kept_rows(key, len(x), share, self.drop_group)
                x = of_kept(x, kept, added)
            else:
                x = x + added(x)
            # Else every product of a block below would sum this gradient up again.
            x = gradient_made_once(x, norm.variables["params"]["scale"])
        return x


def without_drop_path(encoder: nn.Module) -> nn.Module:
    """The same network, which drops nothing when training: what a teacher is."""
    return encoder.clone(drop_path=0.0) if hasattr(encoder, "drop_path") else encoder
