"""A run that starts from an encoder which another run has trained."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jax_ssl.checkpoint.export import check_structure, load_encoder
from jax_ssl.core.method import Method
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Array, Params, State, Variables
from jax_ssl.train.program import Program

log = logging.getLogger(__name__)

# Settings that do not change what a network of given weights says of an image.
HARMLESS = (
    *("drop_path", "drop_path_uniform", "drop_path_group"),
    *("dtype", "scheme", "groups", "remat", "scan_layers"),
)


def started_from(
    made: Program,
    method: Method,
    path: str,
    settings: Mapping[str, Any],
    place: Callable[[Params, State, Variables], tuple[Params, State]],
) -> Program:
    """The same program, its first state holding an exported encoder's variables.

    The file is read when a run starts, and not when it is resumed. The optimizer's
    slots are those of the params that it replaces, that is zeros.

    Args:
        made: the program.
        method: of the program.
        path: of a file written by `checkpoint.export.export_encoder`.
        settings: of the run's encoder, name and all, which differences from the card of
            the file are logged against.
        place: (params, state, variables) -> params and state with these variables.

    Raises:
        FileNotFoundError: on start, if there is no such file.
        ValueError: on start, if it is no exported encoder or not of this run's shapes.
    """

    def start(key: Array) -> TrainState:
        try:
            variables, card = load_encoder(path)
            abstract = made.abstract
            own = jax.eval_shape(method.export, abstract.params, abstract.state)
            check_structure(own, variables)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"run.init_from = {path!r}: {error}") from error
        theirs = card.get("encoder", {})
        differing = [
            f"{name} = {value!r} (there {theirs[name]!r})"
            for name, value in settings.items()
            if name in theirs and name not in HARMLESS and theirs[name] != value
        ]
        log.info(
            "the encoder starts from %s, step %s of %s%s",
            path,
            card.get("step"),
            card.get("method", {}).get("name"),
            f"; other settings: {', '.join(differing)}" if differing else "",
        )
        train = made.start(key)
        params, state = place(train.params, train.state, variables)

        def put(leaf: Any, like: jax.ShapeDtypeStruct) -> Array:
            if isinstance(leaf, jax.Array):
                return leaf
            return jax.device_put(np.asarray(leaf, like.dtype), like.sharding)

        return train.replace(
            params=jax.tree.map(put, params, made.abstract.params),
            state=jax.tree.map(put, state, made.abstract.state),
        )

    return dataclasses.replace(made, start=start)
