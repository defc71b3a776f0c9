"""Class tokens of a ViT's last blocks side by side, as linear classifiers read them.

DINO (Caron et al., 2021, arXiv:2104.14294, appendix F): ViT-S is probed on the class
tokens of its last four blocks, ViT-B on that of the last one beside the mean patch
token. DINOv2 (Oquab et al., 2023, arXiv:2304.07193) tries one block and four, with and
without the mean patch token.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array, Features
from jax_ssl.encoders.vit import ViT


class ClassTokens(nn.Module):
    """A ViT, with its own variables, whose pooled features are its last class tokens.

    Attributes:
        vit: a ViT, see `vit_of`.
        blocks: n, how many of its last blocks, from 1 to its depth.
        mean_patch: the mean patch token of the last block too, behind them.
    """

    vit: ViT
    blocks: int = 4
    mean_patch: bool = False

    def setup(self) -> None:
        """Gives the variables the names that they have in the ViT itself."""
        nn.share_scope(self, self.vit)

    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to pooled [B, n * D] (or (n + 1) * D) float32.

        All tokens have gone through the final norm, the first block's first. `grid` is
        that of the ViT. `train` only drops paths.
        """
        tokens, features = self.vit.last_blocks(x, self.blocks, train=train)
        pooled = jnp.concatenate([block[:, 0] for block in tokens], axis=1)
        if self.mean_patch:
            pooled = jnp.concatenate([pooled, features.grid.mean((1, 2))], axis=1)
        return features._replace(pooled=pooled)


def class_tokens_of(encoder: Any, blocks: int, mean_patch: bool = False) -> ClassTokens:
    """The encoder, read by its class tokens.

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


def vit_of(encoder: Any, what: str) -> ViT:
    """The encoder, if it is a ViT.

    Raises:
        ValueError: naming it and what it lacks.
    """
    if not isinstance(encoder, ViT):
        raise ValueError(
            f"a {type(encoder).__name__} has no {what}; this needs a vision "
            "transformer, such as encoder.name = 'vit_s'."
        )
    return encoder
