"""LARS (You et al., 2017, arXiv:1708.03888): a rate for every layer."""

from typing import Literal

import optax

from jax_ssl.optim.rules import BIAS_AND_NORM, clipped, matrices


def lars(
    *,
    learning_rate: optax.Schedule,
    weight_decay: float = 1e-6,
    momentum: float = 0.9,
    trust_coefficient: float = 0.001,
    nesterov: bool = False,
    rate: Literal["inside", "outside"] = "inside",
    exclude: tuple[str, ...] = BIAS_AND_NORM,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Builds LARS; defaults as in SimCLR (arXiv:2002.05709, section 2.3).

    With g ← g + λ w and the trust ratio r = η ‖w‖ / ‖g‖, the two published forms are

        inside:   v ← m v + γ r g    w ← w - v      (SimCLR)
        outside:  v ← m v + r g      w ← w - γ v    (BYOL, MoCo v3, Barlow Twins,
                                                     VICReg)

    They agree while the learning rate γ is constant, and only then.

    Args:
        learning_rate: γ.
        weight_decay: λ.
        momentum: m.
        trust_coefficient: η.
        nesterov: step along the gradient and the next velocity.
        rate: where γ enters, "inside" or "outside" the velocity.
        exclude: patterns of the paths of parameters that get neither weight decay nor
            trust ratio (r = 1). Parameters with fewer than two axes never do.
        clip_norm: largest global norm of the gradient, or None.

    Raises:
        ValueError: for another word than the two.

    Note:
        r is 1 where ‖w‖ or ‖g‖ is 0, so that zero-initialised layers can move.
    """
    if rate not in ("inside", "outside"):
        raise ValueError(f"rate = {rate!r} is not 'inside' or 'outside'.")
    mask = matrices(exclude)
    if rate == "inside":
        steps = optax.lars(
            learning_rate,
            weight_decay=weight_decay,
            weight_decay_mask=mask,
            trust_coefficient=trust_coefficient,
            trust_ratio_mask=mask,
            momentum=momentum,
            nesterov=nesterov,
        )
    else:
        steps = optax.chain(
            optax.add_decayed_weights(weight_decay, mask),
            optax.masked(
                optax.scale_by_trust_ratio(trust_coefficient=trust_coefficient), mask
            ),
            optax.trace(decay=momentum, nesterov=nesterov),
            optax.scale_by_learning_rate(learning_rate),
        )
    return clipped(steps, clip_norm)
