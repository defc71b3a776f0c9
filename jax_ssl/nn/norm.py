"""Batch normalisation whose scope is a number of groups of the global batch."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core import checks
from jax_ssl.core.types import Array, PyTree
from jax_ssl.parallel.chunks import chunk_count, parts_of_rows

# Collection in which a chunk's norms leave their moments for `after_chunks`.
MOMENTS = "moments"


class Scaled(nn.Module, kw_only=True):
    """What batch norm and group norm do alike, once the rows are normalised.

    Attributes:
        epsilon: added to the variance.
        use_scale: multiply by a learned scale (γ).
        use_bias: add a learned offset (β).
        scale_init: first value of the scale; zeros for a residual block's last norm.
        dtype: of the output. Statistics and the normalisation are float32.
    """

    epsilon: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    dtype: Any = jnp.float32

    def scaled(self, y: Array) -> Array:
        """The normalised y [..., C], scaled and moved, in the output's dtype."""
        scale, bias = self.affine(y.shape[-1])
        return (y * scale + bias).astype(self.dtype)

    def affine(self, width: int) -> tuple[Array, Array]:
        """Scale and offset [C], learned or 1 and 0."""
        scale, bias = jnp.ones(width), jnp.zeros(width)
        if self.use_scale:
            scale = self.param("scale", self.scale_init, (width,))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (width,))
        return scale, bias


class BatchNorm(Scaled):
    """Batch normalisation (Ioffe & Szegedy, 2015, arXiv:1502.03167, algorithm 1).

    The GLOBAL batch is cut into `groups` runs of consecutive rows, each normalised by
    its own mean and (biased) variance. One group is synchronised batch norm; a paper's
    "batch norm per GPU of 32 images" is `groups = batch_size // 32`. The result is a
    function of the global batch alone; where the number of groups is a multiple of the
    number of devices, no communication happens.

    Attributes:
        groups: runs of consecutive rows; divides the rows of the input.
        momentum: weight of the OLD running value (torch's `momentum` is 1 - this).

    Note:
        Running statistics are those of the whole batch, whatever the groups: the mean
        of means, and the mean of variances plus the variance of means. The running
        variance is the biased one, as in TensorFlow and Flax; torch stores the unbiased
        one, which differs by n / (n - 1).
    """

    groups: int = 1
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Normalises x [B, ..., C] over all axes but the last.

        Raises:
            ValueError: if `train` and `groups` does not divide B.
        """
        width = x.shape[-1]
        mean_stat = self.variable("batch_stats", "mean", jnp.zeros, (width,))
        var_stat = self.variable("batch_stats", "var", jnp.ones, (width,))
        if not train:
            mean, var = mean_stat.value, var_stat.value
            y = (x.astype(jnp.float32) - mean) * lax.rsqrt(var + self.epsilon)
            y = self.scaled(y)
        else:
            groups = self._groups(x.shape[0])
            grouped = x.reshape(groups, x.shape[0] // groups, -1, width)
            if not self.is_initializing():
                each = grouped.shape[1] * grouped.shape[2]
                checks.several_rows(each, f"batch norm in {self.groups} group(s)")
            y, means, variances = normalized(grouped, *self.affine(width), self.epsilon)
            y = y.reshape(x.shape).astype(self.dtype)
            moments = {
                "means": means,
                "variances": variances,
                "momentum": jnp.full((1,), self.momentum),
            }
            if parts_of_rows() > 1:
                self.put_variable(MOMENTS, "groups", moments)
            elif not self.is_initializing():
                stats = {"mean": mean_stat.value, "var": var_stat.value}
                moved = _moved(stats, moments)
                mean_stat.value, var_stat.value = moved["mean"], moved["var"]
        return y

    def _groups(self, rows: int) -> int:
        """Groups among the rows at hand, which are all or one of several parts.

        Raises:
            ValueError: if the groups do not lie whole inside the parts.
        """
        parts = parts_of_rows()
        if self.groups % parts:
            chunks = chunk_count()
            shards = parts // chunks
            fits = [n for n in range(1, chunks) if self.groups % (n * shards) == 0]
            remedy = f"or run.chunks = {fits[-1]}" if fits else "or run.chunks = 1"
            raise ValueError(
                f"run.chunks = {chunks} on {shards} devices cuts through the "
                f"{self.groups} groups of batch norm; set encoder.groups to a multiple "
                f"of {parts}, {remedy}."
            )
        groups = self.groups // parts
        if rows % groups:
            raise ValueError(
                f"batch norm in groups = {self.groups} groups cannot share "
                f"{rows * parts} rows equally; choose a divisor of {rows * parts}."
            )
        return groups


def normalized(
    x: Array, scale: Array, bias: Array, epsilon: float
) -> tuple[Array, Array, Array]:
    """Batch norm of every group, and its moments, which have no gradient.

    The backward pass is the closed form (Ioffe & Szegedy, 2015), which sums
    over the rows twice, where the derivative of the forward pass sums three times.

    Args:
        x: [G, b, n, C].
        scale: [C], γ.
        bias: [C], β.
        epsilon: added to the variance.

    Returns:
        [G, b, n, C] float32, means [G, C] and biased variances [G, C].
    """
    # A closed form would have to sum the gradient of γ and β over the shards itself.
    manual = jax.sharding.get_abstract_mesh().manual_axes
    form = _with_moments if manual else _closed
    y, *moments = form(x, scale, bias, epsilon)
    means, variances = map(lax.stop_gradient, moments)
    return y, means, variances


def _with_moments(
    x: Array, scale: Array, bias: Array, epsilon: float
) -> tuple[Array, Array, Array]:
    x = x.astype(jnp.float32)
    means = _sum(x) / _cells(x)
    centred = x - means[:, None, None]
    # Two passes: E[x^2] - E[x]^2 loses all digits when |mean| >> std.
    variances = _sum(jnp.square(centred)) / _cells(x)
    factor = (scale * lax.rsqrt(variances + epsilon))[:, None, None]
    return centred * factor + bias, means, variances


_closed = jax.custom_vjp(_with_moments, nondiff_argnums=(3,))


def _forward(
    x: Array, scale: Array, bias: Array, epsilon: float
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    found = _with_moments(x, scale, bias, epsilon)
    return found, (x, scale, *found[1:])


def _backward(
    epsilon: float, saved: tuple[Array, ...], gradients: tuple[Array, ...]
) -> tuple[Array, Array, Array]:
    x, scale, means, variances = saved
    gradient = gradients[0]
    inverse = lax.rsqrt(variances + epsilon)
    y = (x.astype(jnp.float32) - means[:, None, None]) * inverse[:, None, None]
    total, along = _sum(gradient), _sum(gradient * y)  # [G, C]
    mean, slope = (a[:, None, None] / _cells(x) for a in (total, along))
    to_x = (scale * inverse)[:, None, None] * (gradient - mean - y * slope)
    return to_x.astype(x.dtype), along.sum(0), total.sum(0)


_closed.defvjp(_forward, _backward)


def _cells(x: Array) -> int:
    return x.shape[1] * x.shape[2]


def _sum(x: Array) -> Array:
    """Sums x [G, b, n, C] over b and n.

    XLA:CPU sums along one axis three times as fast as along two. Elsewhere the axes
    stay apart: to join them may move a batch whose rows do not lie one by one.
    """
    G, _, _, C = x.shape
    return lax.platform_dependent(
        x, cpu=lambda x: x.reshape(G, -1, C).sum(1), default=lambda x: x.sum((1, 2))
    )


def after_chunks(stats: PyTree, moments: PyTree) -> PyTree:
    """Running statistics after all chunks, as if the batch had been seen at once.

    Args:
        stats: the "batch_stats" collection before.
        moments: the MOMENTS collection, the groups of all chunks along axis 0.
    """
    if "groups" in moments:
        return _moved(stats, moments["groups"])
    return {
        name: after_chunks(tree, moments[name]) if name in moments else tree
        for name, tree in stats.items()
    }


def _moved(stats: PyTree, moments: PyTree) -> PyTree:
    """The running mean and variance of one norm, moved towards those of its groups."""
    means, variances = moments["means"], moments["variances"]  # [G, C]
    keep = moments["momentum"][0]
    mean = means.mean(0)
    var = variances.mean(0) + jnp.square(means - mean).mean(0)
    return {
        "mean": keep * stats["mean"] + (1 - keep) * mean,
        "var": keep * stats["var"] + (1 - keep) * var,
    }


def norm_groups(encoder: nn.Module) -> int:
    """Number of batch-norm groups of `encoder`; 1 where it has no batch norm."""
    return getattr(encoder, "groups", 1)
