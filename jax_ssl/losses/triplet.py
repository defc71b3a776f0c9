"""The triplet loss: a positive closer than the negatives, by a margin."""

from typing import Literal, TypeAlias

import chex
import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core import checks
from jax_ssl.core.types import Array
from jax_ssl.losses.contrastive import differences, is_lead
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.rows import mean_over_rows

# Which negatives an anchor is compared with.
Mining: TypeAlias = Literal["all", "semi-hard"]


def triplet(
    z: Array, *, margin: float, mining: Mining = "semi-hard"
) -> tuple[Array, dict[str, Array]]:
    """Triplet loss between two views over the global batch.

    FaceNet, equation 3: max(0, ‖a - p‖² - ‖a - n‖² + α) of unit vectors; every row is
    an anchor a, the other view of its image the positive p, and all views of all other
    images the negatives n.

    Args:
        z: [B, 2, D] projections, B > 1, rows of the batch sharded over the mesh; z[i]
            come from one image. Of any length.
        margin: α, positive, in squared distance: at most 4 between unit vectors.
        mining: "all": the mean over all negatives. "semi-hard" (section 3.2): of those
            farther away than the positive the closest, and where there is none the
            farthest of all.

    Returns:
        [] float32, the mean over all triplets, inactive ones included; α where all
        rows agree. {"active_fraction", "contrastive_accuracy"}: the share of triplets
        whose loss is above 0, and of anchors whose positive is closer than every
        negative.

    Raises:
        AssertionError: if z is not [B, 2, D].
        ValueError: if there is one image, the margin is not positive or the mining
            unknown.

    Note:
        With similarities s = 1 - d / 2 this is twice max(0, s(a, n) - s(a, p) + α / 2).
        FaceNet takes only negatives inside of the margin as semi-hard; those beyond it
        have no loss anyway. Anchors that have no such negative would fall silent just
        where the network errs most, hence the farthest.
    """
    chex.assert_shape(z, (None, 2, None))
    checks.several_rows(len(z), "triplet")
    check_triplet(margin, mining)
    unit = l2_normalize(z.astype(jnp.float32), epsilon=0)

    def row_loss(mine: Array, everyone: Array, start: Array) -> dict[str, Array]:
        difference, negative = differences(mine, everyone, start)
        nearer = 2 * difference  # ‖a - p‖² - ‖a - n‖²
        if mining == "semi-hard":
            farther = jnp.where(negative & (nearer < 0), nearer, -jnp.inf).max(1)
            farthest = jnp.where(negative, nearer, jnp.inf).min(1)
            chosen = jnp.where(farther > -jnp.inf, farther, farthest)
            losses = jax.nn.relu(chosen + margin)[:, None]
            counts = jnp.ones_like(losses)
        else:
            losses = jnp.where(negative, jax.nn.relu(nearer + margin), 0)
            counts = jnp.broadcast_to(negative, losses.shape)
        total = counts.sum(1)
        hardest = jnp.where(negative, nearer, -jnp.inf).max(1)
        of_anchors = {
            "loss": losses.sum(1) / total,
            "active_fraction": (losses > 0).sum(1) / total,
            "contrastive_accuracy": is_lead(hardest / 2),
        }
        return jax.tree.map(lambda x: x.reshape(-1, 2).mean(1), of_anchors)

    terms = mean_over_rows(row_loss, unit)
    return terms.pop("loss"), lax.stop_gradient(terms)


def check_triplet(margin: float, mining: str) -> None:
    """Refuses settings of the loss.

    Raises:
        ValueError: naming the setting and its value.
    """
    checks.positive(margin=margin)
    checks.one_of(("all", "semi-hard"), mining=mining)
