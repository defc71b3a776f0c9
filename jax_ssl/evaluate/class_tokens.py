"""Class tokens of a ViT's last blocks in the place of its pooled features."""

from typing import Any

from jax_ssl.core.types import Array, Variables
from jax_ssl.encoders.class_tokens import class_tokens_of
from jax_ssl.evaluate.protocol import Reader


def class_tokens(
    encoder: object, *, blocks: int = 4, mean_patch: bool = False
) -> Reader:
    """What `encoders.class_tokens.ClassTokens` pools, as a reader of examples.

    Args:
        encoder: a ViT.
        blocks: n, how many of its last blocks.
        mean_patch: the mean patch token of the last block too, behind them.

    Returns:
        A function that maps images [B, H, W, C] to [B, n * D] (or (n + 1) * D) float32.

    Raises:
        ValueError: if it is no ViT, or has not so many blocks.
    """
    reading = class_tokens_of(encoder, blocks, mean_patch)

    def read(variables: Variables, x: Array) -> Array:
        features: Any = reading.apply(variables, x, train=False)
        pooled: Array = features.pooled
        return pooled

    return read
