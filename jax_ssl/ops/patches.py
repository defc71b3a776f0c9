"""Images as sequences of patches, and choosing among the patches of each image."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.types import Array


def grid_shape(height: int, width: int, patch: int) -> tuple[int, int]:
    """Patches along the two sides of an image.

    Raises:
        ValueError: if `patch` does not divide both sides.
    """
    if patch < 1 or height % patch or width % patch:
        raise ValueError(
            f"images of {height} x {width} pixels cannot be cut into patches of "
            f"{patch} x {patch}; choose sides that are multiples of the patch."
        )
    return height // patch, width // patch


def patchify(images: Array, patch: int) -> Array:
    """Cuts images into patches, row by row.

    Args:
        images: [B, H, W, C].
        patch: side of a patch in pixels; divides H and W.

    Returns:
        [B, H / patch * W / patch, patch * patch * C]; the values of a patch are in the
        order (row, column, channel).

    Raises:
        ValueError: if `patch` does not divide both sides.
    """
    B, H, W, C = images.shape
    h, w = grid_shape(H, W, patch)
    x = images.reshape(B, h, patch, w, patch, C)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(B, h * w, patch * patch * C)


def unpatchify(patches: Array, patch: int, grid: tuple[int, int]) -> Array:
    """Inverse of `patchify`, bit for bit.

    Args:
        patches: [B, h * w, patch * patch * C].
        patch: side of a patch in pixels.
        grid: (h, w), patches along the height and the width.

    Returns:
        [B, h * patch, w * patch, C].

    Raises:
        ValueError: if the patches do not fill the grid or do not have this side.
    """
    B, N, values = patches.shape
    h, w = grid
    if h * w != N or values % (patch * patch):
        raise ValueError(
            f"{N} patches of {values} values do not make a grid of {h} x {w} patches "
            f"of {patch} x {patch} pixels; grid and patch must be those of `patchify`."
        )
    x = patches.reshape(B, h, w, patch, patch, -1)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(B, h * patch, w * patch, -1)


def overlapping(images: Array, patch: int, grid: int) -> Array:
    """A square grid of patches that may overlap, spread evenly over images.

    The first and last of a row touch the borders; where the steps between them are no
    whole numbers, places are rounded.

    Args:
        images: [..., H, W, C].
        patch: side of a patch in pixels.
        grid: patches along each side, at least 2.

    Returns:
        [..., grid * grid, patch, patch, C], row by row.

    Raises:
        ValueError: if a patch is larger than the image, or the grid has one cell.
    """
    *leading, H, W, C = images.shape
    checks.at_least(2, grid=grid)
    if not 1 <= patch <= min(H, W):
        raise ValueError(
            f"patch = {patch} does not fit into images of {H} x {W} pixels; choose a "
            f"side from 1 to {min(H, W)}."
        )
    y, x = (
        np.round(np.linspace(0, side - patch, grid)).astype(int)[:, None]
        + np.arange(patch)
        for side in (H, W)
    )
    flat = images.reshape(-1, H, W, C)
    cut = flat[:, y][:, :, :, x]  # [n, grid, patch, grid, patch, C]
    cut = cut.transpose(0, 1, 3, 2, 4, 5)
    return cut.reshape(*leading, grid * grid, patch, patch, C)


def gather_tokens(tokens: Array, index: Array) -> Array:
    """Tokens of each row by number.

    Args:
        tokens: [B, N, D].
        index: [B, K] int32, in [0, N); may repeat and permute.

    Returns:
        [B, K, D].
    """
    return jnp.take_along_axis(tokens, index[..., None], axis=1)


class Kept(NamedTuple):
    """Which patches of each image a network sees.

    Attributes:
        keep: [B, K] int32, numbers of the patches that stay, in random order.
        restore: [B, N] int32, the place of each patch when those that stay come first;
            gathering by it puts such a sequence back into the order of the image.
        mask: [B, N] bool, True for the N - K patches that are left out.
    """

    keep: Array
    restore: Array
    mask: Array


def random_keep(key: Array, rows: int, patches: int, kept: int) -> Kept:
    """Draws the patches of each image that stay, all subsets being equally likely.

    MAE (He et al., 2022, arXiv:2111.06377), section 3: the patches are shuffled, by
    sorting noise, and the first of them stay.

    Args:
        key: [] typed PRNG key.
        rows: B, of the global batch, so that the draw does not depend on the devices.
        patches: N, of an image.
        kept: K, in [1, N].

    Raises:
        ValueError: if `kept` is not in [1, N].
    """
    checks.within(f"[1, {patches}]", kept=kept)
    order = jnp.argsort(jax.random.uniform(key, (rows, patches)), axis=1)
    restore = jnp.argsort(order, axis=1)  # The inverse permutation.
    return Kept(order[:, :kept], restore, restore >= kept)


def kept_count(patches: int, mask_ratio: float) -> int:
    """Patches that stay when a share of them is masked, ⌊N (1 - ratio)⌋.

    In floating point, as in the released code of MAE: of 100 patches a ratio of 0.9
    leaves 9, for 100 x (1 - 0.9) is a little less than 10.

    Raises:
        ValueError: if all or none of them would stay.
    """
    kept = int(patches * (1 - mask_ratio))
    if not 1 <= kept < patches:
        raise ValueError(
            f"mask_ratio = {mask_ratio} leaves {kept} of {patches} patches visible; at "
            "least one must be visible and one masked."
        )
    return kept


def keep_mass(maps: Array, mass: float) -> Array:
    """The fewest patches of each map that hold a share of its sum.

    Args:
        maps: [..., h, w], not negative; each is divided by its sum, so that what the
            class token gives to itself does not count.
        mass: share to keep, in (0, 1].

    Returns:
        [..., h, w] bool. Of patches of equal weight the first ones are kept.
    """
    flat = maps.reshape(*maps.shape[:-2], -1).astype(jnp.float32)
    order = jnp.argsort(-flat, axis=-1, stable=True)
    largest = jnp.take_along_axis(flat, order, axis=-1)
    before = jnp.cumsum(largest, axis=-1) - largest
    # A patch is kept while those before it are not enough; the margin is that of the
    # sum's rounding, for maps on which the shares are met exactly.
    needed = (mass - 1e-6) * largest.sum(-1, keepdims=True)
    rank = jnp.argsort(order, axis=-1)
    return jnp.take_along_axis(before < needed, rank, axis=-1).reshape(maps.shape)


def upsampled(maps: Array, patch: int) -> Array:
    """Every patch as a square of pixels, [..., h, w] -> [..., h * patch, w * patch]."""
    return jnp.repeat(jnp.repeat(maps, patch, axis=-2), patch, axis=-1)
