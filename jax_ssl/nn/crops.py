"""Crops of several sizes through one encoder, and all of them through one head.

SwAV, DeepCluster-v2 and DINO; W-MSE with views of one size.
"""

import functools
from collections.abc import Mapping
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array, Params, PyTree, Views
from jax_ssl.nn.apply import forward, initialize

# Running statistics of an encoder and of the projector behind it.
PairOfStats: TypeAlias = tuple[PyTree, PyTree]


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
    rngs: Mapping[str, Array] | None = None,
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
        rngs: keys of what the network draws, folded with the number of the stack.
        **settings: of `forward`.

    Returns:
        (pooled features [B, V, D] of all crops, in the order of the stacks; next
        stats).

    Raises:
        ValueError: if crops of different sizes have different numbers of features.
    """
    pooled = []
    for i, stack in enumerate(stacks):
        flat = stack.reshape(-1, *stack.shape[2:])  # [B, V, ...] -> [B * V, ...]
        own = {name: jax.random.fold_in(key, i) for name, key in (rngs or {}).items()}
        features, stats = forward(encoder, params, stats, flat, rngs=own, **settings)
        pooled.append(features.pooled.reshape(*stack.shape[:2], -1))
    widths = {x.shape[-1] for x in pooled}
    if len(widths) > 1:
        sizes = [stack.shape[2:4] for stack in stacks]
        raise ValueError(
            f"crops of {sizes} pixels have {[x.shape[-1] for x in pooled]} features, "
            "which one head cannot read; choose an encoder that takes their mean."
        )
    return jnp.concatenate(pooled, axis=1), stats


def initialize_parts(
    encoder: nn.Module, projector: nn.Module, key: Array, stacks: list[Array]
) -> tuple[Params, PairOfStats]:
    """Params {"encoder", "projector"} and statistics, for stacks of `forward_crops`.

    Raises:
        ValueError: if crops of different sizes have different numbers of features.
    """
    encoder_key, projector_key = jax.random.split(key)
    own, stats = initialize(encoder, encoder_key, stacks[0][:1, 0])
    evaluate = functools.partial(forward_crops, encoder, train=False)
    pooled, _ = jax.eval_shape(evaluate, own, stats, stacks)
    row = jnp.zeros((1, pooled.shape[-1]))
    head, head_stats = initialize(projector, projector_key, row)
    return {"encoder": own, "projector": head}, (stats, head_stats)


def project_crops(
    encoder: nn.Module,
    projector: nn.Module,
    params: Params,
    stats: PairOfStats,
    stacks: list[Array],
    rngs: Mapping[str, Array] | None = None,
    **settings: Any,
) -> tuple[Array, PairOfStats]:
    """`forward_crops`, and `projector` on what it gives for all crops together.

    Args:
        encoder: as in `forward_crops`.
        projector: reads vectors; its batch norm sees crops of all sizes at once, as in
            the released codes.
        params: {"encoder", "projector"}, and others.
        stats: of both.
        stacks: as in `forward_crops`.
        rngs: likewise, for the encoder.
        **settings: of `forward`, for both.

    Returns:
        (projections [B, V, D] in the order of the stacks; next statistics of both).
    """
    pooled, own = forward_crops(
        encoder, params["encoder"], stats[0], stacks, rngs, **settings
    )
    rows = pooled.reshape(-1, pooled.shape[-1])
    z, its = forward(projector, params["projector"], stats[1], rows, **settings)
    return z.reshape(*pooled.shape[:2], -1), (own, its)
