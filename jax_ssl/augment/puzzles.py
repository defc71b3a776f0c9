"""Tiles of a 3 x 3 grid, cut so that what they show must be understood to place them.

A gap between the tiles hides the edges that go on from one to the next, and a random
place of each within its cell hides lines that would meet. What is done to colours and
to the mean of each tile hides the lens: red, green and blue are never magnified quite
alike, so that the fringes of a patch tell how far it lies from the middle of the image.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.augment.channels import drop_channels, jitter_channels
from jax_ssl.augment.crop import between
from jax_ssl.augment.pixels import check_moments, image_of, standardize
from jax_ssl.augment.tiles import SIDE, TILES, Grid
from jax_ssl.augment.tones import sometimes
from jax_ssl.core import checks
from jax_ssl.core.method import ViewFn
from jax_ssl.core.precise import matmul
from jax_ssl.core.types import Array, Example
from jax_ssl.ops import color
from jax_ssl.ops.resize import Axis, apply_weights, axis_weights

Colours: TypeAlias = Literal["drop", "project", "keep"]

# What is left of a colour without its part along green minus magenta, (-1, 2, -1).
_AXIS = np.array([-1.0, 2.0, -1.0])
PROJECTION = np.eye(3) - np.outer(_AXIS, _AXIS) / (_AXIS @ _AXIS)


def relative_patch(
    *,
    size: int = 96,
    gap: int = 48,
    jitter: int = 7,
    areas: tuple[int, int] | None = (150_000, 450_000),
    coarse_probability: float = 0.33,
    coarse_areas: tuple[float, float] = (0.011, 0.98),
    colours: Colours = "drop",
    normalize: bool = True,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ViewFn:
    """Patches for the prediction of their relative place (arXiv 1505.05192).

    Defaults are the numbers of the released code. Its grid covers the whole image; here
    it has 3 x 3 patches somewhere in it.

    Args:
        size: side of a patch.
        gap: between the middles of two neighbours there are `size + gap` pixels.
        jitter: each patch moves by up to so many pixels, up or down and left or right;
            two patches are at least `gap - 2 jitter` pixels apart.
        areas: the image is first resized to a number of pixels that is uniform between
            these two; None leaves it as it is.
        coarse_probability: that a patch is made small and large again.
        coarse_areas: its pixels meanwhile, as a share, uniform between these two.
        colours: "drop" keeps one random channel and puts noise in the place of the
            others; "project" takes green minus magenta out of all colours, along which
            lenses err most; "keep" leaves the shortcut open.
        normalize: each channel of a patch loses its mean, and the patch is divided by
            its root mean square, which in the released code is then 50 and here 1, as
            the encoder is to see whole images of standard deviation 1 afterwards.
        mean: per channel, subtracted from patches that are not normalized, so that the
            encoder knows whole images, which have a mean of their own.
        std: per channel, divided by.

    Returns:
        Patches [9, size, size, C] float32, row by row.

    Raises:
        ValueError: if a setting is out of its range.
    """
    checks.at_least(1, size=size)
    checks.at_least(0, gap=gap, jitter=jitter)
    checks.within("[0, 1]", coarse_probability=coarse_probability)
    checks.within("(0, 1]", coarse_areas=coarse_areas)
    checks.one_of(("drop", "project", "keep"), colours=colours)
    _check_bounds(coarse_areas=coarse_areas)
    _check_scale(normalize, mean, std)
    if 2 * jitter > gap:
        raise ValueError(
            f"jitter = {jitter} moves two patches by more than gap = {gap} pixels "
            f"towards each other; take at most {gap // 2}."
        )
    zoom = None
    if areas is not None:
        checks.at_least(1, areas=areas)
        low, high = _check_bounds(areas=areas)

        def zoom(uniform: Array, height: Array, width: Array) -> Array:
            return jnp.sqrt(between((low, high), uniform) / (height * width))

    grid = Grid(size, size + gap, 2 * jitter)

    def treat(key: Array, patch: Array) -> Array:
        coarse_key, share_key, colour_key = jax.random.split(key, 3)
        if coarse_probability > 0:
            share = between(coarse_areas, jax.random.uniform(share_key))
            side = jnp.maximum(jnp.round(size * jnp.sqrt(share)), 1.0)
            patch = sometimes(
                coarse_key,
                patch,
                lambda x: coarse(x, side),
                probability=coarse_probability,
            )
        patch = standardize(patch, mean, std)
        if colours == "project":
            patch = matmul(patch, jnp.float32(PROJECTION))
        if normalize or colours == "drop":
            patch = patch - patch.mean((0, 1))
        if colours == "drop":
            # Half a grey level, as in the released code.
            patch = drop_channels(colour_key, patch, noise=0.5 / 255)
        return scaled(patch) if normalize else patch

    def views(key: Array, example: Example) -> Array:
        needed = ["colours"] if colours == "project" else []
        image = image_of("relative_patch", example, colour=needed)
        cut_key, treat_key = jax.random.split(key)
        patches = grid.cut(cut_key, image, example.get("size"), zoom)
        return jax.vmap(treat)(jax.random.split(treat_key, TILES), patches)

    return views


def jigsaw(
    *,
    size: int = 64,
    gap: int = 21,
    jitter: int = 21,
    resize: int | None = 256,
    gray_probability: float = 0.66,
    channel_jitter: int = 0,
    normalize: bool = True,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ViewFn:
    """Tiles for a jigsaw puzzle (arXiv 1603.09246), in their order.

    Defaults are the numbers of the released code, and for grey images those of later
    ones, which have no jitter of the channels.

    Args:
        size: side of a tile.
        gap: a cell has `size + gap` pixels.
        jitter: along each axis a tile has so many places in its cell, and one; at most
            `gap`, with which tiles of neighbouring cells may touch.
        resize: the shorter side of the image is first resized to it; None leaves the
            image as it is.
        gray_probability: that the image loses its colours.
        channel_jitter: each channel of a tile moves by up to so many pixels within the
            cell.
        normalize: each tile has mean 0 and standard deviation 1 over all its values; in
            the released code 50.
        mean: per channel, subtracted from tiles that are not normalized, so that the
            encoder knows whole images, which have a mean of their own.
        std: per channel, divided by.

    Returns:
        Tiles [9, size, size, C] float32, row by row.

    Raises:
        ValueError: if a setting is out of its range.
    """
    checks.at_least(1, size=size, resize=resize)
    checks.at_least(0, gap=gap, jitter=jitter, channel_jitter=channel_jitter)
    checks.within("[0, 1]", gray_probability=gray_probability)
    _check_scale(normalize, mean, std)
    if jitter + 2 * channel_jitter > gap:
        raise ValueError(
            f"jitter = {jitter} and twice channel_jitter = {channel_jitter} are more "
            f"than the gap = {gap} pixels that a tile has in its cell."
        )
    cell = size + gap
    if resize is not None and resize < SIDE * cell:
        raise ValueError(
            f"resize = {resize} is less than three cells of size + gap = {cell} pixels."
        )
    zoom = None
    if resize is not None:

        def zoom(uniform: Array, height: Array, width: Array) -> Array:
            del uniform
            return resize / jnp.minimum(height, width)

    grid = Grid(size + 2 * channel_jitter, cell, jitter)

    def treat(key: Array, tile: Array) -> Array:
        if channel_jitter:
            tile = jitter_channels(key, tile, pixels=channel_jitter)
        tile = standardize(tile, mean, std)
        return scaled(tile - tile.mean()) if normalize else tile

    def views(key: Array, example: Example) -> Array:
        needed = ["gray_probability"] if gray_probability else []
        image = image_of("jigsaw", example, colour=needed)
        cut_key, gray_key, treat_key = jax.random.split(key, 3)
        tiles = grid.cut(cut_key, image, example.get("size"), zoom)
        if gray_probability:
            gray = jax.random.bernoulli(gray_key, gray_probability)
            tiles = jnp.where(gray, color.grayscale(tiles), tiles)
        return jax.vmap(treat)(jax.random.split(treat_key, TILES), tiles)

    return views


def coarse(image: Array, side: Array) -> Array:
    """A square image made `side` pixels wide, antialiased, and large again, bilinear.

    Args:
        image: [h, h, C].
        side: [] from 1 to h, may be traced.
    """
    size = image.shape[0]
    at = jnp.arange(size) + 0.5
    scale = size / side
    # Rows from `side` on are none of the small image's.
    down = Axis(jnp.minimum(at * scale, size - 0.5), scale, 0.0, size)
    up = Axis(at / scale, 1 / scale, 0.0, side)
    both = matmul(axis_weights(up, size), axis_weights(down, size))
    return apply_weights(image, both, both)


def scaled(tile: Array) -> Array:
    """A tile divided by its root mean square, or by a quarter of a grey level.

    The latter keeps the rounding of a flat tile from being blown up.
    """
    return tile / jnp.maximum(jnp.sqrt(jnp.square(tile).mean()), 1e-3)


def _check_scale(
    normalize: bool, mean: Sequence[float] | None, std: Sequence[float] | None
) -> None:
    """Refuses two ways of scaling at once."""
    check_moments(mean, std)
    if normalize and mean is not None:
        raise ValueError(
            f"normalize = {normalize} scales each tile by its own numbers; with mean = "
            f"{mean} and std = {std} set config.views.normalize = False."
        )


def _check_bounds(**bounds: tuple[float, float]) -> tuple[float, float]:
    """Refuses two numbers of which the first is above the second."""
    ((name, (low, high)),) = bounds.items()
    if low > high:
        raise ValueError(f"{name} = {(low, high)}: the first must be the lower one.")
    return low, high
