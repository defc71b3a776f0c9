"""KoLeo: spreads points by the logarithm of the distance to the nearest other.

Sablayrolles et al. (2019, arXiv:1806.03198), after the estimator of entropy of
Kozachenko and Leonenko; as DINOv2 uses it (Oquab et al., 2023, arXiv:2304.07193).
"""

import jax
import jax.numpy as jnp

from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array
from jax_ssl.ops.normalize import l2_normalize

EPSILON = 1e-8


def koleo(x: Array, *, groups: int = 1) -> Array:
    """-mean log dᵢ, dᵢ the distance from row i to its nearest neighbour.

    Rows are scaled to unit length first, so that it lies above -ln 2, where all nearest
    neighbours are antipodes. The gradient reaches both rows of a pair.

    Args:
        x: [B, D], embeddings of different images.
        groups: neighbours are searched within this many runs of consecutive rows; the
            released code searches within each device's rows.

    Returns:
        [] float32; finite for equal rows too, about 18 - ln(√D) for all of them.

    Raises:
        ValueError: if the groups do not divide the rows, or a group has one row only.
    """
    B, D = x.shape
    if groups < 1 or B % groups or B // groups < 2:
        raise ValueError(
            f"koleo needs two rows or more in each of {groups} groups, and {B} rows "
            "cannot be shared so; choose a divisor of at most half the rows."
        )
    unit = l2_normalize(x.astype(jnp.float32)).reshape(groups, B // groups, D)
    fixed = jax.lax.stop_gradient(unit)
    cosines = einsum("gid,gjd->gij", fixed, fixed)
    others = jnp.where(jnp.eye(B // groups, dtype=bool), -jnp.inf, cosines)
    nearest = jnp.take_along_axis(unit, jnp.argmax(others, -1)[..., None], axis=1)
    # One ε in each component, so that equal rows have a gradient, and one in the log.
    distances = jnp.linalg.norm(unit - nearest + EPSILON, axis=-1)
    return -jnp.log(distances + EPSILON).mean()
