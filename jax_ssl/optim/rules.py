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
# Optimizers of some parameters: (pattern, optimizer) pairs.
Groups: TypeAlias = tuple[tuple[str, optax.GradientTransformation], ...]


def by_path(
    rules: Sequence[tuple[str, optax.GradientTransformation | None]],
    title: str = "rules",
) -> optax.GradientTransformation:
    """One optimizer per group of parameters.

    Args:
        rules: (pattern, optimizer) pairs, searched in order in every parameter's
            "/"-joined path; the first match wins. None freezes: no step, no decay, no
            slots. The pattern "" takes what is left, if anything.
        title: the setting that the rules come from, for messages.

    Returns:
        An optimizer whose `init` raises `ValueError` for a parameter that no rule
        matches, and for a pattern that decides over no parameter, naming it.

    Note:
        Each optimizer sees its own parameters only; a `clip_norm` among them is of the
        norm of that group.
    """
    choices = {
        i: optax.set_to_zero() if optimizer is None else optimizer
        for i, (_, optimizer) in enumerate(rules)
    }
    labels = [(pattern, i) for i, (pattern, _) in enumerate(rules)]
    tx = optax.partition(choices, lambda tree: assign(labels, tree))

    def init(params: Params) -> optax.OptState:
        used = set(jax.tree.leaves(assign(labels, params)))
        for pattern, i in labels:
            if pattern and i not in used:
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

    Raises:
        ValueError: for a pattern that is not a regular expression.
    """
    checks.patterns(exclude=exclude)

    def included(name: str, leaf: jax.Array) -> bool:
        if exclude is None:
            return True
        return leaf.ndim > 1 and not any(re.search(p, name) for p in exclude)

    return lambda tree: map_named(included, tree)


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
    groups: Groups = (),
) -> optax.GradientTransformation:
    """What all optimizers share: ceilings, then the steps by path, then factors.

    Args:
        steps: the optimizer of a learning rate.
        learning_rate: of all parameters that no pattern of `rates` matches.
        rates: (pattern, rate) pairs, see `by_path`; None freezes.
        factors: (pattern, factor) pairs, likewise, of what steps are multiplied by,
            weight decay included. A factor of None or 0 holds the parameters where they
            are, while their slots go on.
        clip_norm: largest norm of the gradients of all arrays together, or None.
        clip_each: largest norm of each by itself, seen before `clip_norm`, or None.
        groups: (pattern, optimizer) pairs, see `by_path`; they come before `rates`.

    Raises:
        ValueError: if a ceiling is not positive, or a pattern is not a regular
            expression.
    """
    given = {"rates": rates, "factors": factors, "groups": groups}
    for name, pairs in given.items():
        checks.patterns(**{name: [pattern for pattern, _ in pairs]})
    checks.positive(clip_norm=clip_norm, clip_each=clip_each)
    tx = steps(learning_rate)
    if rates:
        own = [(name, None if rate is None else steps(rate)) for name, rate in rates]
        tx = by_path([*own, ("", tx)], "rates")
    if groups:
        tx = by_path([*groups, ("", tx)], "groups")
    if factors:
        scales = [(name, _scaled(factor)) for name, factor in factors]
        tx = optax.chain(tx, by_path([*scales, ("", optax.identity())], "factors"))
    if clip_norm is not None:
        tx = optax.chain(optax.clip_by_global_norm(clip_norm), tx)
    if clip_each is not None:
        tx = optax.chain(_clip_each(clip_each), tx)
    return tx


def _scaled(factor: optax.Schedule | None) -> optax.GradientTransformation | None:
    if factor is None:
        return None
    return optax.scale_by_schedule(functools.partial(at, factor))


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
