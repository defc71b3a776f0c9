"""Views of an image and the boxes of what is on it, which move together."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jax_ssl.augment.carried import carried_fields
from jax_ssl.augment.crop import between
from jax_ssl.augment.frames import Size
from jax_ssl.augment.pixels import check_moments, image_of, standardize, unit
from jax_ssl.augment.steps import ColorJitter
from jax_ssl.core import checks
from jax_ssl.core.fields import Fields, Window, resampled
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.ops.platforms import one_by_one
from jax_ssl.ops.resize import Axis, resample

FOLLOWING = ("boxes", "scale")  # Kinds of fields that can move along.


def detection_crops(
    fields: Fields | None = None,
    *,
    size: Size,
    flip: float = 0.5,
    min_scale: float = 1.0,
    max_scale: float = 1.0,
    strength: float = 0.0,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    carried: tuple[str, ...] = ("boxes",),
) -> ViewFn:
    """The picture at a random size and place, mirrored or not, with its boxes.

    At scale 1 it just fits, as in `detection_whole`; a larger one shows a part of it, a
    smaller one leaves more room. Boxes are cut to the view, and left out beyond it.

    Args:
        fields: what the examples hold, for their kinds.
        size: of the view, (height, width) or the side of a square.
        flip: probability of a mirror image.
        min_scale: smallest factor on the size that just fits; the factor is uniform.
        max_scale: largest.
        strength: multiplies `jitter`; 0 leaves the colours alone.
        jitter: brightness, contrast, saturation, hue.
        mean: per channel, subtracted.
        std: per channel, divided by.
        carried: fields that follow, of the kinds boxes and scale.

    Returns:
        Views {"image": [h, w, C] float32, in [0, 1] before the standardization and 0
        after it where there is no picture, "boxes": [n, 5] in pixels of the view}.

    Raises:
        ValueError: if a setting is out of its range, or a field cannot be carried.
    """
    me = "detection_crops"
    checks.within("[0, 1]", flip=flip)
    checks.positive(min_scale=min_scale, max_scale=max_scale)
    checks.rising(min_scale=min_scale, max_scale=max_scale)
    check_moments(mean, std)
    known = carried_fields(me, fields or {}, carried, FOLLOWING)
    sides = _sides(me, size)
    colour = ColorJitter(amounts=jitter, strength=strength, probability=1.0)

    def views(key: Array, example: Example) -> Views:
        draw_key, colour_key = jax.random.split(key)
        uniform = jax.random.uniform(draw_key, (4,))
        scale = between((min_scale, max_scale), uniform[0])
        made = _placed(
            *(me, example, known, carried, sides, scale, uniform[1:3]),
            flag=uniform[3] < flip,
            least=min_scale,
        )
        shown = made.pop("shown")
        if strength > 0:
            made["image"] = colour(colour_key, made["image"])
        made["image"] = standardize(made["image"], mean, std) * shown
        return made

    return views


def detection_whole(
    fields: Fields | None = None,
    *,
    size: Size,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    carried: tuple[str, ...] = ("boxes", "crowds", "scale"),
) -> ViewFn:
    """The evaluation view: all of the picture, as large as fits, at the upper left.

    Args:
        fields: what the examples hold, for their kinds.
        size: of the view, (height, width) or the side of a square.
        mean: per channel, subtracted.
        std: per channel, divided by.
        carried: fields that follow, of the kinds boxes and scale; those that the
            examples have not are left out, so that images without boxes can be shown.

    Returns:
        As `detection_crops`, and "scale" [2], pixels of the view to one of the file.

    Raises:
        ValueError: if a setting is out of its range, or a field cannot be carried.
    """
    me = "detection_whole"
    check_moments(mean, std)
    known = carried_fields(me, fields or {}, carried, FOLLOWING, all_there=False)
    sides = _sides(me, size)

    def view(key: Array, example: Example) -> Views:
        del key
        there = tuple(name for name in carried if name in example)
        start, never = jnp.zeros(2), jnp.zeros((), bool)
        made = _placed(
            *(me, example, known, there, sides, jnp.ones(()), start), flag=never
        )
        shown = made.pop("shown")
        made["image"] = standardize(made["image"], mean, std) * shown
        return made

    return view


def _placed(
    recipe: str,
    example: Example,
    known: Fields,
    carried: tuple[str, ...],
    sides: tuple[int, int],
    scale: Array,
    place: Array,
    *,
    flag: Array,
    least: float = 1.0,
) -> dict[str, Array]:
    """A window of the picture and the fields that follow.

    Args:
        recipe: for what is said of a missing field.
        example: one example.
        known: kinds of the fields.
        carried: names of those that follow.
        sides: (height, width) of the view.
        scale: over the size that just fits.
        place: [2] in [0, 1], of the window in the room that there is, or of the picture
            in the window.
        flag: whether it is mirrored.
        least: that the scale can be.

    Returns:
        The fields by name, and "shown" [h, w, 1], 1 where there is a picture.
    """
    image = image_of(recipe, example)
    if missing := [name for name in carried if name not in example]:
        raise ValueError(
            f"{recipe}: the examples have no {missing[0]!r}, only {sorted(example)}; "
            "name those that shall follow in config.views.carried."
        )
    extent = jnp.asarray(example.get("size", image.shape[:2]), jnp.float32)
    view = jnp.array(sides, jnp.float32)
    step = (extent / view).max() / scale
    start = place * (extent - view * step)

    @one_by_one
    def cut(image: Array, extent: Array, start: Array, step: Array) -> Array:
        axes = []
        for i in range(2):
            centers = start[i] + (jnp.arange(sides[i]) + 0.5) * step
            inside = jnp.clip(centers, 0.5, extent[i] - 0.5)
            axes.append(Axis(inside, step, 0.0, extent[i]))
        reach = max(a / b for a, b in zip(image.shape[:2], sides, strict=True))
        return resample(image, *axes, max_scale=(reach / least,) * 2)

    made = {"image": jnp.clip(cut(unit(image), extent, start, step), 0.0, 1.0)}
    rows, columns = (
        (place > 0) & (place < end)
        for place, end in (
            (start[i] + (jnp.arange(sides[i]) + 0.5) * step, extent[i])
            for i in range(2)
        )
    )
    made["shown"] = (rows[:, None] & columns)[..., None].astype(jnp.float32)
    for name in ("image", "shown"):
        made[name] = jnp.where(flag, made[name][:, ::-1], made[name])
    window = Window((start[0], start[1]), (step, step), sides)
    for name in carried:
        value = resampled(example[name], known[name], window, jnp)
        if known[name].kind == "boxes":
            label, left, top, right, bottom = value.T
            turned = (label, sides[1] - right, top, sides[1] - left, bottom)
            there = flag & (label >= 0)[:, None]
            value = jnp.where(there, jnp.stack(turned, axis=-1), value)
        made[name] = value
    return made


def _sides(recipe: str, size: Size) -> tuple[int, int]:
    if size is None:
        raise ValueError(f"{recipe}: size = None; say a side, or (height, width).")
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"{recipe}: size = {size} must be at least 1.")
    return height, width
