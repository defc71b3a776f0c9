"""Views of films: two moments as two views, the first one for evaluation."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jax_ssl.augment.pixels import check_moments, field_of, standardize, unit
from jax_ssl.augment.steps import ColorJitter
from jax_ssl.core import checks
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Example

Size = int | tuple[int, int] | None  # A side of a square, (height, width), or all.


def two_frames(
    *,
    size: Size = None,
    gap: int = 1,
    strength: float = 0.0,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ViewFn:
    """Two frames of a film, cut alike: what differs between the views is time.

    Args:
        size: of the cut, a random one that both frames share; None for the whole frame.
        gap: frames from the first view to the second; where the film is longer, its
            first moment is random.
        strength: multiplies `jitter`; 0 leaves the colours alone.
        jitter: brightness, contrast, saturation, hue, drawn once for both frames.
        mean: per channel, subtracted.
        std: per channel, divided by.

    Returns:
        Views [2, h, w, C] float32 of an example's "frames", in [0, 1] before the
        standardization.

    Raises:
        ValueError: if a setting is out of its range, or a film too short or too small.
    """
    me = "two_frames"
    checks.at_least(1, gap=gap)
    check_moments(mean, std)
    colour = ColorJitter(amounts=jitter, strength=strength, probability=1.0)

    def views(key: Array, example: Example) -> Array:
        off = ("strength",) if strength > 0 else ()
        frames = field_of(me, example, "frames", "THWC", colour=off)
        if len(frames) <= gap:
            raise ValueError(f"{me}: gap = {gap} does not fit {len(frames)} frames.")
        place_key, colour_key = jax.random.split(key)
        moment, *place = jax.random.uniform(place_key, (3,))
        first = jnp.floor(moment * (len(frames) - gap)).astype(jnp.int32)
        pair = jax.lax.dynamic_slice_in_dim(frames, first, gap + 1)[::gap]
        pair = unit(_cut(me, example, pair, size, place))
        if strength > 0:
            pair = colour(colour_key, pair)
        return standardize(pair, mean, std)

    return views


def first_frame(
    *,
    size: Size = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ViewFn:
    """The evaluation view: the first frame of a film, the same for every key.

    Args:
        size: of a cut out of its middle; None for the whole frame.
        mean: per channel, subtracted.
        std: per channel, divided by.

    Returns:
        View [h, w, C] float32 of an example's "frames", in [0, 1] before the
        standardization.

    Raises:
        ValueError: if a setting is out of its range, or a frame too small.
    """
    me = "first_frame"
    check_moments(mean, std)

    def view(key: Array, example: Example) -> Array:
        del key
        frames = field_of(me, example, "frames", "THWC")[:1]
        middle = _cut(me, example, frames, size, (0.5, 0.5))[0]
        return standardize(unit(middle), mean, std)

    return view


def _cut(
    recipe: str,
    example: Example,
    frames: Array,
    size: Size,
    place: Sequence[Array | float],
) -> Array:
    """[T, h, w, C] with the corner at `place` [2] in [0, 1) of the free pixels."""
    height, width = frames.shape[1:3]
    h, w = (size, size) if isinstance(size, int) else size or (height, width)
    if not (1 <= h <= height and 1 <= w <= width):
        raise ValueError(
            f"{recipe}: size = {size} does not fit frames of {height} x {width} pixels."
        )
    extent = example.get("size", (height, width))  # On a canvas, what is filled.
    top, left = (
        jnp.floor(share * jnp.maximum(side - cut + 1, 1)).astype(jnp.int32)
        for share, side, cut in zip(place, extent, (h, w), strict=True)
    )
    rows = jax.lax.dynamic_slice_in_dim(frames, top, h, axis=1)
    return jax.lax.dynamic_slice_in_dim(rows, left, w, axis=2)
