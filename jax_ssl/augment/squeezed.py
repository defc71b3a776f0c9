"""The whole image in a frame, for tasks that must not lose its border."""

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp

from jax_ssl.augment.pixels import check_moments, image_of, in_unit, standardize
from jax_ssl.core import checks
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Example
from jax_ssl.ops.platforms import one_by_one
from jax_ssl.ops.resize import FILTERS, crop_axis, resample


def squeezed(
    *,
    size: int | tuple[int, int],
    interpolation: Literal["bilinear", "bicubic"] = "bicubic",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ViewFn:
    """An evaluation view: all of the image, whatever the ratio of its sides.

    Args:
        size: (height, width) of the view, or the side of a square.
        interpolation: antialiased filter of the resize.
        mean: per channel, subtracted.
        std: per channel, divided by.

    Returns:
        View [h, w, C] float32 of an example's "image", honouring its "size".

    Raises:
        ValueError: if a setting is out of its range.
    """
    checks.at_least(1, size=size)
    checks.one_of(FILTERS, interpolation=interpolation)
    check_moments(mean, std)
    shape = (size, size) if isinstance(size, int) else size

    @one_by_one
    def square(image: Array, extent: Array | None) -> Array:
        filled = jnp.array(image.shape[:2]) if extent is None else extent
        rows, columns = (
            crop_axis(side, 0.0, length)
            for side, length in zip(shape, filled, strict=True)
        )
        bounds = image.shape[0] / shape[0], image.shape[1] / shape[1]
        return resample(image, rows, columns, method=interpolation, max_scale=bounds)

    def view(key: Array, example: Example) -> Array:
        del key
        image = image_of("squeezed", example)
        made = square(image, example.get("size"))
        return standardize(jnp.clip(in_unit(made, image.dtype), 0.0, 1.0), mean, std)

    return view
