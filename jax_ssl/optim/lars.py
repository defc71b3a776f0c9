"""LARS (You et al., 2017, arXiv:1708.03888): a rate for every layer."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from jax_ssl.core import checks
from jax_ssl.core.schedule import at
from jax_ssl.core.types import Array, PyTree
from jax_ssl.optim.rules import BIAS_AND_NORM, Groups, Rates, around, matrices


def lars(
    *,
    learning_rate: optax.Schedule,
    weight_decay: float = 1e-6,
    momentum: float = 0.9,
    trust_coefficient: float = 0.001,
    nesterov: bool = False,
    rate: Literal["inside", "outside"] = "inside",
    denominator: Literal["decayed", "sum"] = "decayed",
    cap: bool = False,
    exclude: tuple[str, ...] | None = BIAS_AND_NORM,
    rates: Rates = (),
    factors: Rates = (),
    groups: Groups = (),
    clip_norm: float | None = None,
    clip_each: float | None = None,
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
        momentum: m, in [0, 1).
        trust_coefficient: η.
        nesterov: step along the gradient and the next velocity.
        rate: where γ enters, "inside" or "outside" the velocity.
        denominator: "decayed" as above, with the norm of the gradient and its decay
            together; "sum" for r = η ‖w‖ / (‖g‖ + λ ‖w‖ + 1e-8) with the g before
            decay, as NVIDIA's LARC, lightly and solo-learn have it.
        cap: r is at most 1 / γ, so that a layer's rate is min(η ‖w‖ / ‖g‖, γ), which
            is also called LARC; "outside" only.
        exclude: patterns of the paths of parameters that get neither weight decay nor
            trust ratio (r = 1). Parameters with fewer than two axes never do, unless
            this is None.
        rates: (pattern, rate) pairs for parameters with a rate of their own.
        factors: (pattern, factor) pairs for parameters whose steps are multiplied.
        groups: (pattern, optimizer) pairs for parameters with one of their own.
        clip_norm: largest global norm of the gradient, or None.
        clip_each: largest norm of the gradient of one array, or None.

    Raises:
        ValueError: for another word than the two, a cap "inside", or m outside of its
            range.

    Note:
        r is 1 where ‖w‖ or ‖g‖ is 0, so that zero-initialised layers can move; with
        the denominator "sum" such layers are not decayed either.
    """
    checks.within("[0, 1)", momentum=momentum)
    checks.one_of(("inside", "outside"), rate=rate)
    checks.one_of(("decayed", "sum"), denominator=denominator)
    if cap and rate == "inside":
        raise ValueError("cap = True needs rate = 'outside'.")
    mask = matrices(exclude)

    def steps(own: optax.Schedule) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(weight_decay, mask)
        trust = optax.scale_by_trust_ratio(trust_coefficient=trust_coefficient)
        if cap or denominator == "sum":
            decay = optax.identity()
            trust = _decay_and_trust(
                weight_decay, trust_coefficient, own if cap else None, denominator
            )
        last = [
            optax.scale_by_learning_rate(own),
            optax.trace(decay=momentum, nesterov=nesterov),
        ]
        return optax.chain(
            decay,
            optax.masked(trust, mask),
            *(last if rate == "inside" else reversed(last)),
        )

    return around(steps, learning_rate, rates, factors, clip_norm, clip_each, groups)


def _decay_and_trust(
    weight_decay: float,
    trust_coefficient: float,
    cap: optax.Schedule | None,
    denominator: Literal["decayed", "sum"],
) -> optax.GradientTransformation:
    """Adds the decay to the gradient of each array, and multiplies by its ratio r.

    Args:
        weight_decay: λ.
        trust_coefficient: η.
        cap: the rate γ, where r is at most 1 / γ.
        denominator: see `lars`.
    """

    def update(
        updates: PyTree, state: optax.ScaleByScheduleState, params: PyTree
    ) -> tuple[PyTree, optax.ScaleByScheduleState]:
        now = 1.0 if cap is None else at(cap, state.count)

        def scaled(g: Array, w: Array) -> Array:
            decayed = g + weight_decay * w
            # The gradient itself tells whether it is 0: what is left of a decay that
            # was added and taken away again would be a rounding error.
            raw = g if denominator == "sum" else decayed
            ours, theirs = jnp.linalg.norm(w.ravel()), jnp.linalg.norm(raw.ravel())
            zero = (ours == 0) | (theirs == 0)
            below = theirs
            if denominator == "sum":
                below = theirs + weight_decay * ours + 1e-8
            # The rate is 0 at the first step of a warm-up, and the ratio then 1.
            ratio = trust_coefficient * ours / jnp.where(zero, 1.0, now * below)
            if cap is not None:
                ratio = jnp.minimum(ratio, 1.0)
            return jnp.where(zero, raw, decayed * ratio.astype(g.dtype))

        updates = jax.tree.map(scaled, updates, params)
        return updates, optax.ScaleByScheduleState(state.count + 1)

    counter = optax.scale_by_schedule(lambda count: count)
    return optax.GradientTransformation(counter.init, update)
