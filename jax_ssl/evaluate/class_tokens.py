"""Class tokens of a ViT's last blocks side by side: DINO's linear evaluation.

Caron et al. (2021, arXiv:2104.14294, appendix F): ViT-S is probed on the class tokens
of its last four blocks, ViT-B on that of the last one beside the mean patch token.
"""

from typing import Any

import jax.numpy as jnp

from jax_ssl.core.types import Array, Variables
from jax_ssl.evaluate.attention import vit_of
from jax_ssl.evaluate.protocol import Reader
from jax_ssl.nn.affine import LayerNorm


def class_tokens(
    encoder: object, *, blocks: int = 4, mean_patch: bool = False
) -> Reader:
    """An encoder's last class tokens in the place of its pooled features.

    Args:
        encoder: a ViT.
        blocks: n, how many of its last blocks.
        mean_patch: the mean patch token of the last block too, behind them.

    Returns:
        A function that maps images [B, H, W, C] to [B, n * D] (or (n + 1) * D) float32.
        All tokens have gone through the final norm, the first block's first.

    Raises:
        ValueError: if it is no ViT, or has not so many blocks.
    """
    vit = vit_of(encoder, "class tokens")
    if not 1 <= blocks <= vit.depth:
        raise ValueError(
            f"class_tokens = {blocks} must be from 1 to {vit.depth}, the encoder's "
            "number of blocks."
        )
    names = [f"block{i}" for i in range(vit.depth - blocks, vit.depth)]

    def read(variables: Variables, x: Array) -> Array:
        features, kept = vit.apply(
            variables,
            x,
            train=False,
            capture_intermediates=lambda module, _: module.name in names,
            mutable=["intermediates"],
        )
        outputs = [kept["intermediates"][name]["__call__"][0] for name in names]
        tokens = jnp.stack([output[:, 0] for output in outputs], axis=1)  # [B, n, D]
        norm = {"params": variables["params"]["norm"]}
        normed: Any = LayerNorm(epsilon=vit.norm_epsilon).apply(norm, tokens)
        pooled: Array = normed.reshape(len(x), -1)
        if not mean_patch:
            return pooled
        return jnp.concatenate([pooled, features.grid.mean((1, 2))], axis=1)

    return read
