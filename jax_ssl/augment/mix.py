"""Mixup and CutMix: pairs of rows of the GLOBAL batch, with soft labels.

Unlike its neighbours this file sees a whole batch, after the views. Rows may be sharded
over a mesh; the functions name no axis, and the result does not depend on the number of
devices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jax_ssl.augment.crop import random_place
from jax_ssl.core.types import Array
from jax_ssl.ops.resize import Box, box_mask


class Mix(NamedTuple):
    """How rows are mixed with their partners.

    Attributes:
        share: [] or [B], weight of the row itself in its labels.
        box: of CutMix, sides [] or [B]; of sides 0 for mixup.
        weight: [] or [B], weight of the row's own pixels outside of the box.
    """

    share: Array
    box: Box
    weight: Array


def random_mix(
    key: Array,
    height: int,
    width: int,
    *,
    mixup: float = 0.8,
    cutmix: float = 1.0,
    probability: float = 1.0,
    switch_probability: float = 0.5,
    rows: int | None = None,
) -> Mix:
    """Draws how a batch is mixed, as timm's `Mixup`; defaults are MAE's fine-tuning.

    Mixup (arXiv 1710.09412): the share is Beta(a, a). CutMix
    (arXiv 1905.04899): the box has sides of sqrt(1 - share) of the
    image's, rounded down, and a centre that is uniform over the pixels; what leaves the
    image is cut off, and the share is what remains outside of the box.

    Args:
        key: PRNG key.
        height: of the images.
        width: of the images.
        mixup: a of mixup; 0 leaves it out.
        cutmix: a of CutMix; 0 leaves it out.
        probability: that anything is mixed.
        switch_probability: of CutMix rather than mixup, where both are in use.
        rows: draws for each of so many rows on its own (timm's mode "elem"); one draw
            for the batch unless given (timm's "batch", and the papers'). On a mesh the
            sampler of amounts other than 1 then asks all devices whether it is done.

    Returns:
        Numbers [] each, or [rows].

    Raises:
        ValueError: if an amount is negative, or both are 0.
    """
    if min(mixup, cutmix) < 0 or max(mixup, cutmix) == 0:
        raise ValueError(
            f"mixup = {mixup}, cutmix = {cutmix}: amounts are positive, or one is 0."
        )
    shape = () if rows is None else (rows,)
    share_key, cut_key, uniform_key = jax.random.split(key, 3)
    applied, which, y, x = jax.random.uniform(uniform_key, (4, *shape))
    blended = _beta(share_key, mixup, shape) if mixup > 0 else jnp.ones(shape)
    outside = _beta(cut_key, cutmix, shape) if cutmix > 0 else jnp.ones(shape)
    both = mixup > 0 and cutmix > 0
    cuts = which < switch_probability if both else jnp.full(shape, cutmix > 0)

    side = jnp.sqrt(jnp.where(cuts & (applied < probability), 1.0 - outside, 0.0))

    def interval(length: int, u: Array) -> tuple[Array, Array]:
        cut = jnp.floor(length * side)
        middle = random_place(u, length - 1)
        first = jnp.clip(middle - cut // 2, 0, length)
        last = jnp.clip(middle + (cut + 1) // 2, 0, length)
        return first, last - first

    (top, tall), (left, wide) = interval(height, y), interval(width, x)
    weight = jnp.where(cuts | (applied >= probability), 1.0, blended)
    share = weight - tall * wide / (height * width)
    return Mix(share, Box(top, left, tall, wide), weight)


def _beta(key: Array, a: float, shape: tuple[int, ...]) -> Array:
    if a == 1:
        return jax.random.uniform(key, shape)
    return jax.random.beta(key, a, a, shape)


def partners(x: Array, *, groups: int = 1) -> Array:
    """The rows of each group in reverse order: row i of n looks at row n - 1 - i.

    Args:
        x: [B, ...].
        groups: the batch is cut into so many runs of consecutive rows, each reversed by
            itself; B must be a multiple.

    Returns:
        [B, ...].

    Raises:
        ValueError: if B is not a multiple of `groups`.
    """
    if x.shape[0] % groups:
        raise ValueError(f"{x.shape[0]} rows cannot be cut into {groups} groups.")
    grouped = x.reshape(groups, x.shape[0] // groups, *x.shape[1:])
    return jnp.flip(grouped, 1).reshape(x.shape)


def apply_mix(
    images: Array, targets: Array, mix: Mix, *, groups: int = 1
) -> tuple[Array, Array]:
    """Mixes every row with its partner.

    Args:
        images: [B, H, W, C] float, rows sharded or not.
        targets: [B, K] soft labels.
        mix: numbers [] or [B].
        groups: see `partners`. 1 is timm's reversal of the batch, and every row
            crosses the wires once: a permutation of shards, B/devices rows in and out
            of each device. With a multiple of the number of devices the partners are at
            home and nothing is communicated, as when timm mixes on each of its devices
            alone; the groups, not the devices, are then part of the recipe.

    Returns:
        images [B, H, W, C] and targets [B, K], both as given in dtype.
    """

    def wide(x: float | Array, rank: int) -> Array:
        x = jnp.asarray(x, jnp.float32)
        return x.reshape(x.shape + (1,) * (rank - x.ndim))

    box = Box(*(wide(side, 3) for side in mix.box))
    inside = box_mask(box, *images.shape[1:3])[..., None]
    own = jnp.where(inside, 0.0, wide(mix.weight, 4)).astype(images.dtype)
    share = wide(mix.share, 2).astype(targets.dtype)
    mixed = own * images + (1 - own) * partners(images, groups=groups)
    labels = share * targets + (1 - share) * partners(targets, groups=groups)
    return mixed, labels
