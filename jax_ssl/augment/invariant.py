"""Views of what a representation is to be invariant to, or not: PIRL's and LooC's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.augment.crop import RandomCrop
from jax_ssl.augment.pixels import IMAGENET_MEAN, IMAGENET_STD, image_of, in_unit
from jax_ssl.augment.recipe import Recipe, View, in_turn
from jax_ssl.augment.steps import (
    Blur,
    ColorJitter,
    Grayscale,
    Photometric,
    Standardize,
    Step,
    Turn,
)
from jax_ssl.augment.tiles import SIDE, TILES
from jax_ssl.augment.tones import sometimes
from jax_ssl.core import checks
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.ops.platforms import one_by_one

Pretext: TypeAlias = Literal["jigsaw", "rotation", "none"]
PRETEXTS = ("jigsaw", "rotation", "none")


def pirl(
    *,
    pretext: Pretext = "jigsaw",
    size: int = 224,
    min_scale: float = 0.08,
    tile: int = 64,
    gap: int = 21,
    min_scale_transformed: float = 0.6,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.2),
    strength: float = 1.0,
    photometric_probability: float = 0.66,
    gray_probability: float = 0.2,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> ViewFn:
    """PIRL (arXiv 1912.01991): a crop of an image, and another one transformed.

    Numbers and order are those of the released code (facebookresearch/vissl), which has
    no rotation: its turned crop, with the steps of the image, is this library's choice.

    Args:
        pretext: how the second crop is transformed. "jigsaw" cuts it into 3 x 3 tiles,
            each at a random place of its cell, and shuffles them by one of all 9!
            permutations; "rotation" turns it by quarters; "none" makes no second crop.
        size: side of a crop, but for that of tiles.
        min_scale: smallest share of the area, of the image's crop.
        tile: side of a tile.
        gap: a cell has `tile + gap` pixels, the crop of tiles three times as many.
        min_scale_transformed: smallest share of the area, of the transformed crop.
        jitter: brightness, contrast, saturation, hue, always applied.
        strength: multiplies `jitter`.
        photometric_probability: of posterisation, sharpness, solarisation and
            autocontrast together.
        gray_probability: that colours are lost.
        mean: subtracted.
        std: divided by.

    Returns:
        {"image": [size, size, C], "transformed": [9, tile, tile, C] or
        [size, size, C], "index": []}; tiles have colours and mirror of their own.

    Raises:
        ValueError: if a setting is out of its range.
    """
    checks.one_of(PRETEXTS, pretext=pretext)
    checks.at_least(1, tile=tile)
    checks.at_least(0, gap=gap)
    checks.within("(0, 1]", min_scale_transformed=min_scale_transformed)
    steps = (
        ColorJitter(amounts=jitter, strength=strength, probability=1.0),
        Photometric(probability=photometric_probability),
        Grayscale(probability=gray_probability),
        Standardize(mean, std),
    )
    cut = RandomCrop(size=size, min_scale=min_scale, interpolation="bilinear")
    other = RandomCrop(
        size=size, min_scale=min_scale_transformed, interpolation="bilinear"
    )
    made = {"image": View(cut, *steps)}
    if pretext == "rotation":
        made["transformed"] = View(other, Turn(), *steps)
    recipe = Recipe("pirl", made, ("index",))
    if pretext != "jigsaw":
        return recipe
    puzzle = Puzzle(tile, gap, min_scale_transformed, View(cut, *steps).steps)

    def views(key: Array, example: Example) -> Views:
        image_key, puzzle_key = jax.random.split(key)
        image = image_of("pirl", example)
        tiles = puzzle(puzzle_key, image, example.get("size"))
        made = recipe(image_key, example)
        return {**made, "transformed": tiles}

    return views


@dataclass(frozen=True)
class Puzzle:
    """A random crop as shuffled tiles.

    Attributes:
        tile: side of a tile.
        gap: what its cell is longer.
        min_scale: smallest share of the image's area that the crop takes.
        steps: on each tile, after its mirror.
    """

    tile: int
    gap: int
    min_scale: float
    steps: tuple[Step, ...]

    def __call__(self, key: Array, image: Array, extent: Array | None) -> Array:
        """Tiles [9, tile, tile, C] of an image [H, W, C], see `View`."""
        crop_key, order_key, tile_key = jax.random.split(key, 3)
        cell = self.tile + self.gap
        crop = RandomCrop(
            size=SIDE * cell,
            min_scale=self.min_scale,
            interpolation="bilinear",
            flip=0.0,
        )
        board = in_unit(one_by_one(crop)(crop_key, image, extent), image.dtype)
        board = jnp.clip(board, 0.0, 1.0)
        # In another order before any pixel is touched.
        order = jax.random.permutation(order_key, TILES)
        corners = jnp.stack(jnp.divmod(order, SIDE), axis=-1) * cell
        keys = jax.random.split(tile_key, TILES)
        return jax.vmap(one_by_one(self.cut), (0, 0, None))(keys, corners, board)

    def cut(self, key: Array, corner: Array, board: Array) -> Array:
        """The tile [tile, tile, C] of the cell with this corner [2]."""
        keys = jax.random.split(key, 2 + len(self.steps))
        place = corner + jax.random.randint(keys[0], (2,), 0, self.gap + 1)
        sides = (self.tile, self.tile, board.shape[-1])
        x = jax.lax.dynamic_slice(board, (place[0], place[1], 0), sides)
        x = sometimes(keys[1], x, jnp.fliplr, probability=0.5)
        return in_turn(self.steps, keys[2:], x)


# Steps whose draw a key may share with the query.
KEPT = {"color": (ColorJitter, Grayscale), "rotation": (Turn,), "blur": (Blur,)}


@dataclass(frozen=True)
class LeaveOneOut(Recipe):
    """Views of which some share what the first one has drawn for some steps.

    Attributes:
        kept: view 2 + i draws the steps of `kept[i]`, a name in `KEPT`, as view 0 did;
            all else is drawn anew for every view.
    """

    kept: tuple[str, ...] = ()

    def sources(self) -> np.ndarray:
        """Of each view's crop and steps, whose draw they are: [V, 1 + steps]."""
        (views,) = self.parts().values()
        source = np.tile(np.arange(len(views))[:, None], 1 + len(views[0].steps))
        for i, name in enumerate(self.kept):
            for s, step in enumerate(views[0].steps):
                if isinstance(step, KEPT[name]):
                    source[2 + i, 1 + s] = 0
        return source

    def __call__(self, key: Array, example: Example) -> Views:
        """[2 + kept, size, size, 3] float32: the query and its keys."""
        (views,) = self.parts().values()
        colour = {step.off for step in views[0].steps if step.off}
        image = image_of(self.name, example, colour=sorted(colour, reverse=True))
        source = self.sources()
        keys = jax.random.split(key, source.shape)[source, np.arange(source.shape[1])]
        view = one_by_one(views[0].drawn)
        return jax.vmap(view, (0, None, None))(keys, image, example.get("size"))


def looc(
    *,
    kept: tuple[str, ...] = ("color", "rotation"),
    size: int = 224,
    min_scale: float = 0.2,
    strength: float = 1.0,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1),
    jitter_probability: float = 0.8,
    gray_probability: float = 0.2,
    rotation_probability: float = 1.0,
    blur_probability: float = 0.5,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> LeaveOneOut:
    """LooC (arXiv 2008.05659): a query and its keys, of which each keeps one draw.

    Key 0 draws everything anew. Key i has the very parameters of the query for one
    augmentation, and draws all others anew. Crop, mirror and colours are MoCo v2's,
    and quarter turns come after the crop. The paper's randomised textures, for which a
    stylised copy of the data set is needed, are not made here.

    Args:
        kept: which augmentations a key keeps, one key for each: "color" (jitter and
            grey), "rotation" or "blur".
        size: side of a view.
        min_scale: smallest share of the area.
        strength: multiplies `jitter`.
        jitter: brightness, contrast, saturation, hue.
        jitter_probability: that colours are jittered.
        gray_probability: that they are lost.
        rotation_probability: that a view is turned by 0 to 3 quarters.
        blur_probability: that it is blurred.
        mean: subtracted.
        std: divided by.

    Returns:
        Views [2 + len(kept), size, size, 3]: the query, key 0, and a key for each
        augmentation that is kept.

    Raises:
        ValueError: if a setting is out of its range, or what is to be kept is never
            drawn.
    """
    for name in kept:
        checks.one_of(KEPT, kept=name)
    checks.distinct(kept=kept)
    view = View(
        RandomCrop(size=size, min_scale=min_scale, interpolation="bilinear"),
        Turn(probability=rotation_probability),
        ColorJitter(amounts=jitter, strength=strength, probability=jitter_probability),
        Grayscale(probability=gray_probability),
        Blur(probability=blur_probability, kernel="pillow"),
        Standardize(mean, std),
    )
    for name in kept:
        if not any(isinstance(step, KEPT[name]) for step in view.steps):
            raise ValueError(
                f"kept = {kept}: this recipe has no {name!r} to keep, for its "
                "probability is 0; raise it, or leave the word out."
            )
    return LeaveOneOut("looc", (view,) * (2 + len(kept)), kept=kept)
