"""Assignments to prototypes, predicted from other crops: SwAV, DeepCluster-v2."""

import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core import checks
from jax_ssl.core.types import Array, Metrics


def crop_cross_entropy(
    scores: Array, targets: Array, *, temperature: float = 0.1
) -> Array:
    """Cross-entropy of every crop with every target, -Σₖ q(k) log softmax(s / τ)(k).

    SwAV (Caron et al., 2020, arXiv:2006.09882), equation 2. DeepCluster-v2 has one
    target for all crops of an image: the mean of its row.

    Args:
        scores: [B, V, K] of V crops and K prototypes.
        targets: [B, T, K] in [0, 1], sums over K being 1; no gradient flows into them.
        temperature: τ, positive.

    Returns:
        [T, V] float32, means over B.

    Raises:
        ValueError: if the arrays differ in B or K, or the temperature is not positive.
    """
    checks.positive(temperature=temperature)
    if scores.shape[::2] != targets.shape[::2]:
        raise ValueError(
            f"scores {scores.shape} and targets {targets.shape} must agree in rows and "
            "prototypes."
        )
    logs = jax.nn.log_softmax(scores.astype(jnp.float32) / temperature)
    targets = lax.stop_gradient(targets).astype(jnp.float32)
    # Sums of products, not a matrix product: its B · K terms would make T · V numbers.
    return -jnp.sum(targets[:, :, None] * logs[:, None], axis=-1).mean(axis=0)


def swapped_prediction(
    scores: Array, codes: Array, *, temperature: float = 0.1
) -> Array:
    """Cross-entropy of each crop with the codes of the others; SwAV, equation 6.

    Args:
        scores: [B, V, K]; the first T of the V crops, 2 or more, are those with codes.
        codes: [B, T, K], as `targets` of `crop_cross_entropy`.
        temperature: τ of equation 2, positive.

    Returns:
        [] float32, the mean over rows and over the T (V - 1) pairs of a code and
        another crop. Equations 1 and 6 add up the pairs; the released code divides.

    Raises:
        ValueError: as `crop_cross_entropy`, or if V < 2 or T > V.
    """
    T, V = codes.shape[1], scores.shape[1]
    if V < 2 or T > V:
        raise ValueError(
            f"{T} codes and {V} crops: each code is predicted from another crop, so "
            "that there must be 2 crops or more, and not fewer than codes."
        )
    pairs = crop_cross_entropy(scores, codes, temperature=temperature)
    return pairs.mean(where=~jnp.eye(T, V, dtype=bool))


def assignment_metrics(codes: Array) -> Metrics:
    """How prototypes are used, what SwAV and its kin are watched by.

    Args:
        codes: [B, T, K], as `targets` of `crop_cross_entropy`.

    Returns:
        "prototype_entropy": of the mean code, in nats; ln K if all are used equally.
        "code_entropy": mean over the codes, in nats; 0 if each is one prototype, ln K
        if nothing is told apart.
        "prototypes_used": share of prototypes, in [0, 1], that are the first choice of
        some code; B · T / K at most.
    """
    codes = lax.stop_gradient(codes)
    first = jnp.zeros(codes.shape[-1]).at[codes.argmax(-1)].set(1.0)
    return {
        "prototype_entropy": _entropy(codes.mean((0, 1))),
        "code_entropy": _entropy(codes).mean(),
        "prototypes_used": first.mean(),
    }


def _entropy(shares: Array) -> Array:
    return jax.scipy.special.entr(shares).sum(-1)
