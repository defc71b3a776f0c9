"""The operations of RandAugment, as Pillow has them, chosen by a traced number.

A program for an accelerator runs all families of operations with neutral parameters but
for one; a program that runs example by example takes the one branch.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

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


Family: TypeAlias = Callable[[Array, Operation], Array]


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

    def geometry(image: Array, operation: Operation) -> Array:
        matrix = geometric_matrix(operation, *image.shape[-3:-1])
        moved = affine_transform(image, matrix, method=interpolation, fill=fill)
        return jnp.clip(moved, 0.0, 1.0)

    families = {"geometry": geometry, **_FAMILIES}
    if not looped():
        # Neutral in each family but one: what `vmap` makes of a branch, less the waste.
        for function in families.values():
            # Written out, or fusions of one family would compute all before it anew.
            image = jax.lax.optimization_barrier(function(image, operation))
        return image

    def branch(family: Family) -> Callable[[Array], Array]:
        return in_planes(lambda image: family(image, operation))

    place = {family: i for i, family in enumerate(families, 1)}
    table = np.array([place.get(family, 0) for family in OPERATIONS.values()])
    chosen = jnp.arange(len(NAMES)) == operation.number
    done = jax.lax.switch(
        jnp.sum(jnp.where(chosen, table, 0)),
        [lambda planes: planes, *map(branch, families.values())],
        jnp.moveaxis(image, -1, 0),
    )
    return jnp.moveaxis(done, 0, -1)


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


def _blend(image: Array, operation: Operation) -> Array:
    bright, contrast, saturation = (
        operation.amount_of(name, 1.0) for name in ("brightness", "contrast", "color")
    )
    # At most one of the three is not 1.
    scale = bright * contrast * saturation
    return color.blend(image, scale, 1.0 - saturation, 1.0 - contrast, 0.0)


def _sharpness(image: Array, operation: Operation) -> Array:
    return stencils.sharpness(image, operation.amount_of("sharpness", 1.0))


def _solarize(image: Array, operation: Operation) -> Array:
    threshold = jnp.ceil(operation.amount_of("solarize", jnp.inf))
    threshold = jnp.where(operation.applies("invert"), 0.0, threshold)
    return color.solarize(image, (threshold - 0.5) / 255.0)  # Between two levels.


def _solarize_add(image: Array, operation: Operation) -> Array:
    offset = operation.amount_of("solarize_add", 0.0) / 255.0
    return levels.solarize_add(image, offset, 127.5 / 255.0)


def _posterize(image: Array, operation: Operation) -> Array:
    bits = operation.amount_of("posterize", 8.0)
    return levels.posterize(image, bits.astype(jnp.int32))


def _autocontrast(image: Array, operation: Operation) -> Array:
    on = operation.applies("autocontrast")
    return jnp.where(on, levels.autocontrast(image), image)


def _equalize(image: Array, operation: Operation) -> Array:
    return jnp.where(operation.applies("equalize"), levels.equalize(image), image)


_FAMILIES: dict[str, Family] = {
    "blend": _blend,
    "sharpness": _sharpness,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "posterize": _posterize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
