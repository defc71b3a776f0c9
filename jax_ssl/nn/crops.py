"""Crops of several sizes through one encoder: SwAV, DeepCluster-v2, DINO."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array, Params, PyTree, Views
from jax_ssl.nn.apply import forward


def crop_stacks(views: Views) -> list[Array]:
    """Crops of one size each, the large ones first.

    Args:
        views: {"global": [B, V, H, W, C], "local": likewise, "local_2": ...}, or the
            global crops alone, with or without the name.

    Returns:
        At least one array [B, V, h, w, C].

    Raises:
        ValueError: if there are no global crops, or an array is not such a stack.
    """
    if not isinstance(views, Mapping):
        views = {"global": views}
    if "global" not in views:
        raise ValueError(
            f"crops are views {{'global', 'local', ...}}, not {sorted(views)}; choose "
            "config.views.name = 'swav' or 'dino', or a recipe of plain pairs."
        )
    # "global" is before "local" in the alphabet, and that before "local_2".
    names = sorted(name for name in views if name.split("_")[0] in ("global", "local"))
    for name in names:
        if views[name].ndim != 5:
            raise ValueError(
                f"{name} crops of shape {views[name].shape} are not a stack "
                "[B, V, h, w, C]."
            )
    return [views[name] for name in names]


def forward_crops(
    encoder: nn.Module,
    params: Params,
    stats: PyTree,
    stacks: list[Array],
    **settings: Any,
) -> tuple[Array, PyTree]:
    """Applies `encoder` to all crops of one size together, size after size.

    Batch norm thus sees one size at a time, as in the released codes, and its running
    statistics move once for each.

    Args:
        encoder: returns `Features`, with as many of them for every size.
        params: its parameters.
        stats: its other collections.
        stacks: of `crop_stacks`.
        **settings: of `forward`.

    Returns:
        (pooled features [B, V, D] of all crops, in the order of the stacks; next
        stats).

    Raises:
        ValueError: if crops of different sizes have different numbers of features.
    """
    pooled = []
    for stack in stacks:
        flat = stack.reshape(-1, *stack.shape[2:])  # [B, V, ...] -> [B * V, ...]
        features, stats = forward(encoder, params, stats, flat, **settings)
        pooled.append(features.pooled.reshape(*stack.shape[:2], -1))
    widths = {x.shape[-1] for x in pooled}
    if len(widths) > 1:
        sizes = [stack.shape[2:4] for stack in stacks]
        raise ValueError(
            f"crops of {sizes} pixels have {[x.shape[-1] for x in pooled]} features, "
            "which one head cannot read; choose an encoder that takes their mean."
        )
    return jnp.concatenate(pooled, axis=1), stats
