"""Optimizers and exceptions by parameter path: partition, freezing, masks, slots."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import optax

from jax_ssl.core import checks
from jax_ssl.core.paths import assign, leaf_names, map_named
from jax_ssl.core.schedule import at
from jax_ssl.core.types import Array, Params, PyTree

# Biases, and the scales of norms, of whatever rank (attention biases have two axes).
BIAS_AND_NORM = (r"(^|/)bias$", r"(^|/)scale$")

# Learning rates, or factors of the rate, of some parameters: (pattern, rate) pairs,
# None for no learning.
Rates: TypeAlias = tuple[tuple[str, optax.Schedule | None], ...]


def by_path(
    rules: Sequence[tuple[str, optax.GradientTransformation | None]],
) -> optax.GradientTransformation:
    """One optimizer per group of parameters.

    Args:
        rules: (pattern, optimizer) pairs, searched in order in every parameter's
            "/"-joined path; the first match wins. None freezes: the update is zero.

    Returns:
        An optimizer whose `init` raises `ValueError` for a parameter that no rule
        matches, naming it.

    Note:
        Each optimizer sees its own parameters only; a `clip_norm` among them is of the
        norm of that group.
    """
    choices = {
        i: optax.set_to_zero() if optimizer is None else optimizer
        for i, (_, optimizer) in enumerate(rules)
    }
    labels = [(pattern, i) for i, (pattern, _) in enumerate(rules)]
    return optax.partition(choices, lambda tree: assign(labels, tree))


def with_rates(
    steps: Callable[[optax.Schedule], optax.GradientTransformation],
    learning_rate: optax.Schedule,
    rates: Rates,
) -> optax.GradientTransformation:
    """`steps(learning_rate)`, but for parameters that have a rate of their own.

    Args:
        steps: the optimizer of a learning rate.
        learning_rate: of all parameters that no pattern matches.
        rates: (pattern, rate) pairs, searched in order in every parameter's "/"-joined
            path; the first match wins. None freezes: no step, no decay, no slots.

    Returns:
        An optimizer whose `init` raises `ValueError` for a pattern that decides over no
        parameter.
    """
    rest = steps(learning_rate)
    return _by_pairs("rates", rates, steps, rest) if rates else rest


def with_factors(
    tx: optax.GradientTransformation, factors: Rates
) -> optax.GradientTransformation:
    """`tx`, but some parameters take so many times its steps, weight decay included.

    Args:
        tx: an optimizer.
        factors: (pattern, factor) pairs, searched in order in every parameter's
            "/"-joined path; the first match wins. A factor of None or 0 holds the
            parameters where they are, while their slots go on.

    Returns:
        An optimizer whose `init` raises `ValueError` for a pattern that decides over no
        parameter.
    """
    if not factors:
        return tx

    def scaled(factor: optax.Schedule) -> optax.GradientTransformation:
        return optax.scale_by_schedule(functools.partial(at, factor))

    return optax.chain(tx, _by_pairs("factors", factors, scaled, optax.identity()))


def _by_pairs(
    title: str,
    pairs: Rates,
    make: Callable[[optax.Schedule], optax.GradientTransformation],
    rest: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """`make(value)` for what each pattern decides over, `rest` for all else."""
    rules = [(pattern, None if x is None else make(x)) for pattern, x in pairs]
    labels = [(pattern, i) for i, (pattern, _) in enumerate(pairs)]
    tx = by_path([*rules, ("", rest)])

    def init(params: Params) -> optax.OptState:
        used = set(jax.tree.leaves(assign([*labels, ("", -1)], params)))
        for pattern, i in labels:
            if i not in used:
                raise ValueError(
                    f"optimizer.{title}: {pattern!r} decides over no parameter; the "
                    f"params have {', '.join(_some(leaf_names(params)))}."
                )
        return tx.init(params)

    return optax.GradientTransformationExtraArgs(init, tx.update)


def _some(names: Sequence[str]) -> list[str]:
    return [*names[:5], f"and {len(names) - 5} more"] if len(names) > 6 else [*names]


def matrices(
    exclude: Sequence[str] | None = BIAS_AND_NORM,
) -> Callable[[PyTree], PyTree]:
    """A mask of the parameters that weight decay and trust ratios are for.

    Args:
        exclude: patterns of paths to leave out. Parameters with fewer than two axes are
            left out whatever their name. None leaves out nothing at all.

    Returns:
        Function from a tree of parameters to a tree of booleans, True for those meant.
    """

    def included(name: str, leaf: jax.Array) -> bool:
        if exclude is None:
            return True
        return leaf.ndim > 1 and not any(re.search(p, name) for p in exclude)

    return lambda tree: map_named(included, tree)


def clipped(
    tx: optax.GradientTransformation,
    clip_norm: float | None,
    clip_each: float | None = None,
) -> optax.GradientTransformation:
    """`tx` behind ceilings on the norm of the gradient; None for no ceiling.

    Args:
        tx: an optimizer.
        clip_norm: largest norm of all arrays together.
        clip_each: largest norm of each array by itself, seen before `clip_norm`.

    Raises:
        ValueError: if a ceiling is not positive.
    """
    checks.positive(clip_norm=clip_norm, clip_each=clip_each)
    if clip_norm is not None:
        tx = optax.chain(optax.clip_by_global_norm(clip_norm), tx)
    if clip_each is not None:
        tx = optax.chain(_clip_each(clip_each), tx)
    return tx


def _clip_each(ceiling: float) -> optax.GradientTransformation:
    def leaf(gradient: Array) -> Array:
        norm = jnp.linalg.norm(gradient.astype(jnp.float32).ravel())
        scale = jnp.minimum(1.0, ceiling / jnp.maximum(norm, 1e-12))
        return gradient * scale.astype(gradient.dtype)

    return optax.stateless(lambda updates, params: jax.tree.map(leaf, updates))


def around(
    steps: Callable[[optax.Schedule], optax.GradientTransformation],
    learning_rate: optax.Schedule,
    rates: Rates,
    factors: Rates,
    clip_norm: float | None,
    clip_each: float | None,
) -> optax.GradientTransformation:
    """What all optimizers share: ceilings, then the steps by path, then factors."""
    tx = with_factors(with_rates(steps, learning_rate, rates), factors)
    return clipped(tx, clip_norm, clip_each)


def reset_slots(
    tx: optax.GradientTransformation,
    opt_state: optax.OptState,
    params: Params,
    parts: Sequence[str],
) -> optax.OptState:
    """Starts the slots of some parts of the params afresh; counters go on.

    Args:
        tx: the optimizer that `opt_state` belongs to.
        opt_state: its state.
        params: the params, already re-initialised.
        parts: top-level keys of `params`, as in `Refresh.resets`.

    Raises:
        ValueError: if `params` has no such part.
    """
    names = set(leaf_names(params))
    known = {name.split("/")[0] for name in names}
    for part in parts:
        if part not in known:
            raise ValueError(f"params have no part {part!r}, only {sorted(known)}.")

    def restart(name: str, old: jax.Array, fresh: jax.Array) -> jax.Array:
        # A slot's path ends with the path of its parameter; the longest one, for
        # "head/kernel" is also the end of "encoder/head/kernel".
        keys = name.split("/")
        tails = ("/".join(keys[i:]) for i in range(len(keys)))
        owner = next((tail for tail in tails if tail in names), "")
        return fresh if owner.split("/")[0] in parts else old

    return map_named(restart, opt_state, tx.init(params))
