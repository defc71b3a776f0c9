"""Losses of two players: one tells real from made, the other makes.

Scores are summed where there are several of a row, and averaged over the global batch.
"""

from typing import Literal, TypeAlias

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core.types import Array

Adversarial: TypeAlias = Literal["logistic", "hinge"]


def discriminator_loss(
    real: Array, made: Array, objective: Adversarial = "logistic"
) -> Array:
    """What the player that tells them apart minimises, [] float32.

    "logistic": -E log D(real) - E log(1 - D(made)) with D the sigmoid of the score,
    2 ln 2 by chance. "hinge": E max(0, 1 - real) + E max(0, 1 + made), 2 a score.

    Args:
        real: [B, S] scores.
        made: [B, S].
        objective: one of the two.
    """
    form = nn.softplus if objective == "logistic" else lambda s: nn.relu(1 + s)
    return _mean(form(-real)) + _mean(form(made))


def deceiving_loss(scores: Array, objective: Adversarial = "logistic") -> Array:
    """What the player minimises who wants high scores, [] float32.

    "logistic": -E log D, the form with swapped labels, whose gradient does not vanish
    where D is sure; ln 2 by chance. "hinge": -E score. Who wants low scores, such as an
    encoder on real pairs, gives them with the sign turned.

    Args:
        scores: [B, S].
        objective: one of the two.
    """
    return _mean(nn.softplus(-scores) if objective == "logistic" else -scores)


def _mean(values: Array) -> Array:
    return jnp.sum(values, axis=-1).mean()
