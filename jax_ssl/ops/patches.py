"""Images as sequences of patches, and choosing among the patches of each image."""

import jax.numpy as jnp

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


def gather_tokens(tokens: Array, index: Array) -> Array:
    """Tokens of each row by number.

    Args:
        tokens: [B, N, D].
        index: [B, K] int32, in [0, N); may repeat and permute.

    Returns:
        [B, K, D].
    """
    return jnp.take_along_axis(tokens, index[..., None], axis=1)
