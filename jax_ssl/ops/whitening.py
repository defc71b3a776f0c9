"""Whitening: rows whose covariance is the identity."""

import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.precise import einsum, matmul
from jax_ssl.core.types import Array


def whiten(x: Array, *, shrinkage: float = 0.0) -> Array:
    """Centres rows and makes their covariance the identity.

    W-MSE (Ermolov et al., 2021, arXiv:2007.06346): W (x - μ) with Wᵀ W the
    inverse of the covariance Σ (divisor n - 1). W is the inverse of Σ's lower Cholesky
    factor, which is lower triangular.

    Args:
        x: [..., n, D], each [n, D] whitened by itself; n must be well above D.
        shrinkage: share ε of the identity in (1 - ε) Σ + ε I, in [0, 1).

    Returns:
        [..., n, D] float32.

    Raises:
        ValueError: if n ≤ D without shrinkage, or for another shrinkage.
    """
    n, D = x.shape[-2:]
    checks.within("[0, 1)", shrinkage=shrinkage)
    if n <= D and shrinkage == 0:
        raise ValueError(
            f"{n} rows cannot be whitened in {D} dimensions: their covariance has no "
            f"inverse; use at least {2 * D} rows, or shrinkage above 0."
        )
    x = x.astype(jnp.float32)
    centred = x - x.mean(-2, keepdims=True)
    covariance = einsum("...nd,...ne->...de", centred, centred)
    covariance = (1 - shrinkage) * covariance / (n - 1) + shrinkage * jnp.eye(D)
    lower = jnp.linalg.cholesky(covariance)
    # Solves lower · wᵀ = centredᵀ; the inverse itself is never needed.
    return jax.lax.linalg.triangular_solve(
        lower, centred, left_side=False, lower=True, transpose_a=True
    )


def pca_whiten(
    x: Array, dim: int, *, num_rows: int | None = None, tolerance: float = 1e-6
) -> Array:
    """Principal components of unit variance, (x - μ) V Λ^-1/2.

    V Λ Vᵀ is the covariance (divisor n) with the eigenvalues falling, cut to `dim`
    columns. Rows may be sharded over a mesh; only their moments travel.

    Args:
        x: [N, D].
        dim: components to keep; all D where there are no more.
        num_rows: n, rows that count, the first; the others are mapped too, and move
            nothing. All N unless given.
        tolerance: directions whose variance is less than this share of the largest
            become zero, for there rounding is all there is.

    Returns:
        [N, min(dim, D)] float32; the sign of each column is arbitrary.

    Raises:
        ValueError: if there are not 2 rows that count, or dim < 1.
    """
    count = len(x) if num_rows is None else num_rows
    if not 2 <= count <= len(x) or dim < 1:
        raise ValueError(
            f"{count} rows of {len(x)} in {dim} principal components; there must be at "
            "least 2 rows and 1 component."
        )
    x = x.astype(jnp.float32)
    real = (jnp.arange(len(x)) < count)[:, None]
    centred = x - jnp.sum(jnp.where(real, x, 0.0), axis=0) / count
    known = jnp.where(real, centred, 0.0)
    covariance = einsum("nd,ne->de", known, known) / count
    values, vectors = jnp.linalg.eigh(covariance)  # Rising.
    values, vectors = values[::-1][:dim], vectors[:, ::-1][:, :dim]
    loud = values > tolerance * values[0]
    scale = jnp.where(loud, jax.lax.rsqrt(jnp.where(loud, values, 1.0)), 0.0)
    return matmul(centred, vectors * scale)
