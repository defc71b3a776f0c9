"""Sinkhorn-Knopp: soft assignments that use every prototype equally."""

import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array


def sinkhorn(
    scores: Array,
    *,
    epsilon: float | Array = 0.05,
    iterations: int = 3,
    rows: Array | None = None,
) -> Array:
    """Assigns rows to prototypes so that all prototypes receive equally much.

    SwAV (Caron et al., 2020, arXiv:2006.09882), equations 3 to 5: Q = Diag(u)
    exp(S / ε) Diag(v) with prototype sums B / K and row sums 1, found by dividing in
    turn. Computed on logarithms, so that no ε overflows; over the global batch, its
    sums crossing the devices.

    Args:
        scores: [B, K] of B rows (queue included) and K prototypes.
        epsilon: ε, positive; the smaller, the harder the assignment.
        iterations: at least 1; each ends with the rows, so that a row's assignment sums
            to 1 exactly and a prototype's to B / K nearly.
        rows: [B] bool, rows that count; the others are assigned as they would be, and
            leave no trace. All count if None.

    Returns:
        [B, K] float32 in [0, 1]; no gradient flows through it.

    Raises:
        ValueError: if epsilon or iterations are out of range.
    """
    checks.positive(epsilon=epsilon)
    checks.at_least(1, iterations=iterations)
    checks.several_rows(len(scores), "sinkhorn")
    logs = jax.lax.stop_gradient(scores).astype(jnp.float32) / epsilon
    where = None if rows is None else rows[:, None]

    def divided(_: int, logs: Array) -> Array:
        # A prototype's share B / K is a constant that the rows' division takes out.
        logs = logs - jax.nn.logsumexp(logs, axis=0, keepdims=True, where=where)
        return logs - jax.nn.logsumexp(logs, axis=1, keepdims=True)

    # A loop: unrolled, a hundred iterations take minutes to compile.
    return jnp.exp(jax.lax.fori_loop(0, iterations, divided, logs))
