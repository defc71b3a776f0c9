"""SGD, Adam and AdamW as factories whose signatures are their config sections.

Weight decay leaves out biases, norms and everything with fewer than two axes, unless
`exclude` says otherwise. `rates` gives some parameters a learning rate of their own, or
None to freeze them: (("^predictor/", 0.1), ("patch_embed/", None)). `factors` multiply
the steps of some, by a number or along a schedule: (("patch_embed/", 0.2), ("^head/",
dict(name="after", epochs=1))). `groups` give some an optimizer of their own, such as
a second player's: (("^discriminator/", dict(name="adam", learning_rate=2e-4)),).
"""

import optax

from jax_ssl.core import checks
from jax_ssl.optim.layer_decay import with_layer_decay
from jax_ssl.optim.rules import BIAS_AND_NORM, Groups, Rates, around, matrices


def sgd(
    *,
    learning_rate: optax.Schedule,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    exclude: tuple[str, ...] | None = BIAS_AND_NORM,
    rates: Rates = (),
    factors: Rates = (),
    groups: Groups = (),
    clip_norm: float | None = None,
    clip_each: float | None = None,
) -> optax.GradientTransformation:
    """Builds stochastic gradient descent, v ← m v + g + λ w, w ← w - γ v.

    Args:
        learning_rate: γ.
        momentum: m, in [0, 1); 0 keeps no velocity.
        nesterov: step along the gradient and the next velocity.
        weight_decay: λ, added to the gradient.
        exclude: patterns of the paths of parameters without weight decay; None for the
            habit of older papers, which decay everything.
        rates: (pattern, rate) pairs for parameters with a rate of their own.
        factors: (pattern, factor) pairs for parameters whose steps are multiplied.
        groups: (pattern, optimizer) pairs for parameters with one of their own.
        clip_norm: largest global norm of the gradient, or None.
        clip_each: largest norm of the gradient of one array, or None.

    Raises:
        ValueError: if m is outside of its range.
    """
    checks.within("[0, 1)", momentum=momentum)

    def steps(rate: optax.Schedule) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(weight_decay, matrices(exclude)),
            optax.trace(momentum, nesterov) if momentum else optax.identity(),
            optax.scale_by_learning_rate(rate),
        )

    return around(steps, learning_rate, rates, factors, clip_norm, clip_each, groups)


def adam(
    *,
    learning_rate: optax.Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    exclude: tuple[str, ...] | None = BIAS_AND_NORM,
    rates: Rates = (),
    factors: Rates = (),
    groups: Groups = (),
    clip_norm: float | None = None,
    clip_each: float | None = None,
) -> optax.GradientTransformation:
    """Builds Adam (Kingma & Ba, 2015, arXiv:1412.6980).

    Args:
        learning_rate: α.
        b1: β1, in [0, 1).
        b2: β2, in [0, 1).
        epsilon: added to the root of the second moment; positive.
        weight_decay: λ of a penalty λ/2 ‖w‖², which like any gradient passes through
            the moments; `adamw` does better.
        exclude: patterns of the paths of parameters without weight decay; None for
            none.
        rates: (pattern, rate) pairs for parameters with a rate of their own.
        factors: (pattern, factor) pairs for parameters whose steps are multiplied.
        groups: (pattern, optimizer) pairs for parameters with one of their own.
        clip_norm: largest global norm of the gradient, or None.
        clip_each: largest norm of the gradient of one array, or None.

    Raises:
        ValueError: if β1, β2 or epsilon is outside of its range.
    """
    _check_moments(b1, b2, epsilon)
    penalty = optax.add_decayed_weights(weight_decay, matrices(exclude))

    def steps(rate: optax.Schedule) -> optax.GradientTransformation:
        plain = optax.adam(rate, b1=b1, b2=b2, eps=epsilon)
        return optax.chain(penalty, plain) if weight_decay else plain

    return around(steps, learning_rate, rates, factors, clip_norm, clip_each, groups)


def adamw(
    *,
    learning_rate: optax.Schedule,
    weight_decay: optax.Schedule | float = 0.05,
    b1: float = 0.9,
    b2: float = 0.999,
    epsilon: float = 1e-8,
    exclude: tuple[str, ...] | None = BIAS_AND_NORM,
    rates: Rates = (),
    factors: Rates = (),
    groups: Groups = (),
    clip_norm: float | None = None,
    clip_each: float | None = None,
    layer_decay: float | None = None,
) -> optax.GradientTransformation:
    """Builds AdamW (Loshchilov & Hutter, 2019, arXiv:1711.05101, algorithm 2).

    Args:
        learning_rate: α.
        weight_decay: λ, a number or a schedule (DINO raises it during the run). Each
            step takes α λ w off the weights.
        b1: β1, in [0, 1).
        b2: β2, in [0, 1).
        epsilon: added to the root of the second moment; positive.
        exclude: patterns of the paths of parameters without weight decay; None for
            none.
        rates: (pattern, rate) pairs for parameters with a rate of their own.
        factors: (pattern, factor) pairs for parameters whose steps are multiplied.
        groups: (pattern, optimizer) pairs for parameters with one of their own.
        clip_norm: largest global norm of the gradient, or None.
        clip_each: largest norm of the gradient of one array, or None.
        layer_decay: ratio of the rates of neighbouring blocks of a vision transformer,
            the last having the full rate; in (0, 1], or None.

    Raises:
        ValueError: if β1, β2 or epsilon is outside of its range.

    Note:
        As in torch and optax, λ is multiplied by the learning rate; algorithm 2 of the
        paper multiplies it by the schedule's multiplier alone.
    """
    _check_moments(b1, b2, epsilon)

    def steps(rate: optax.Schedule) -> optax.GradientTransformation:
        return optax.adamw(
            rate,
            b1=b1,
            b2=b2,
            eps=epsilon,
            weight_decay=weight_decay,
            mask=matrices(exclude),
        )

    tx = around(steps, learning_rate, rates, factors, clip_norm, clip_each, groups)
    return with_layer_decay(tx, layer_decay)


def _check_moments(b1: float, b2: float, epsilon: float) -> None:
    """Refuses what makes NaN of a gradient: β = 1, or 0 / 0 where the gradient is 0."""
    checks.within("[0, 1)", b1=b1, b2=b2)
    checks.positive(epsilon=epsilon)
