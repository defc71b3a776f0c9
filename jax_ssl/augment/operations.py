"""The operations of RandAugment, as Pillow has them, chosen by a traced number.

A program for an accelerator runs all families of operations with neutral parameters but
for one; a program that runs example by example takes the one branch.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array
from jax_ssl.ops import color, levels, stencils
from jax_ssl.ops.platforms import in_planes, looped
from jax_ssl.ops.warp import affine_transform

# Every operation, and the family of them that one function serves.
OPERATIONS = {
    "identity": "nothing",
    "rotate": "geometry",  # Amount: degrees, counter-clockwise.
    "shear_x": "geometry",  # Rows move left by amount times their distance to the top.
    "shear_y": "geometry",
    "translate_x": "geometry",  # Pixels, to the left.
    "translate_y": "geometry",
    "brightness": "blend",  # A factor, as in the next three.
    "contrast": "blend",
    "color": "blend",
    "sharpness": "sharpness",
    "invert": "solarize",
    "solarize": "solarize",  # The lowest level that is inverted, 0 to 256.
    "solarize_add": "solarize_add",  # Added levels.
    "posterize": "posterize",  # Bits that are kept.
    "autocontrast": "autocontrast",
    "equalize": "equalize",
}
NAMES = tuple(OPERATIONS)


class Operation(NamedTuple):
    """One operation to apply.

    Attributes:
        number: [] int32, a position in `NAMES`.
        amount: [] float32, in the operation's unit; see `OPERATIONS`.
    """

    number: Array
    amount: Array

    def applies(self, name: str) -> Array:
        """Whether it is the operation of this name, [] bool."""
        return self.number == NAMES.index(name)

    def amount_of(self, name: str, neutral: float) -> Array:
        """Its amount if it is the operation of this name, else the neutral one."""
        return jnp.where(self.applies(name), self.amount, neutral)


def apply_operation(
    image: Array,
    operation: Operation,
    *,
    interpolation: str = "bicubic",
    fill: float | Sequence[float] = 0.0,
) -> Array:
    """Applies one operation to an image, to all frames alike.

    Args:
        image: [..., H, W, 3] in [0, 1].
        operation: which, and how much.
        interpolation: of the geometric operations: "nearest", "bilinear" or "bicubic".
        fill: what comes in from outside of the image.

    Returns:
        [..., H, W, 3] in [0, 1].
    """
    families = _families(operation, interpolation, fill)
    if not looped():
        # Neutral in each family but one: what `vmap` makes of a branch, less the waste.
        for family in families.values():
            # Written out, or fusions of one family would compute all before it anew.
            image = jax.lax.optimization_barrier(family(image))
        return image

    place = {name: i for i, name in enumerate(families, 1)}
    table = np.array([place.get(family, 0) for family in OPERATIONS.values()])
    chosen = jnp.arange(len(NAMES)) == operation.number
    done = jax.lax.switch(
        jnp.sum(jnp.where(chosen, table, 0)),
        [lambda planes: planes, *map(in_planes, families.values())],
        jnp.moveaxis(image, -1, 0),
    )
    return jnp.moveaxis(done, 0, -1)


def _families(
    operation: Operation, interpolation: str, fill: float | Sequence[float]
) -> dict[str, Callable[[Array], Array]]:
    """What the operation does in each family: nothing, but in its own."""
    amount, applies = operation.amount_of, operation.applies

    def geometry(image: Array) -> Array:
        matrix = geometric_matrix(operation, *image.shape[-3:-1])
        moved = affine_transform(image, matrix, method=interpolation, fill=fill)
        return jnp.clip(moved, 0.0, 1.0)

    def blend(image: Array) -> Array:
        bright, contrast, saturation = (
            amount(name, 1.0) for name in ("brightness", "contrast", "color")
        )
        # At most one of the three is not 1.
        scale = bright * contrast * saturation
        return color.blend(image, scale, 1.0 - saturation, 1.0 - contrast, 0.0)

    def solarize(image: Array) -> Array:
        threshold = jnp.ceil(amount("solarize", jnp.inf))
        threshold = jnp.where(applies("invert"), 0.0, threshold)
        return color.solarize(image, (threshold - 0.5) / 255.0)  # Between two levels.

    def solarize_add(image: Array) -> Array:
        offset = amount("solarize_add", 0.0) / 255.0
        return levels.solarize_add(image, offset, 127.5 / 255.0)

    def posterize(image: Array) -> Array:
        return levels.posterize(image, amount("posterize", 8.0).astype(jnp.int32))

    return {
        "geometry": geometry,
        "blend": blend,
        "sharpness": lambda x: stencils.sharpness(x, amount("sharpness", 1.0)),
        "solarize": solarize,
        "solarize_add": solarize_add,
        "posterize": posterize,
        "autocontrast": lambda x: jnp.where(
            applies("autocontrast"), levels.autocontrast(x), x
        ),
        "equalize": lambda x: jnp.where(applies("equalize"), levels.equalize(x), x),
    }


def geometric_matrix(operation: Operation, height: int, width: int) -> Array:
    """[2, 3] from output to input pixels about the centre; shears keep the corner."""
    angle, slope_x, slope_y, shift_x, shift_y = (
        operation.amount_of(name, 0.0)
        for name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
    )
    angle = jnp.deg2rad(angle)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    shift_x = shift_x + slope_x * (height / 2)
    shift_y = shift_y + slope_y * (width / 2)
    rows = ([cos, slope_x - sin, shift_x], [slope_y + sin, cos, shift_y])
    return jnp.stack([jnp.stack(row) for row in rows])
