"""Class tokens of a ViT's last blocks side by side: DINO's linear evaluation.

Caron et al. (2021, arXiv:2104.14294, appendix F): ViT-S is probed on the class tokens
of its last four blocks, ViT-B on that of the last one beside the mean patch token.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from jax_ssl.core.types import Array, Features, Variables
from jax_ssl.encoders.vit import ViT
from jax_ssl.evaluate.attention import vit_of
from jax_ssl.nn.transformer import layer_norm


@dataclass(frozen=True)
class ClassTokens:
    """Reads a ViT as `extract` reads an encoder; made by `class_tokens`.

    Attributes:
        encoder: the ViT.
        blocks: n, how many of its last blocks.
        mean_patch: the mean patch token of the last block is behind them.
    """

    encoder: ViT
    blocks: int
    mean_patch: bool

    def apply(self, variables: Variables, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to pooled [B, n * D] (or (n + 1) * D), float32.

        All tokens have gone through the final norm, the first block's first.
        """
        features, kept = self.encoder.apply(
            variables,
            x,
            train=train,
            capture_intermediates=lambda module, method: (
                str(module.name).startswith("block") and method == "__call__"
            ),
            mutable=["intermediates"],
        )
        found = kept["intermediates"]
        depth = self.encoder.depth
        outputs = [found[f"block{i}"]["__call__"][0] for i in range(depth)]
        last = jnp.stack([x[:, 0] for x in outputs[-self.blocks :]], axis=1)
        own = {"params": variables["params"]["norm"]}
        normed: Any = layer_norm().apply(own, last)  # [B, n, D]
        tokens = [normed.reshape(len(x), -1)]
        if self.mean_patch:
            tokens.append(features.grid.mean((1, 2)))
        return Features(jnp.concatenate(tokens, axis=1), features.grid)


def class_tokens(
    encoder: object, *, blocks: int = 4, mean_patch: bool = False
) -> ClassTokens:
    """An encoder's last class tokens in the place of its pooled features.

    Args:
        encoder: a ViT.
        blocks: how many of its last blocks.
        mean_patch: the mean patch token of the last block too.

    Raises:
        ValueError: if it is no ViT, or has not so many blocks.
    """
    vit = vit_of(encoder, "class tokens")
    if not 1 <= blocks <= vit.depth:
        raise ValueError(
            f"class_tokens = {blocks} must be from 1 to {vit.depth}, the encoder's "
            "number of blocks."
        )
    return ClassTokens(vit, blocks, mean_patch)
