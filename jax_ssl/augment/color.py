"""Random colour jitter, grayscale and solarisation of one RGB image in [0, 1]."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array
from jax_ssl.ops import color

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
BRIGHTNESS_FORMS = ("multiplicative", "additive")

# The 24 orders of the four operations, first to last.
ORDERS = tuple(itertools.permutations((BRIGHTNESS, CONTRAST, SATURATION, HUE)))

# Stages that every order fits into, B for a blend and H for a turn of the hue. The hue
# comes first, second, third or fourth among three blends, and "BHBBHB" holds "HBBB",
# "BHBB", "BBHB" and "BBBH" as subsequences; a stage that an order leaves out does
# nothing. It is the cheapest form without a branch: four stages that each could be
# anything would turn the hue four times.
STAGES = "BHBBHB"
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
    if brightness not in BRIGHTNESS_FORMS:
        raise ValueError(f"brightness = {brightness!r} is not in {BRIGHTNESS_FORMS}.")
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
        Brightness, contrast and saturation are torchvision's and Pillow's. TensorFlow's
        contrast, in SimCLR's released code, turns about each channel's own mean rather
        than the mean luma, and its saturation works in HSV; paper and code differ from
        each other in the same way (the appendix also gives the torchvision form).
    """
    # A sum over the table's rows rather than a gather.
    row = jnp.arange(len(ORDERS))[:, None] == jitter.order
    plan = jnp.sum(jnp.where(row, _plan(), 0), axis=0)  # [6]
    for stage, operation in zip(STAGES, plan, strict=True):
        if stage == "H":
            image = color.hue(image, jnp.where(operation == HUE, jitter.hue, 0.0))
        else:
            image = color.blend(image, *_weights(operation, jitter, brightness))
    return image


def _weights(
    operation: Array, jitter: Jitter, brightness: str
) -> tuple[Array, Array, Array, Array]:
    """The arguments of `color.blend` that do `operation`, or nothing."""
    # (pixel, its luma, mean luma, offset)
    additive = brightness == "additive"
    scale = jnp.where(operation == CONTRAST, jitter.contrast, 1.0)
    scale = jnp.where(operation == SATURATION, jitter.saturation, scale)
    gray = jnp.where(operation == SATURATION, 1.0 - jitter.saturation, 0.0)
    mean = jnp.where(operation == CONTRAST, 1.0 - jitter.contrast, 0.0)
    if additive:
        offset = jnp.where(operation == BRIGHTNESS, jitter.brightness, 0.0)
    else:
        scale = jnp.where(operation == BRIGHTNESS, jitter.brightness, scale)
        offset = jnp.zeros(())
    return scale, gray, mean, offset


def _plan() -> np.ndarray:
    """[24, 6] int32: which operation each stage performs in each order, or `EMPTY`."""
    plan = np.full((len(ORDERS), len(STAGES)), EMPTY, np.int32)
    for row, order in zip(plan, ORDERS, strict=True):
        stage = 0
        for operation in order:
            stage = STAGES.index("H" if operation == HUE else "B", stage)
            row[stage] = operation
            stage += 1
    return plan


def random_grayscale(key: Array, image: Array, *, probability: float = 0.2) -> Array:
    """Replaces [H, W, 3] by its luma with the given probability."""
    grey = jax.random.bernoulli(key, probability)
    return jnp.where(grey, color.grayscale(image), image)


def random_solarize(
    key: Array, image: Array, *, probability: float = 0.2, threshold: float = 0.5
) -> Array:
    """Inverts the bright values of an image with the given probability.

    BYOL (arXiv 2006.07733), appendix B: threshold 0.5, probability 0 in the first view
    and 0.2 in the second.
    """
    inverted = jax.random.bernoulli(key, probability)
    return jnp.where(inverted, color.solarize(image, threshold), image)
