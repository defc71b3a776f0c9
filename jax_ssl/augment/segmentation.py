"""Views of an image and the classes of its pixels, which move together."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.augment.affine import affine_matrix
from jax_ssl.augment.carried import carried_fields
from jax_ssl.augment.crop import between, random_place
from jax_ssl.augment.frames import Size
from jax_ssl.augment.pixels import check_moments, image_of, standardize, unit
from jax_ssl.augment.steps import ColorJitter
from jax_ssl.core import checks
from jax_ssl.core.fields import FILL, Field, Fields
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.ops.platforms import one_by_one
from jax_ssl.ops.resize import Axis, apply_weights, axis_weights
from jax_ssl.ops.warp import affine_points, sample

FOLLOWING = ("mask", "depth", "distance")  # Kinds of fields that can move along.


def segmentation_crops(
    fields: Fields | None = None,
    *,
    size: Size = None,
    margin: int = 0,
    flip: float = 0.5,
    vertical_flip: float = 0.0,
    min_scale: float = 1.0,
    max_scale: float = 1.0,
    degrees: float = 0.0,
    elastic: float = 0.0,
    elastic_grid: int = 3,
    strength: float = 0.0,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    carried: tuple[str, ...] = ("mask",),
) -> ViewFn:
    """Random tiles of an image and its mask, turned, bent and coloured.

    U-Net (arXiv 1505.04597), section 3.1, draws the displacements of a coarse 3 x 3
    grid with a standard deviation of 10 pixels and interpolates them bicubically, and
    names shifts, rotations and grey values without numbers: `elastic=10.0, size=388,
    margin=92`. The image is bilinear and mirrored beyond its border; other fields have
    the nearest pixel's values, and beyond the border 255 (masks) or 0.

    Args:
        fields: what the examples hold, for their kinds.
        size: of the tile, (height, width) or the side of a square; None for all.
        margin: pixels of the image that are shown around the tile, at every side.
        flip: probability of a mirror image, left and right exchanged.
        vertical_flip: likewise, top and bottom exchanged.
        min_scale: smallest factor by which things are enlarged; the factor is uniform.
        max_scale: largest.
        degrees: rotation is uniform in [-degrees, degrees].
        elastic: standard deviation of the displacements, in pixels of the tile.
        elastic_grid: their number along each side of the tile with its margin.
        strength: multiplies `jitter`; 0 leaves the colours alone.
        jitter: brightness, contrast, saturation, hue; grey images have the first two.
        mean: per channel, subtracted.
        std: per channel, divided by.
        carried: fields that are cut alike, of the kinds mask, depth and distance.

    Returns:
        Views {"image": [h + 2 margin, w + 2 margin, C] float32, in [0, 1] before the
        standardization, "mask": [h, w] uint8, ...}; the image alone without `carried`.

    Raises:
        ValueError: if a setting is out of its range, or a field cannot be carried.
    """
    checks.at_least(0, margin=margin, elastic=elastic)
    checks.at_least(2, elastic_grid=elastic_grid)
    checks.within("[0, 1]", flip=flip, vertical_flip=vertical_flip)
    checks.within("[0, 180]", degrees=degrees)
    checks.positive(min_scale=min_scale, max_scale=max_scale)
    checks.rising(min_scale=min_scale, max_scale=max_scale)
    check_moments(mean, std)
    me = "segmentation_crops"
    known = carried_fields(me, _known(fields), carried, FOLLOWING)
    colour = ColorJitter(amounts=jitter, strength=strength, probability=1.0)

    @one_by_one
    def cut(key: Array, chosen: Example, extent: Array) -> dict[str, Array]:
        sides = _sides(me, size, chosen["image"])
        # The tile with its margin; every point of it is read at one of the image.
        shape = tuple(side + 2 * margin for side in sides)
        draw_key, bend_key = jax.random.split(key)
        uniform = jax.random.uniform(draw_key, (6,))
        scale = between((min_scale, max_scale), uniform[0])
        angle = jnp.deg2rad(degrees * (2 * uniform[1] - 1))
        signs = jnp.where(uniform[2:4] < jnp.array([flip, vertical_flip]), -1.0, 1.0)
        covers = jnp.array(sides) / scale
        free = jnp.floor(extent - covers)
        start = jnp.where(
            free > 0, random_place(uniform[4:], free), jnp.floor(free / 2)
        )
        linear = affine_matrix(angle, jnp.zeros(2), scale, jnp.zeros(()))[:, :2]
        matrix = jnp.concatenate([linear * signs, jnp.zeros((2, 1))], axis=1)
        bend = jnp.zeros((*shape, 2))
        if elastic > 0:
            nodes = jax.random.normal(bend_key, (elastic_grid, elastic_grid, 2))
            bend = elastic * displacements(nodes, *shape)
        points = affine_points(matrix, *shape) + bend @ matrix[:, :2].T
        # Both are measured from the first pixel; the middles must meet.
        middle = (start + (covers - 1) / 2)[::-1]
        points = points + middle - (jnp.array(shape[::-1]) - 1) / 2
        return _read(chosen, known, points, extent, margin, scale)

    def views(key: Array, example: Example) -> Views:
        image = image_of(me, example)
        if strength > 0 and image.shape[-1] not in (1, 3):
            image_of(me, example, colour=("strength",))
        cut_key, colour_key = jax.random.split(key)
        made = cut(cut_key, *_chosen(me, example, carried))
        if strength > 0:
            made["image"] = _jittered(colour, colour_key, made["image"])
        made["image"] = standardize(made["image"], mean, std)
        return made if carried else made["image"]

    return views


def segmentation_whole(
    fields: Fields | None = None,
    *,
    size: Size = None,
    margin: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    carried: tuple[str, ...] = ("mask",),
) -> ViewFn:
    """The evaluation view: the image and its mask, the same for every key.

    Args:
        fields: what the examples hold, for their kinds.
        size: of a cut out of the middle; None for all, of a canvas the whole of it.
        margin: pixels of the image that are shown around it, mirrored beyond the
            border. `segmenter` mirrors by itself what is missing.
        mean: per channel, subtracted.
        std: per channel, divided by.
        carried: fields that are cut alike; those that the examples have not are left
            out, so that images without masks can be shown too.

    Returns:
        As `segmentation_crops`.

    Raises:
        ValueError: if a setting is out of its range, or a field cannot be carried.
    """
    checks.at_least(0, margin=margin)
    check_moments(mean, std)
    me = "segmentation_whole"
    known = carried_fields(me, _known(fields), carried, FOLLOWING, all_there=False)

    @one_by_one
    def cut(chosen: Example, extent: Array) -> dict[str, Array]:
        sides = _sides(me, size, chosen["image"])
        within = jnp.array(chosen["image"].shape[:2]) if size is None else extent
        start = jnp.floor((within - jnp.array(sides)) / 2)
        rows, columns = (
            first - margin + jnp.arange(side + 2 * margin)
            for first, side in zip(start, sides, strict=True)
        )
        points = jnp.stack(jnp.meshgrid(columns, rows), axis=-1)
        return _read(chosen, known, points, extent, margin, jnp.ones(()))

    def view(key: Array, example: Example) -> Views:
        del key
        there = tuple(name for name in carried if name in example)
        made = cut(*_chosen(me, example, there))
        made["image"] = standardize(made["image"], mean, std)
        return made if carried else made["image"]

    return view


def displacements(nodes: Array, height: int, width: int) -> Array:
    """What lies between the nodes of a coarse grid, by Keys' cubic with a = -1/2.

    Args:
        nodes: [m, n, 2], the first in the middle of the first pixel and the last in
            that of the last.
        height: rows of the fine grid.
        width: columns of it.

    Returns:
        [height, width, 2].
    """

    def weights(count: int, side: int) -> Array:
        step = (count - 1) / max(side - 1, 1)
        axis = Axis(jnp.arange(side) * step + 0.5, step, 0.0, float(count))
        return axis_weights(axis, count, "bicubic")

    rows, columns = weights(nodes.shape[0], height), weights(nodes.shape[1], width)
    return apply_weights(nodes, rows, columns)


def mirrored(place: Array, side: Array) -> Array:
    """Places on a line as those in [0, side - 1] that a mirror at its ends shows."""
    last = jnp.maximum(side - 1.0, 0.0)
    within = jnp.mod(place, jnp.maximum(2 * last, 1.0))
    return jnp.clip(last - jnp.abs(within - last), 0.0, last)


def _read(
    chosen: Example,
    known: Fields,
    points: Array,
    extent: Array,
    margin: int,
    scale: Array,
) -> dict[str, Array]:
    """The image at all points [H, W, 2], the other fields without the margin."""
    x, y = points[..., 0], points[..., 1]
    folded = jnp.stack([mirrored(x, extent[1]), mirrored(y, extent[0])], axis=-1)
    image = chosen["image"]
    made = {"image": jnp.clip(sample(unit(image), folded, border="edge"), 0.0, 1.0)}
    inner = [slice(margin, n - margin) for n in points.shape[:2]]
    column, row = (jnp.floor(z[*inner] + 0.5).astype(jnp.int32) for z in (x, y))
    inside = (row >= 0) & (row < extent[0]) & (column >= 0) & (column < extent[1])
    for name, value in chosen.items():
        if name == "image":
            continue
        field = known[name]
        found = value.at[row, column].get(mode="clip")
        if field.kind == "distance":
            found = found * scale
        made[name] = jnp.where(inside, found, FILL.get(field.kind, 0)).astype(
            value.dtype
        )
    return made


def _known(fields: Fields | None) -> Fields:
    """What the examples hold; a mask needs no description."""
    return {"mask": Field("mask", (1, 1), np.dtype("uint8")), **(fields or {})}


def _chosen(
    recipe: str, example: Example, carried: tuple[str, ...]
) -> tuple[dict[str, Array], Array]:
    """Image and carried fields of an example, and what they fill, [2] float32.

    Raises:
        ValueError: if a field is not there.
    """
    image = image_of(recipe, example)
    if missing := [name for name in carried if name not in example]:
        raise ValueError(
            f"{recipe}: the examples have no {missing[0]!r}, only {sorted(example)}; "
            "name those that shall follow in config.views.carried."
        )
    extent = jnp.asarray(example.get("size", image.shape[:2]), jnp.float32)
    return {"image": image, **{name: example[name] for name in carried}}, extent


def _sides(recipe: str, size: Size, image: Array) -> tuple[int, int]:
    sides = image.shape[:2] if size is None else size
    height, width = (sides, sides) if isinstance(sides, int) else sides
    if min(height, width) < 1:
        raise ValueError(f"{recipe}: size = {size} must be at least 1.")
    return height, width


def _jittered(colour: ColorJitter, key: Array, image: Array) -> Array:
    """The jitter of an image [H, W, 3], or of a grey one [H, W, 1] as such."""
    grey = image.shape[-1] == 1
    out = colour(key, jnp.repeat(image, 3, axis=-1) if grey else image)
    return out[..., :1] if grey else out
