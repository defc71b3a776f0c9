"""Random crops of a picture and its mask, as heads of segmentation are trained on.

They are cut out of what the evaluation's view shows, so that both have its scale of
colours.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jax_ssl.augment.crop import random_place
from jax_ssl.core.fields import VOID
from jax_ssl.core.types import Array
from jax_ssl.ops.warp import sample


def random_crop(
    key: Array,
    seen: Mapping[str, Array],
    *,
    sides: tuple[int, int],
    scales: tuple[float, float],
    flip: float,
) -> dict[str, Array]:
    """A window of an enlarged or reduced picture, mirrored or not.

    Args:
        key: [] PRNG key.
        seen: {"image": [H, W, C] float, "mask": [H, W] uint8}.
        sides: (h, w) of the window.
        scales: least and largest factor by which things are enlarged, which is uniform.
        flip: probability that left and right are exchanged.

    Returns:
        The same, [h, w, C] bilinear and [h, w] nearest. What a small picture does not
        fill repeats its border, and is void in the mask.
    """
    image, mask = seen["image"], seen["mask"]
    drawn = jax.random.uniform(key, (4,))
    scale = scales[0] + (scales[1] - scales[0]) * drawn[0]
    extent = jnp.array(mask.shape, jnp.float32)
    covers = jnp.array(sides) / scale
    free = extent - covers
    # A smaller picture lies in the middle.
    start = jnp.where(free > 0, random_place(drawn[1:3], free), free / 2)
    rows, columns = (
        first + (jnp.arange(side) + 0.5) / scale - 0.5
        for first, side in zip(start, sides, strict=True)
    )
    columns = jnp.where(drawn[3] < flip, columns[::-1], columns)
    points = jnp.stack(jnp.meshgrid(columns, rows), axis=-1)
    x, y = (jnp.floor(points[..., i] + 0.5).astype(jnp.int32) for i in (0, 1))
    inside = (x >= 0) & (x < mask.shape[1]) & (y >= 0) & (y < mask.shape[0])
    classes = mask.at[y, x].get(mode="clip")
    return {
        "image": sample(image, points, border="edge"),
        "mask": jnp.where(inside, classes, VOID).astype(mask.dtype),
    }
