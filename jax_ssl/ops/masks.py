"""Masks of blocks of patches, of static shapes: BEiT, iBOT, DINOv2."""

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.ops.resize import Box, box_mask

# Of BEiT's blocks: the smallest area that is drawn, if so many patches are left; the
# smallest aspect, whose inverse is the largest; and how many refused ones in a row end
# the search.
MIN_PATCHES = 4
MIN_ASPECT = 0.3
ATTEMPTS = 10


def block_mask(key: Array, grid: tuple[int, int], count: Array | int) -> Array:
    """Marks rectangular blocks of patches until `count` are marked, or nearly so.

    BEiT (Bao et al., 2022, arXiv:2106.08254, algorithm 1). A block's area is uniform
    between `MIN_PATCHES` and what is left, its aspect log-uniform; a block that leaves
    the grid, is as long as a side, marks nothing new or too much is drawn again.

    Args:
        key: [] PRNG key.
        grid: (h, w), patches along the sides.
        count: [] int32, at most this many are marked.

    Returns:
        [h * w] bool.
    """
    h, w = grid
    limit = jnp.log(MIN_ASPECT)

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        _, mask, refused = carry
        return (mask.sum() < count) & (refused < ATTEMPTS)

    def one_more(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        key, mask, refused = carry
        key, own = jax.random.split(key)
        u = jax.random.uniform(own, (4,))
        wanted = count - mask.sum()
        area = MIN_PATCHES + (wanted - MIN_PATCHES) * u[0]
        aspect = jnp.exp(limit * (1 - 2 * u[1]))
        height = jnp.round(jnp.sqrt(area * aspect)).astype(jnp.int32)
        width = jnp.round(jnp.sqrt(area / aspect)).astype(jnp.int32)
        top = jnp.floor(u[2] * (h - height + 1)).astype(jnp.int32)
        left = jnp.floor(u[3] * (w - width + 1)).astype(jnp.int32)
        block = box_mask(Box(top, left, height, width), h, w)
        added = (block & ~mask).sum()
        taken = (height < h) & (width < w) & (added > 0) & (added <= wanted)
        return key, mask | (block & taken), jnp.where(taken, 0, refused + 1)

    first = (key, jnp.zeros((h, w), bool), jnp.int32(0))
    return jax.lax.while_loop(unfinished, one_more, first)[1].reshape(-1)


def block_masks(
    key: Array,
    rows: int,
    grid: tuple[int, int],
    *,
    probability: float,
    ratios: tuple[float, float],
) -> Array:
    """Block masks for some images of a batch, evenly from light to heavy.

    A random share of exactly `probability` of the images is masked; the ratios of these
    are uniform in equal parts of the range, one in each (DINOv2's released code).

    Args:
        key: [] PRNG key.
        rows: N, number of images.
        grid: (h, w), patches along the sides.
        probability: share of the images that are masked, rounded down to whole images.
        ratios: smallest and largest share of an image's patches.

    Returns:
        [N, h * w] bool; at most `most_masked(grid, ratios)` in a row.
    """
    rank_key, ratio_key, block_key = jax.random.split(key, 3)
    masked = int(rows * probability)
    rank = jax.random.permutation(rank_key, rows)
    low, high = ratios
    place = (rank + jax.random.uniform(ratio_key, (rows,))) / max(masked, 1)
    counts = jnp.floor(grid[0] * grid[1] * (low + (high - low) * place))
    counts = jnp.minimum(counts.astype(jnp.int32), most_masked(grid, ratios))
    counts = jnp.where(rank < masked, counts, 0)
    keys = jax.random.split(block_key, rows)
    return jax.vmap(lambda key, count: block_mask(key, grid, count))(keys, counts)


def most_masked(grid: tuple[int, int], ratios: tuple[float, float]) -> int:
    """Upper bound of the patches that `block_masks` masks in one image."""
    return max(1, int(grid[0] * grid[1] * ratios[1]))
