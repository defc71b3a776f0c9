"""An encoder under a head that learns from labels, and learns too or is frozen."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core.method import Load
from jax_ssl.core.types import Array, Params, PyTree, Variables
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.network import Copy


class FrozenState(NamedTuple):
    """State of a method whose encoder may be frozen, beside its params.

    Attributes:
        stats: statistics of the encoder and of the other parts, by part.
        frozen: {"encoder": params} where these do not learn; else {}.
    """

    stats: Any
    frozen: Params


def frozen_apart(params: Params, freeze: bool) -> tuple[Params, Params]:
    """What learns of the params of all parts, and `FrozenState.frozen`."""
    if not freeze:
        return params, {}
    learning = {name: own for name, own in params.items() if name != "encoder"}
    return learning, {"encoder": params["encoder"]}


def complete(params: Params, state: FrozenState) -> Params:
    """The params of all parts, whether they learn or not."""
    return {**params, **state.frozen}


def encoder_of(params: Params, state: FrozenState) -> Variables:
    """The encoder alone, for evaluation and export."""
    own = complete(params, state)["encoder"]
    return {"params": own, **state.stats["encoder"]}


def all_parts(params: Params, state: FrozenState) -> Variables:
    """The encoder and what reads it, for export."""
    return Copy(complete(params, state), state.stats).variables()


def _filled(
    params: Params, state: FrozenState, variables: Variables
) -> tuple[Params, FrozenState]:
    stats = dict(variables)
    given = {"encoder": stats.pop("params")}
    state = state._replace(stats={**state.stats, "encoder": stats})
    if state.frozen:
        return params, state._replace(frozen=given)
    return {**params, **given}, state


ENCODER = Load(encoder_of, _filled)


def first_pyramid(
    encoder: nn.Module, key: Array, images: Array
) -> tuple[Params, PyTree, tuple[Array, ...]]:
    """First params and statistics of an encoder, and zeros like its pyramid's stages.

    Args:
        encoder: returns `Features` with a pyramid.
        key: [] of the params.
        images: [B, H, W, C].
    """
    params, stats = initialize(encoder, key, images)
    evaluate = functools.partial(forward, encoder, train=False, whole=True)
    made, _ = jax.eval_shape(evaluate, params, stats, images)
    return params, stats, tuple(jnp.zeros(s.shape, s.dtype) for s in made.pyramid)


def pyramid_of(
    encoder: nn.Module,
    params: Params,
    stats: PyTree,
    images: Array,
    *,
    frozen: bool,
    key: Array | None,
) -> tuple[tuple[Array, ...], PyTree]:
    """The pyramid of images, and the encoder's next statistics.

    Args:
        encoder: returns `Features` with a pyramid.
        params: of the encoder.
        stats: of the encoder.
        images: [B, H, W, C].
        frozen: whether the encoder runs in evaluation mode in training too, and
            receives no gradient.
        key: of dropout and of dropped paths in training; None for evaluation.
    """
    rngs = None
    if key is not None:
        keys = jax.random.split(key, 2)
        rngs = dict(zip(("dropout", "drop_path"), keys, strict=True))
    learns = key is not None and not frozen
    seen, moved = forward(encoder, params, stats, images, train=learns, rngs=rngs)
    pyramid = seen.pyramid
    return (jax.lax.stop_gradient(pyramid) if frozen else pyramid), moved
