"""Each operation of a recipe on one image, for a picture; not for use under `jit`."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp

from jax_ssl.augment import crop
from jax_ssl.augment.pixels import image_of, in_unit
from jax_ssl.augment.recipe import Recipe, View
from jax_ssl.augment.steps import Standardize
from jax_ssl.core.types import Array, Example


def operations(
    recipe: Recipe, key: Array, example: Example, *, draws: int = 3
) -> dict[str, Array]:
    """What each step of a recipe does by itself, and what they do together.

    Args:
        recipe: of any views.
        key: PRNG key.
        example: with "image", and "size" where that is a canvas.
        draws: how often everything is drawn.

    Returns:
        By title, in the recipe's order, [draws, h, w, C] float32 in [0, 1]: the middle
        of the image; each crop of it; each further step, applied for certain to the
        middle; and each view, all of its steps but the standardization in turn.
    """
    image, extent = image_of(recipe.name, example), example.get("size")
    views = [view for stack in recipe.parts().values() for view in stack]
    distinct = list(dict.fromkeys(views))
    keys = jax.random.split(key, draws)
    size = views[0].crop.size
    middle = crop.resized_center_crop(image, size, size, extent=extent)
    middle = jnp.clip(in_unit(middle, image.dtype), 0.0, 1.0)
    shown = {"image": jnp.stack([middle] * draws)}
    for view in distinct:
        title = f"{view.crop.name}, {view.crop.size}"
        if title not in shown:
            shown[title] = drawn(View(view.crop), keys, image, extent)
    for view in distinct:
        for step in plain(view).steps:
            if step.name not in shown:
                shown[step.name] = drawn(replace(step, probability=1.0), keys, middle)
    for view in distinct:
        title = f"view {views.index(view) + 1}"
        own = jax.random.split(jax.random.fold_in(key, views.index(view)), draws)
        shown[title] = drawn(plain(view), own, image, extent)
    return shown


def drawn(fn: Callable[..., Array], keys: Array, *args: Array | None) -> Array:
    """`fn` of the same image with each of the keys."""
    return jax.jit(jax.vmap(fn, (0, *(None for _ in args))))(keys, *args)


def plain(view: View) -> View:
    """The view without standardization."""
    return View(
        view.crop, *(step for step in view.steps if not isinstance(step, Standardize))
    )
