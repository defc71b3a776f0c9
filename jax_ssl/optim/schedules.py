"""Schedules: functions from the step to a scalar, and the table of them.

Factories take as wires what they need of the length of the run, of an epoch and of the
batch, so that a page can say epochs and base rates. Step s is the number of completed
steps: the first update uses s = 0 and the last s = total_steps - 1.
"""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, get_args

import jax.numpy as jnp
import optax

from jax_ssl.core import checks

Scaling: TypeAlias = Literal["none", "linear", "sqrt"]


def scaled_rate(value: float, batch_size: int, scaling: Scaling) -> float:
    """Learning rate of a batch, from the rate that a paper states.

    Args:
        value: base rate.
        batch_size: rows of the global batch.
        scaling: "none" for value itself; "linear" for value · batch_size / 256 (Goyal
            et al., 2017, arXiv:1706.02677); "sqrt" for value · √batch_size, which
            SimCLR prefers for small batches and short runs (arXiv:2002.05709, appendix
            B.1). There 0.3 "linear" and 0.075 "sqrt" are both 4.8 at batch 4096.

    Raises:
        ValueError: for another word, or a batch without rows.
    """
    checks.at_least(1, batch_size=batch_size)
    checks.one_of(get_args(Scaling), scaling=scaling)
    factors = {"none": 1.0, "linear": batch_size / 256, "sqrt": batch_size**0.5}
    return value * factors[scaling]


def constant(
    batch_size: int, *, value: float, scaling: Scaling = "none"
) -> optax.Schedule:
    """The same value at every step."""
    return optax.constant_schedule(scaled_rate(value, batch_size, scaling))


def linear(
    total_steps: int,
    steps_per_epoch: int,
    batch_size: int,
    *,
    init_value: float,
    end_value: float,
    epochs: float | None = None,
    scaling: Scaling = "none",
) -> optax.Schedule:
    """A straight line, then constant.

    Args:
        total_steps: length of the run.
        steps_per_epoch: length of an epoch.
        batch_size: rows of the global batch.
        init_value: at step 0.
        end_value: when the line ends.
        epochs: length of the line; the whole run unless given. It may be longer than
            the run, which then ends on the way.
        scaling: of both values, see `scaled_rate`.

    Raises:
        ValueError: if the line has no steps.
    """
    steps = _steps_in(epochs, steps_per_epoch, total_steps)
    return optax.linear_schedule(
        scaled_rate(init_value, batch_size, scaling),
        scaled_rate(end_value, batch_size, scaling),
        steps,
    )


def cosine(
    total_steps: int,
    batch_size: int,
    *,
    init_value: float,
    end_value: float = 0.0,
    scaling: Scaling = "none",
) -> optax.Schedule:
    """Half a cosine over the whole run, end + (init - end) · (1 + cos(π s / S)) / 2.

    Rising too: BYOL's momentum goes from 0.996 to 1 (arXiv:2006.07733, section 3.3).

    Args:
        total_steps: S, length of the run.
        batch_size: rows of the global batch.
        init_value: at step 0.
        end_value: at step S, which is one after the last update. Not scaled.
        scaling: of the first value, see `scaled_rate`.

    Raises:
        ValueError: if the run has no steps.
    """
    checks.at_least(1, total_steps=total_steps)
    init_value = scaled_rate(init_value, batch_size, scaling)
    return _half_cosine(init_value, end_value, total_steps)


def warmup_cosine(
    total_steps: int,
    steps_per_epoch: int,
    batch_size: int,
    *,
    peak_value: float,
    warmup_epochs: float = 10.0,
    warmup_steps: int | None = None,
    warmup_form: Literal["open", "closed"] = "open",
    init_value: float = 0.0,
    end_value: float = 0.0,
    scaling: Scaling = "none",
) -> optax.Schedule:
    """A line to the peak, then half a cosine to the end of the run.

    SimCLR (arXiv:2002.05709, section 2.3 and appendix B.1), and with other ends most
    methods since. Both parts move every step, not every epoch.

    Args:
        total_steps: length of the run.
        steps_per_epoch: length of an epoch.
        batch_size: rows of the global batch.
        peak_value: reached at the end of the warm-up.
        warmup_epochs: length of the line; 0 for none.
        warmup_steps: the same in steps, and used instead where given.
        warmup_form: "open": step s of the W of the warm-up has s / W of the way to the
            peak, which the step after them is the first to have. "closed": s / (W - 1),
            so that the last of them has it, as in the code of DINO, lightly and
            solo-learn.
        init_value: at step 0, where there is a warm-up. Not scaled.
        end_value: at step `total_steps`, one after the last update. Not scaled.
        scaling: of the peak, see `scaled_rate`.

    Raises:
        ValueError: if the warm-up is negative, or not shorter than the run.
    """
    checks.one_of(("open", "closed"), warmup_form=warmup_form)
    given = f"warmup_steps = {warmup_steps}"
    if warmup_steps is None:
        warmup_steps = round(warmup_epochs * steps_per_epoch)
        given = f"warmup_epochs = {warmup_epochs} ({warmup_steps} steps)"
    _refuse_beyond(given, warmup_steps, total_steps)
    peak = scaled_rate(peak_value, batch_size, scaling)
    fall = _half_cosine(peak, end_value, total_steps - warmup_steps)
    if warmup_steps == 0:
        return fall
    steps = warmup_steps - (warmup_form == "closed")
    rise = optax.linear_schedule(init_value, peak, steps)
    return optax.join_schedules([rise, fall], [warmup_steps])


def step_decay(
    total_steps: int,
    steps_per_epoch: int,
    batch_size: int,
    *,
    value: float,
    drops: tuple[float, ...],
    factor: float = 0.1,
    warmup_steps: int = 0,
    scaling: Scaling = "none",
) -> optax.Schedule:
    """A constant that is multiplied by a factor now and then.

    Args:
        total_steps: length of the run.
        steps_per_epoch: length of an epoch.
        batch_size: rows of the global batch.
        value: before the first drop.
        drops: epochs, rising, after which it drops; (120, 160) of 200 in MoCo.
        factor: what it is multiplied by.
        warmup_steps: length of a line from 0 to the value.
        scaling: of the value, see `scaled_rate`.

    Raises:
        ValueError: if drops are not positive and rising, or the warm-up not shorter
            than the run.
    """
    if any(b <= a for a, b in zip((0.0, *drops), drops, strict=False)):
        raise ValueError(f"drops = {drops} must be positive epochs that rise.")
    _refuse_beyond(f"warmup_steps = {warmup_steps}", warmup_steps, total_steps)
    value = scaled_rate(value, batch_size, scaling)
    places = {round(epoch * steps_per_epoch): factor for epoch in drops}
    fall = optax.piecewise_constant_schedule(value, places)
    if warmup_steps == 0:
        return fall
    return lambda step: fall(step) * jnp.minimum(step / warmup_steps, 1.0)


def after(
    total_steps: int,
    steps_per_epoch: int,
    *,
    epochs: float,
    value: float = 1.0,
    first: float = 0.0,
) -> optax.Schedule:
    """One value for the first epochs, then another: DINO's prototypes stand still.

    Args:
        total_steps: length of the run.
        steps_per_epoch: length of an epoch.
        epochs: how long it is the first value; not negative.
        value: afterwards.
        first: until then.

    Raises:
        ValueError: if the epochs are negative, or as long as the run.
    """
    start = round(epochs * steps_per_epoch)
    _refuse_beyond(f"epochs = {epochs} ({start} steps)", start, total_steps)
    return lambda step: jnp.where(jnp.asarray(step) < start, first, value)


def sigmoid_ramp(
    total_steps: int, steps_per_epoch: int, *, value: float, epochs: float | None = None
) -> optax.Schedule:
    """A rise in the shape of a sigmoid's, value · exp(-5 (1 - s / S)²), then constant.

    It begins at 0.0067 of the value (Laine & Aila, 2017, arXiv:1610.02242; mean
    teachers have the weight of their consistency so).

    Args:
        total_steps: length of the run.
        steps_per_epoch: length of an epoch.
        value: from step S on.
        epochs: length S of the rise; the whole run unless given. It may be longer than
            the run, which then ends on the way.

    Raises:
        ValueError: if the rise has no steps.
    """
    steps = _steps_in(epochs, steps_per_epoch, total_steps)
    return lambda step: value * jnp.exp(-5 * (1 - jnp.minimum(step / steps, 1.0)) ** 2)


SCHEDULES: Mapping[str, Callable[..., optax.Schedule]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "warmup_cosine": warmup_cosine,
    "step_decay": step_decay,
    "after": after,
    "sigmoid_ramp": sigmoid_ramp,
}


def _half_cosine(init_value: float, end_value: float, steps: int) -> optax.Schedule:
    # optax's cosine multiplies its first value, which therefore must not be zero.
    fall = optax.cosine_decay_schedule(1.0, steps)
    return lambda step: end_value + (init_value - end_value) * fall(step)


def _refuse_beyond(given: str, steps: int, total_steps: int) -> None:
    if not 0 <= steps < total_steps:
        raise ValueError(
            f"{given} must be at least 0 and shorter than the run, which has "
            f"{total_steps} steps; lower it, or train longer."
        )


def _steps_in(epochs: float | None, steps_per_epoch: int, total_steps: int) -> int:
    steps = total_steps if epochs is None else round(epochs * steps_per_epoch)
    if not 1 <= steps < 2**31:
        raise ValueError(
            f"epochs = {epochs} ({steps} steps) must be one step or more, and fewer "
            f"than {2**31}; an epoch has {steps_per_epoch} steps."
        )
    return steps
