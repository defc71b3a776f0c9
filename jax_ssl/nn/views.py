"""What methods read of views, and one sentence for views of another kind."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array, Views

# Axes of one view of every example: a wave [B, T] or an image [B, H, W, C]. Its rows
# are no views, even where there are two of them.
ALONE = (0, 1, 2, 4)


def pair(views: Views) -> Array:
    """Two views of one size, [B, 2, ...].

    Raises:
        ValueError: if the views are something else.
    """
    if isinstance(views, Mapping) or views.ndim in ALONE or views.shape[1] != 2:
        raise _other(views, "two views of one size, [B, 2, ...]", "two_crops")
    return views


def stack(views: Views) -> Array:
    """Two views of one size or more, [B, V, ...].

    Raises:
        ValueError: if the views are something else.
    """
    if isinstance(views, Mapping) or views.ndim in ALONE or views.shape[1] < 2:
        raise _other(views, "two or more views of one size, [B, V, ...]", "w_mse")
    return views


def image(views: Views) -> Array:
    """One image, [B, H, W, C].

    Raises:
        ValueError: if the views are something else.
    """
    if isinstance(views, Mapping) or views.ndim != 4:
        raise _other(views, "one image of each example, [B, H, W, C]", "mae")
    return views


def wave(views: Views) -> Array:
    """One window of a wave, [B, T].

    Raises:
        ValueError: if the views are something else.
    """
    if isinstance(views, Mapping) or views.ndim != 2:
        raise _other(views, "one window of each wave, [B, T]", "random_window")
    return views


def tiles(views: Views, recipe: str) -> Array:
    """The nine tiles of a 3 x 3 grid, [B, 9, h, w, C].

    Args:
        views: of the method.
        recipe: that makes them, for the message.

    Raises:
        ValueError: if the views are something else.
    """
    if isinstance(views, Mapping) or views.ndim != 5 or views.shape[1] != 9:
        raise _other(views, "nine tiles of each image, [B, 9, h, w, C]", recipe)
    return views


def patch_grid(views: Views, grid: int, patch: int, recipe: str) -> Array:
    """A square grid of patches of each image, row by row, [B, g g, p, p, C].

    Args:
        views: of the method.
        grid: g.
        patch: p, in pixels.
        recipe: that makes them, for the message.

    Raises:
        ValueError: if the views are something else.
    """
    shape = (grid * grid, patch, patch)
    if isinstance(views, Mapping) or views.ndim != 5 or views.shape[1:4] != shape:
        wanted = (
            f"{grid} x {grid} patches of {patch} x {patch} pixels of each image, as "
            f"config.method.grid = {grid} and config.method.patch = {patch} say"
        )
        raise _other(views, wanted, recipe)
    return views


def one_and(field: str, views: Views, recipe: str) -> tuple[Array, Array]:
    """One view of each example, under "image", and a field of it such as its row.

    Args:
        field: name of the field, [B].
        views: {"image": [B, ...], field: [B]}.
        recipe: a recipe that makes such views, for the message.

    Raises:
        ValueError: if the views are something else.
    """
    if not _named(field, views) or views["image"].ndim not in ALONE:
        raise _other(views, f"{{'image', {field!r}}}", recipe)
    return views["image"], views[field]


def masked_image(views: Views, *, borders: bool = False) -> tuple[Array, Array]:
    """One view of each example, and the classes of its pixels.

    Args:
        views: {"image": [B, H, W, C], "mask": [B, h, w]}.
        borders: whether "borders" [B, h, w] must be there too.

    Raises:
        ValueError: if the views are something else.
    """
    wanted = ("mask", "borders") if borders else ("mask",)
    for name in wanted:
        if not _named(name, views) or views[name].ndim != 3 or views["image"].ndim != 4:
            kinds = ", ".join(f"{name!r}: [B, h, w]" for name in wanted)
            more = f" and config.views.carried = {wanted}" if borders else ""
            described = f"{{'image': [B, H, W, C], {kinds}}}"
            raise _other(views, described, "segmentation_crops", more)
    return views["image"], views["mask"]


def pair_and(
    field: str, views: Views, recipe: str, more: str = ""
) -> tuple[Array, Array]:
    """Two views of one size, under "image", and a field of the example.

    Args:
        field: name of the field, [B].
        views: {"image": [B, 2, ...], field: [B]}.
        recipe: a recipe that makes such views, for the message.
        more: what else it must be told.

    Raises:
        ValueError: if the views are something else.
    """
    images = views["image"] if _named(field, views) else None
    if images is None or images.ndim in ALONE or images.shape[1] != 2:
        wanted = f"{{'image': two views of one size, [B, 2, ...], {field!r}: [B]}}"
        raise _other(views, wanted, recipe, more)
    return images, views[field]


def transformed(views: Views, pretext: str) -> Array:
    """Nine tiles of each image [B, 9, h, w, C], or one image [B, H, W, C].

    Args:
        views: {"transformed": one of these, ...}.
        pretext: tiles for "jigsaw", otherwise an image.

    Raises:
        ValueError: if the views are something else.
    """
    seen = views.get("transformed") if isinstance(views, Mapping) else None
    tiled = pretext == "jigsaw"
    if (
        seen is None
        or seen.ndim != (5 if tiled else 4)
        or (tiled and seen.shape[1] != 9)
    ):
        kind = "[B, 9, h, w, C]" if tiled else "[B, H, W, C]"
        wanted = f"{{'image', 'transformed': {kind}, 'index'}}"
        more = f" and config.views.pretext = {pretext!r}"
        raise _other(views, wanted, "pirl", more)
    return seen


def crop_stacks(views: Views) -> list[Array]:
    """Crops of one size each, the large ones first.

    Args:
        views: {"global": [B, V, H, W, C], "local": [B, L, h, w, C], "local_2": ...}, or
            the global crops alone, with or without the name.

    Returns:
        At least one array [B, V, h, w, C].

    Raises:
        ValueError: if there are no global crops, or an array is not such a stack.
    """
    named = views if isinstance(views, Mapping) else {"global": views}
    # "global" is before "local" in the alphabet, and that before "local_2".
    names = sorted(name for name in named if name.split("_")[0] in ("global", "local"))
    if "global" not in named or any(named[name].ndim != 5 for name in names):
        raise _other(views, "{'global', 'local', ...}, stacks of crops", "swav")
    return [named[name] for name in names]


def crops_and(field: str, views: Views) -> tuple[list[Array], Array]:
    """`crop_stacks`, and a field of each example such as its row.

    Args:
        field: name of the field, [B].
        views: {"global": [B, V, H, W, C], ..., field: [B]}.

    Raises:
        ValueError: if the views are something else.
    """
    if not isinstance(views, Mapping) or field not in views:
        wanted = f"{{'global', 'local', ..., {field!r}}}, stacks of crops and a field"
        carried = f" and config.views.carried = ({field!r},)"
        raise _other(views, wanted, "swav", carried)
    return crop_stacks(views), views[field]


def two_global_crops(views: Views) -> list[Array]:
    """`crop_stacks` of which the first holds two crops.

    Raises:
        ValueError: if the views are something else.
    """
    stacks = crop_stacks(views)
    if stacks[0].shape[1] != 2:
        raise _other(views, "two global crops, and any number of local ones", "dino")
    return stacks


def _named(field: str, views: Views) -> bool:
    return isinstance(views, Mapping) and {"image", field} <= set(views)


def _other(views: Views, wanted: str, recipe: str, more: str = "") -> ValueError:
    shapes: Any = jax.tree.map(lambda leaf: tuple(jnp.shape(leaf)), views)
    return ValueError(
        f"the views are {shapes}, and this method reads {wanted}; choose a recipe that "
        f"makes such views, for example config.views.name = {recipe!r}{more}."
    )
