"""Predicted maps beside labels that have another size, and what depth is measured on.

A prediction shows all of a picture in the pixels of the view; labels have the pixels of
the data set, where on a canvas the picture fills "size" alone. Maps here are of one
example.
"""

from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
import numpy as np

from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array, Example
from jax_ssl.ops.resize import Axis, apply_weights, axis_weights

Crop = Literal["none", "garg", "eigen"]
# First and last row and column that count, as shares of the height and the width. Garg
# et al. (2016, arXiv:1603.04992) and Eigen et al. (2014, arXiv:1406.2283), as they are
# used on KITTI.
CROPS: Mapping[str, tuple[float, float, float, float]] = {
    "none": (0.0, 1.0, 0.0, 1.0),
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}
TINY = 1e-8  # Metres, or the inverse; what is divided by is no less.


def filled(fields: Example, label: Array) -> tuple[Array | int, Array | int]:
    """(height, width) that the picture fills of a label [H, W, ...]."""
    if "size" in fields:
        return fields["size"][0], fields["size"][1]
    return label.shape[0], label.shape[1]


def shown(fields: Example, label: Array) -> Array:
    """[H, W] bool, the pixels of a label that belong to the picture."""
    height, width = filled(fields, label)
    rows, columns = jnp.arange(label.shape[0]), jnp.arange(label.shape[1])
    return (rows < height)[:, None] & (columns < width)


def at_label(values: Array, fields: Example, label: Array) -> Array:
    """A predicted map, resized bilinearly to the pixels of a label.

    Args:
        values: [h, w] or [h, w, C] of the whole picture.
        fields: of the example, with its "size" on a canvas.
        label: [H, W, ...].

    Returns:
        [H, W] or [H, W, C]; beyond the picture the border is repeated.
    """
    weights = []
    for pixels, side, extent in zip(
        values.shape, label.shape[:2], filled(fields, label), strict=False
    ):
        scale = pixels / extent
        centers = jnp.minimum((jnp.arange(side) + 0.5) * scale, pixels - 0.5)
        weights.append(axis_weights(Axis(centers, scale, 0.0, pixels), pixels))
    channels = values if values.ndim == 3 else values[..., None]
    return apply_weights(channels, *weights).reshape(
        *label.shape[:2], *values.shape[2:]
    )


def depth_at_label(depth: Array, fields: Example, label: Array) -> Array:
    """A depth [h, w] as one [H, W] in the pixels of a label; its inverse is resized."""
    inverse = at_label(1 / jnp.maximum(depth, TINY), fields, label)
    return 1 / jnp.maximum(inverse, TINY)


def disparity_at_label(disparity: Array, fields: Example, label: Array) -> Array:
    """A disparity [h, w] in pixels of the view, as one [H, W] in those of a label."""
    factor = filled(fields, label)[1] / disparity.shape[1]
    return at_label(disparity, fields, label) * factor


def flow_at_label(flow: Array, fields: Example, label: Array) -> Array:
    """A flow [h, w, 2] in pixels of the view, as one [H, W, 2] in those of a label."""
    height, width = filled(fields, label)
    factors = jnp.stack([width / flow.shape[1], height / flow.shape[0]])
    return at_label(flow, fields, label) * factors


def crop_mask(crop: Crop, fields: Example, label: Array) -> Array:
    """[H, W] bool, the pixels of a label inside a crop of its picture.

    The edges are whole numbers, the shares times the sides rounded down.
    """
    top, bottom, left, right = CROPS[crop]
    inside = []
    for side, extent, ends in zip(
        label.shape[:2],
        filled(fields, label),
        ((top, bottom), (left, right)),
        strict=True,
    ):
        # In float64, of every size: 0.99189189 x 370 would be 367 in float32.
        low, high = (
            jnp.asarray(np.floor(share * np.arange(side + 1)), jnp.int32)[extent]
            for share in ends
        )
        pixels = jnp.arange(side)
        inside.append((pixels >= low) & (pixels < high))
    return inside[0][:, None] & inside[1]


def masked_median(values: Array, mask: Array) -> Array:
    """The median of the values where `mask` is true, 1 where it nowhere is; [].

    Of an even number of values it is the mean of the two in the middle.
    """
    count = mask.sum()
    ordered = jnp.sort(jnp.where(mask, values, jnp.inf).ravel())
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return jnp.where(count > 0, middle, 1.0)


def mean_where(values: Array, mask: Array) -> Array:
    """The mean of the values where `mask` is true, 0 where it nowhere is; []."""
    return jnp.where(mask, values, 0.0).sum() / jnp.maximum(mask.sum(), 1)


def best_plane(
    values: Array, mask: Array, fields: Example, weights: Array | float = 1.0
) -> Array:
    """The plane a + b x + c y nearest to a label [H, W] where `mask` is true.

    In disparity, or inverse depth, it is what a camera sees of one flat ground.

    Args:
        values: of the label.
        mask: which of them count.
        fields: of the example, with its "size" on a canvas.
        weights: of the squared differences.

    Returns:
        [H, W], which shows the whole picture, as a prediction does.
    """
    grids = [jnp.linspace(-1.0, 1.0, side) for side in values.shape]
    y, x = jnp.meshgrid(*grids, indexing="ij")
    known = jnp.stack([jnp.ones_like(x), x, y], axis=-1)
    weight = jnp.where(mask, weights, 0.0)[..., None]
    normal = einsum("hwi,hwj->ij", known * weight, known)
    right = einsum("hwi,hw->i", known * weight, jnp.where(mask, values, 0.0))
    normal += (1e-6 * weight.sum() + TINY) * jnp.eye(3)
    a, b, c = jnp.linalg.solve(normal, right)
    # The picture's pixels in units of the label's grid.
    height, width = filled(fields, values)
    ys = _stretched(values.shape[0], height)[:, None]
    xs = _stretched(values.shape[1], width)
    return a + b * xs + c * ys


def _stretched(side: int, extent: Array | int) -> Array:
    """Places in [-1, 1] of the label's grid at which a map of `side` pixels lies."""
    at = (jnp.arange(side) + 0.5) * extent / side - 0.5
    return 2 * at / max(side - 1, 1) - 1
