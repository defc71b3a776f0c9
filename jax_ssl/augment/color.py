"""Random colour jitter, grayscale and solarisation of one RGB image in [0, 1]."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.ops import color
from jax_ssl.ops.platforms import apply_if, in_planes, looped

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
BRIGHTNESS_FORMS = ("multiplicative", "additive")

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
        brightness: [] factor, or [] offset in the additive form.
        contrast: [] factor.
        saturation: [] factor.
        hue: [] shift in turns.
        order: [] int32, a position in `ORDERS`.
    """

    brightness: Array
    contrast: Array
    saturation: Array
    hue: Array
    order: Array


def random_jitter(
    key: Array,
    *,
    amounts: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2),
    probability: float = 0.8,
    brightness: str = "multiplicative",
) -> Jitter:
    """Draws the parameters of a colour jitter.

    Factors are uniform in [max(0, 1 - a), 1 + a], an additive brightness in [-a, a],
    the hue shift in [-a, a], and the order among all 24. Otherwise, with
    1 - `probability`, all four are those of the identity.

    Args:
        key: PRNG key.
        amounts: a for brightness, contrast, saturation and hue.
        probability: that anything changes.
        brightness: "multiplicative" or "additive".

    Returns:
        Scalars; see `Jitter`.

    Raises:
        ValueError: if `brightness` is neither of the two words.
    """
    checks.one_of(BRIGHTNESS_FORMS, brightness=brightness)
    identity = np.array([1.0, 1.0, 1.0, 0.0], np.float32)
    low = np.array([*(max(0.0, 1.0 - a) for a in amounts[:3]), -amounts[HUE]])
    high = np.array([*(1.0 + a for a in amounts[:3]), amounts[HUE]])
    if brightness == "additive":
        identity[0], low[0], high[0] = 0.0, -amounts[0], amounts[0]
    uniform = jax.random.uniform(key, (6,))
    drawn = jnp.float32(low) + jnp.float32(high - low) * uniform[:4]
    drawn = jnp.where(uniform[4] < probability, drawn, identity)
    order = jnp.floor(uniform[5] * len(ORDERS)).astype(jnp.int32)
    order = jnp.minimum(order, len(ORDERS) - 1)
    return Jitter(drawn[0], drawn[1], drawn[2], drawn[3], order)


def apply_jitter(
    image: Array, jitter: Jitter, *, brightness: str = "multiplicative"
) -> Array:
    """Applies the four operations in the drawn order, clipping to [0, 1] after each.

    Args:
        image: [H, W, 3] in [0, 1].
        jitter: scalars.
        brightness: "multiplicative" or "additive", the form it was drawn for.

    Returns:
        [H, W, 3] in [0, 1].

    Note:
        The operations are torchvision's and Pillow's. SimCLR's released code has
        TensorFlow's: its contrast scales about each channel's own mean instead of the
        mean luma, and its saturation is that of HSV instead of a blend with the luma.
    """
    form = jitter_in_turn if looped() else jitter_in_rounds
    return form(image, jitter, brightness=brightness)


def jitter_in_turn(image: Array, jitter: Jitter, *, brightness: str) -> Array:
    """`apply_jitter` with a branch for each operation; neutral ones are left out."""
    additive = brightness == "additive"
    neutral = [0.0 if additive else 1.0, 1.0, 1.0, 0.0]
    operations = (
        lambda x, _: x,
        color.brightness_offset if additive else color.brightness,
        color.contrast,
        color.saturation,
        color.hue,
    )
    amounts = jnp.stack(jitter[:4])
    choices = jnp.where(amounts == jnp.array(neutral), EMPTY, jnp.arange(4)) + 1
    # Sums over tables rather than gathers, [stage, operation].
    row = jnp.arange(len(ORDERS))[:, None] == jitter.order
    order = jnp.sum(jnp.where(row, np.array(ORDERS), 0), axis=0)
    chosen = order[:, None] == jnp.arange(4)

    def stage(planes: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
        choice, amount = step
        branches = [_on_planes(operation) for operation in operations]
        return jax.lax.switch(choice, branches, planes, amount), None

    steps = (jnp.sum(chosen * choices, axis=1), jnp.sum(chosen * amounts, axis=1))
    planes = jax.lax.scan(stage, jnp.moveaxis(image, -1, 0), steps)[0]
    return jnp.moveaxis(planes, 0, -1)


def _on_planes(operation: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    return lambda planes, amount: in_planes(lambda x: operation(x, amount))(planes)


def jitter_in_rounds(image: Array, jitter: Jitter, *, brightness: str) -> Array:
    """`apply_jitter` without branches: `ROUNDS` rounds hold every order."""
    # A sum over the table's rows rather than a gather.
    row = jnp.arange(len(ORDERS))[:, None, None] == jitter.order
    plan = jnp.sum(jnp.where(row, _plan(), 0), axis=0)  # [ROUNDS, 3]
    weights = _blend_weights(plan[:, ::2], jitter, brightness)  # 4 of [ROUNDS, 2]
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
    operation: Array, jitter: Jitter, brightness: str
) -> tuple[Array, Array, Array, Array]:
    """The weights of `color.blend` that do `operation`, or nothing, in its shape."""
    scale = jnp.where(operation == CONTRAST, jitter.contrast, 1.0)
    scale = jnp.where(operation == SATURATION, jitter.saturation, scale)
    gray = jnp.where(operation == SATURATION, 1.0 - jitter.saturation, 0.0)
    mean = jnp.where(operation == CONTRAST, 1.0 - jitter.contrast, 0.0)
    if brightness == "additive":
        offset = jnp.where(operation == BRIGHTNESS, jitter.brightness, 0.0)
    else:
        scale = jnp.where(operation == BRIGHTNESS, jitter.brightness, scale)
        offset = jnp.zeros_like(scale)
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


def random_grayscale(key: Array, image: Array, *, probability: float = 0.2) -> Array:
    """Replaces [H, W, 3] by its luma with the given probability."""
    grey = jax.random.bernoulli(key, probability)
    return apply_if(grey, color.grayscale, image)


def random_solarize(
    key: Array, image: Array, *, probability: float = 0.2, threshold: float = 0.5
) -> Array:
    """Inverts the bright values of an image with the given probability.

    BYOL (arXiv 2006.07733), appendix B: threshold 0.5, probability 0 in the first view
    and 0.2 in the second.
    """
    inverted = jax.random.bernoulli(key, probability)
    return apply_if(inverted, lambda x: color.solarize(x, threshold), image)
