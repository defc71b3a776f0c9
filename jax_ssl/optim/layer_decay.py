"""Layer-wise decay of the learning rate, for fine-tuning vision transformers."""

import math
import re

import jax
import optax

from jax_ssl.core import checks
from jax_ssl.core.paths import leaf_names, map_named
from jax_ssl.core.types import Params, PyTree

BLOCK = re.compile(r"(?:^|/)block(\d+)/")
# What comes before the first block, whatever learns there.
EMBEDDING = re.compile(
    r"(?:^|/)(patch_embed/|(class_token|position_embed|register_tokens|mask_embed)$)"
)


def layer_scales(params: Params, decay: float) -> PyTree:
    """What each parameter's rate is multiplied by, decay^(n + 1 - i).

    BEiT (Bao et al., 2022, arXiv:2106.08254), appendix, and MAE (arXiv:2111.06377),
    table 9: of n blocks, i is 0 for the embeddings, k + 1 for "block{k}" and n + 1,
    the full rate, for what follows.

    Args:
        params: a tree with "/"-joined paths such as "encoder/block0/...".
        decay: in (0, 1].

    Returns:
        Tree of numbers like `params`.

    Raises:
        ValueError: if there are no blocks, or the decay is out of range.
    """
    checks.within("(0, 1]", layer_decay=decay)
    layers = {name: _layer(name) for name in leaf_names(params)}
    blocks = [layer for layer in layers.values() if 0 < layer < math.inf]
    if not blocks:
        raise ValueError(
            f"layer_decay = {decay} is for vision transformers: no parameter lies in a "
            "'block0'. Leave it out for other encoders."
        )
    last = max(blocks) + 1
    return map_named(lambda name, _: decay ** (last - min(layers[name], last)), params)


def with_layer_decay(
    tx: optax.GradientTransformation, decay: float | None
) -> optax.GradientTransformation:
    """`tx` with steps, weight decay included, scaled as in `layer_scales`; None: as is.

    Raises:
        ValueError: on `init`, as `layer_scales` does.
    """
    if decay is None:
        return tx

    def init(params: Params) -> optax.EmptyState:
        layer_scales(params, decay)
        return optax.EmptyState()

    def update(updates: PyTree, params: Params) -> PyTree:
        del params
        scales = layer_scales(updates, decay)
        return jax.tree.map(lambda step, scale: scale * step, updates, scales)

    scaled = optax.GradientTransformation(init, optax.stateless(update).update)
    return optax.chain(tx, scaled)


def _layer(name: str) -> float:
    """0 for the embeddings, k + 1 for block k, infinity for what follows."""
    if EMBEDDING.search(name):
        return 0
    block = BLOCK.search(name)
    return int(block[1]) + 1 if block else math.inf
