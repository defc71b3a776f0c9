"""The colour jitter of one RGB image in [0, 1], in any of its 24 orders."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array
from jax_ssl.ops import color
from jax_ssl.ops.platforms import in_planes, looped

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)

# The 24 orders of the four operations, first to last.
ORDERS = tuple(itertools.permutations((BRIGHTNESS, CONTRAST, SATURATION, HUE)))

# Two rounds of blend, hue, blend hold every order: the hue comes first, second, third
# or fourth among three blends, and HBBB, BHBB, BBHB and BBBH are all subsequences of
# BHBBHB. A stage that an order leaves out does nothing. Without branches, which would
# all run under `vmap`, this is cheaper than four stages that can each be anything.
ROUND = "BHB"
ROUNDS = 2
EMPTY = -1


class Jitter(NamedTuple):
    """Parameters of one colour jitter.

    Attributes:
        brightness: [] factor.
        contrast: [] factor.
        saturation: [] factor.
        hue: [] shift in turns.
        order: [] int32, a position in `ORDERS`.
        offset: [] added with the brightness, whose additive form has a factor of 1.
    """

    brightness: Array
    contrast: Array
    saturation: Array
    hue: Array
    order: Array
    offset: float | Array = 0.0


def apply_jitter(image: Array, jitter: Jitter) -> Array:
    """Applies the four operations in the drawn order, clipping to [0, 1] after each.

    Args:
        image: [..., H, W, 3] in [0, 1].
        jitter: scalars.

    Returns:
        [..., H, W, 3] in [0, 1].

    Note:
        The operations are torchvision's and Pillow's. SimCLR's released code has
        TensorFlow's: its contrast scales about each channel's own mean instead of the
        mean luma, and its saturation is that of HSV instead of a blend with the luma.
    """
    form = jitter_in_turn if looped() else jitter_in_rounds
    return form(image, jitter)


def jitter_in_turn(image: Array, jitter: Jitter) -> Array:
    """`apply_jitter` with a branch for each operation; neutral ones are left out."""
    branches = [
        lambda planes, _: planes,
        in_planes(lambda x, factor: color.brightness(x, factor, jitter.offset)),
        in_planes(color.contrast),
        in_planes(color.saturation),
        in_planes(color.hue),
    ]
    amounts = jnp.stack(jitter[:4])
    moved = jnp.stack([jitter.offset, 0.0, 0.0, 0.0])
    idle = (amounts == jnp.array([1.0, 1.0, 1.0, 0.0])) & (moved == 0.0)
    choices = jnp.where(idle, EMPTY, jnp.arange(4)) + 1
    # Sums over tables rather than gathers, [stage, operation].
    row = jnp.arange(len(ORDERS))[:, None] == jitter.order
    order = jnp.sum(jnp.where(row, np.array(ORDERS), 0), axis=0)
    chosen = order[:, None] == jnp.arange(4)

    def stage(planes: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
        choice, amount = step
        return jax.lax.switch(choice, branches, planes, amount), None

    steps = (jnp.sum(chosen * choices, axis=1), jnp.sum(chosen * amounts, axis=1))
    planes = jax.lax.scan(stage, jnp.moveaxis(image, -1, 0), steps)[0]
    return jnp.moveaxis(planes, 0, -1)


def jitter_in_rounds(image: Array, jitter: Jitter) -> Array:
    """`apply_jitter` without branches: `ROUNDS` rounds hold every order."""
    # A sum over the table's rows rather than a gather.
    row = jnp.arange(len(ORDERS))[:, None, None] == jitter.order
    plan = jnp.sum(jnp.where(row, _plan(), 0), axis=0)  # [ROUNDS, 3]
    weights = _blend_weights(plan[:, ::2], jitter)  # 4 of [ROUNDS, 2]
    shifts = jnp.where(plan[:, 1] == HUE, jitter.hue, 0.0)  # [ROUNDS]

    def one_round(image: Array, stages: tuple[tuple[Array, ...], Array]) -> tuple:
        (scale, gray, mean, offset), shift = stages
        image = color.blend(image, scale[0], gray[0], mean[0], offset[0])
        image = color.hue(image, shift)
        return color.blend(image, scale[1], gray[1], mean[1], offset[1]), None

    # A loop and not its unrolling: the carried image is written out once a round, where
    # XLA's fusions would compute the first round again inside of the second.
    return jax.lax.scan(one_round, image, (weights, shifts))[0]


def _blend_weights(
    operation: Array, jitter: Jitter
) -> tuple[Array, Array, Array, Array]:
    """The weights of `color.blend` that do `operation`, or nothing, in its shape."""
    scale = jnp.where(operation == BRIGHTNESS, jitter.brightness, 1.0)
    scale = jnp.where(operation == CONTRAST, jitter.contrast, scale)
    scale = jnp.where(operation == SATURATION, jitter.saturation, scale)
    gray = jnp.where(operation == SATURATION, 1.0 - jitter.saturation, 0.0)
    mean = jnp.where(operation == CONTRAST, 1.0 - jitter.contrast, 0.0)
    offset = jnp.where(operation == BRIGHTNESS, jitter.offset, 0.0)
    return scale, gray, mean, offset


def _plan() -> np.ndarray:
    """[24, ROUNDS, 3] int32: what each stage does in each order, or `EMPTY`."""
    stages = ROUND * ROUNDS
    plan = np.full((len(ORDERS), len(stages)), EMPTY, np.int32)
    for row, order in zip(plan, ORDERS, strict=True):
        stage = 0
        for operation in order:
            stage = stages.index("H" if operation == HUE else "B", stage)
            row[stage] = operation
            stage += 1
    return plan.reshape(len(ORDERS), ROUNDS, len(ROUND))
