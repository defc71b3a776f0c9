"""Rows of unit length, and rows of zero mean and unit variance."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from jax_ssl.core.types import Array


def _widened(x: Array) -> tuple[Array, jnp.dtype]:
    """`x` in float32 or wider, and the dtype in which the result leaves."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    leaves_as = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else wide.dtype
    return wide, leaves_as


def l2_normalize(
    x: Array, axis: int | Sequence[int] = -1, epsilon: float = 1e-12
) -> Array:
    """Scales vectors to unit Euclidean length, x / max(‖x‖, epsilon).

    Vectors are divided by the size of their largest entry before they are squared, so
    entries from 1e-37 to 3e38 neither overflow nor underflow. Sums are float32 (or
    wider).

    Args:
        x: [..., D].
        axis: the axis, or axes, of one vector.
        epsilon: shortest length that is scaled to one, at least 0. With 0 every vector
            but zero itself leaves with unit length.

    Returns:
        Array like `x` (float32 for integers). Zero vectors stay zero, and their
        gradient is zero.
    """
    wide, dtype = _widened(x)
    kind = jnp.finfo(wide.dtype)
    # Constant in the gradient: the ratio below does not depend on it. Short of the
    # largest float, because XLA divides by multiplying with the reciprocal.
    largest = lax.stop_gradient(jnp.max(jnp.abs(wide), axis=axis, keepdims=True))
    largest = jnp.clip(largest, kind.tiny, kind.max / 64)
    # A power of two, so that scaling by it rounds nothing.
    power = lax.reduce_precision(largest, kind.nexp, 0)
    scaled = wide / power
    squares = jnp.sum(jnp.square(scaled), axis=axis, keepdims=True)
    is_zero = squares == 0
    # The inner `where` keeps the derivative of sqrt away from zero.
    length = jnp.sqrt(jnp.where(is_zero, 1, squares))
    unit = jnp.where(is_zero, 0, scaled / jnp.maximum(length, epsilon / power))
    return unit.astype(dtype)


def standardize(
    x: Array, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, ddof: int = 1
) -> Array:
    """Shifts and scales vectors to zero mean and unit variance.

    (x - mean) / sqrt(variance + epsilon), the per-patch target of the masked
    autoencoder (He et al., 2022, arXiv:2111.06377, section 3).

    Args:
        x: [..., D].
        axis: the axis, or axes, of one vector.
        epsilon: added to the variance; positive.
        ddof: the variance divides by n - ddof.

    Returns:
        Array like `x` (float32 for integers); constant vectors become zero.

    Raises:
        ValueError: if a vector has no more than `ddof` entries.

    Note:
        The default is the unbiased variance, as in the published masked autoencoder
        code; batch norm and the paper's prose would suggest the biased one (`ddof=0`).
    """
    wide, dtype = _widened(x)
    mean = jnp.mean(wide, axis=axis, keepdims=True)
    entries = wide.size // mean.size if mean.size else 0
    if entries <= ddof:
        raise ValueError(
            f"standardize needs more than ddof = {ddof} entries per vector, got "
            f"{entries} (shape {x.shape}, axis {axis}); use ddof=0 or longer vectors."
        )
    centred = wide - mean
    # Two passes: E[x^2] - E[x]^2 loses all digits when |mean| >> std.
    variance = jnp.sum(jnp.square(centred), axis=axis, keepdims=True) / (entries - ddof)
    return (centred * lax.rsqrt(variance + epsilon)).astype(dtype)
