"""Recipes as values: views, each a list of steps.

A recipe is a view function and can also be read: `recipe.parts()["local"][0].steps`.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp

from jax_ssl.augment.pixels import image_of, in_unit
from jax_ssl.augment.steps import Step
from jax_ssl.core import checks
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.ops.platforms import one_by_one


class Crop(Protocol):
    """What cuts a square out of an image, such as `crop.RandomCrop`."""

    @property
    def name(self) -> str:
        """For pictures."""

    @property
    def size(self) -> int:
        """Side of the square."""

    def __call__(self, key: Array, image: Array, extent: Array | None) -> Array:
        """[H, W, C] -> [size, size, C] float32 in the image's own range."""


@dataclass(frozen=True, init=False)
class View:
    """One random view of an image: a crop, and steps that can change something.

    Attributes:
        crop: the first step.
        steps: the others, in order; those with probability 0 have been left out.
    """

    crop: Crop
    steps: tuple[Step, ...]

    def __init__(self, crop: Crop, *steps: Step):
        active = tuple(step for step in steps if step.active)
        vars(self).update(crop=crop, steps=active)

    def __call__(self, key: Array, image: Array, extent: Array | None) -> Array:
        """Makes the view.

        Args:
            key: PRNG key.
            image: [H, W, C] uint8, or float in [0, 1].
            extent: [2] int32 (height, width) of the filled part, or None for all.

        Returns:
            [size, size, C] float32, in [0, 1] unless a step leaves it.
        """
        return self.drawn(jax.random.split(key, 1 + len(self.steps)), image, extent)

    def drawn(self, keys: Array, image: Array, extent: Array | None) -> Array:
        """The view whose crop and steps draw with keys [1 + steps] of their own."""
        # The resampling first: bytes are fewer to read than floats.
        x = self.crop(keys[0], image, extent)
        x = jnp.clip(in_unit(x, image.dtype), 0.0, 1.0)
        return in_turn(self.steps, keys[1:], x)

    @functools.cached_property
    def mapped(self) -> Callable[..., Array]:
        """The view for `vmap`; all programs of a run share its one trace."""
        return one_by_one(self)


def in_turn(steps: Sequence[Step], keys: Array, image: Array) -> Array:
    """Some steps on an image in [0, 1], each with its own of keys [steps]."""
    for key, step in zip(keys, steps, strict=True):
        image = step(key, image)
    return image


Part = View | tuple[View, ...]


@dataclass(frozen=True)
class Recipe:
    """A view function, (key, example) -> views, that looks like what it makes.

    A view becomes an image [h, w, C], a tuple of views of one size a stack
    [V, h, w, C], and a mapping of these a dictionary. Where the example has a "size",
    its image is a canvas whose top-left part is filled, and views stay inside of that.

    Attributes:
        name: for messages.
        views: what to make.
        carried: fields of the example to hand over beside a dictionary's views.
        mirror: probability that all views are mirrored together.
    """

    name: str
    views: Part | Mapping[str, Part]
    carried: tuple[str, ...] = ()
    mirror: float = 0.0

    def __post_init__(self) -> None:
        checks.within("[0, 1]", flip=self.mirror)

    def parts(self) -> dict[str, tuple[View, ...]]:
        """The views by the name of their stack, "" where the result has no names."""
        named = self.views if isinstance(self.views, Mapping) else {"": self.views}
        return {k: v if isinstance(v, tuple) else (v,) for k, v in named.items()}

    def __call__(self, key: Array, example: Example) -> Views:
        """float32 views of an example's "image", in [0, 1] unless standardized."""
        views = [view for stack in self.parts().values() for view in stack]
        colour = {step.off for view in views for step in view.steps if step.off}
        image = image_of(self.name, example, colour=sorted(colour, reverse=True))
        extent = example.get("size")
        keys = iter(jax.random.split(key, len(views) + (self.mirror > 0)))
        mirrored = self.mirror > 0 and jax.random.bernoulli(next(keys), self.mirror)

        def make(part: Part) -> Array:
            made = straight(part)
            # Of the views and not of the image: crops lie on both sides alike.
            return (
                jnp.where(mirrored, jnp.flip(made, -2), made) if self.mirror else made
            )

        def straight(part: Part) -> Array:
            if isinstance(part, View):
                return part.mapped(next(keys), image, extent)
            return stack_of(part, jnp.stack([next(keys) for _ in part]), image, extent)

        if not isinstance(self.views, Mapping):
            return make(self.views)
        missing = [name for name in self.carried if name not in example]
        if missing:
            raise ValueError(
                f"{self.name}: the examples have no {missing[0]!r}, only "
                f"{sorted(example)}; this recipe hands it to the method."
            )
        made = {name: make(part) for name, part in self.views.items()}
        return made | {name: example[name] for name in self.carried}


def stack_of(
    views: tuple[View, ...], keys: Array, image: Array, extent: Array | None
) -> Array:
    """Views of one size, [V, size, size, C]; equal neighbours share one program."""
    stacks = []
    for view, run in itertools.groupby(views):
        mine, keys = jnp.split(keys, [len(list(run))])
        stacks.append(jax.vmap(view.mapped, (0, None, None))(mine, image, extent))
    return stacks[0] if len(stacks) == 1 else jnp.concatenate(stacks)
