"""What features are like, without labels: alignment, uniformity, RankMe, directions.

Wang and Isola, 2020, arXiv:2005.10242 (alignment, uniformity); Garrido et al., 2023,
arXiv:2210.02885 (RankMe). The participation ratio is older than both.
"""

import jax
import jax.numpy as jnp

from jax_ssl.core.precise import matmul
from jax_ssl.core.types import Array
from jax_ssl.ops.normalize import l2_normalize


def alignment(a: Array, b: Array, *, alpha: float = 2.0) -> Array:
    """Mean of ‖a - b‖^alpha over pairs of unit vectors, of Wang and Isola.

    Args:
        a: [N, D], scaled to unit length here.
        b: [N, D], another view of each row of `a`.
        alpha: positive exponent.

    Returns:
        [] float32 in [0, 2^alpha]; 0 where the views agree, and where all collapsed.
    """
    difference = l2_normalize(_wide(a)) - l2_normalize(_wide(b))
    squared = jnp.sum(jnp.square(difference), axis=1)
    return jnp.mean(squared ** (alpha / 2))


def uniformity(x: Array, *, t: float = 2.0, block: int = 1024) -> Array:
    """Log of the mean of exp(-t ‖x_i - x_j‖²) over pairs i < j, of the same paper.

    Args:
        x: [N, D], N at least 2, scaled to unit length here.
        t: positive.
        block: rows compared with all at once, so that memory is block x N.

    Returns:
        [] float32, at most 0: 0 where all rows are one; for directions uniform on the
        sphere about -4 + 8/D at t = 2.

    Raises:
        ValueError: if there is no pair.
    """
    count = len(x)
    if count < 2:
        raise ValueError(f"uniformity needs at least 2 rows, got {count}.")
    unit = l2_normalize(_wide(x))
    block = min(block, count)
    starts = jnp.arange(0, count, block)

    def rows_sum(start: Array) -> Array:
        rows = start + jnp.arange(block)
        # Past the end the last row is read again, and counts in no pair.
        mine = unit[jnp.minimum(rows, count - 1)]
        cosine = matmul(mine, unit.T)
        pairs = rows[:, None] < jnp.arange(count)
        kernel = jnp.exp(-t * jnp.maximum(2 - 2 * cosine, 0))
        return jnp.sum(jnp.where(pairs, kernel, 0))

    total = jnp.sum(jax.lax.map(rows_sum, starts))
    return jnp.log(total / (count * (count - 1) / 2))


def rankme(x: Array, *, epsilon: float = 1e-7) -> Array:
    """Exp of the entropy of the singular values, the RankMe of Garrido et al.

    exp(-Σ p log p) with p = σ / Σσ + epsilon.

    Args:
        x: [N, D]; the paper takes 25,600 rows. N < D bounds the answer by N.
        epsilon: keeps the logarithm finite.

    Returns:
        [] float32 from 1 (one direction) to about min(N, D); 1 if all is zero.

    Note:
        The paper does not centre the features, and neither does this.
    """
    values = jnp.linalg.svd(_wide(x), compute_uv=False)
    total = jnp.sum(values)
    first = jnp.zeros_like(values).at[0].set(1)
    p = jnp.where(total > 0, values / jnp.where(total > 0, total, 1), first) + epsilon
    return jnp.exp(-jnp.sum(p * jnp.log(p)))


def participation_ratio(x: Array) -> Array:
    """(Σ λ)² / Σ λ² of the covariance's eigenvalues λ: how many directions share it.

    It counts what varies from row to row, about the mean, where `rankme` counts the
    mean as a direction and is generous with small ones.

    Args:
        x: [N, D], scaled to unit length here.

    Returns:
        [] float32 from 1 (one direction) to min(N - 1, D); 1 if nothing varies.
    """
    unit = l2_normalize(_wide(x))
    centred = unit - jnp.mean(unit, axis=0)
    # Σ λ and Σ λ² are the trace and the squared norm of the Gram matrix [N, N].
    gram = matmul(centred, centred.T)
    gram = gram / jnp.maximum(jnp.trace(gram), jnp.finfo(jnp.float32).tiny)
    squares = jnp.sum(jnp.square(gram))
    return jnp.where(squares > 0, 1 / jnp.where(squares > 0, squares, 1), 1.0)


def _wide(x: Array) -> Array:
    return x.astype(jnp.float32)
