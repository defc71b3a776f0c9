"""A run that starts from what another run has trained: an encoder, or a teacher."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jax_ssl.checkpoint.export import check_structure, load_encoder
from jax_ssl.core.method import ExportFn
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
    name: str,
    path: str | None,
    settings: Mapping[str, Any],
    take: ExportFn,
    place: Callable[[Params, State, Variables], tuple[Params, State]],
) -> Program:
    """The same program, its first state holding exported variables.

    The file is read when a run starts, and not when it is resumed. The optimizer's
    slots are those of the params that it replaces, that is zeros.

    Args:
        made: the program.
        name: of the setting, for the log and for errors.
        path: of a file written by `checkpoint.export.export_encoder`; None is refused.
        settings: of the encoder in question, name and all, which differences from the
            card of the file are logged against.
        take: params and state -> the variables that the file's replace.
        place: (params, state, variables) -> params and state with these variables.

    Raises:
        FileNotFoundError: on start, if there is no such file.
        ValueError: on start, if it is no exported encoder or not of this run's shapes.
    """

    def start(key: Array) -> TrainState:
        if path is None:
            raise ValueError(
                f"config.{name} is None: give it the file that this run starts from, "
                "made by jax-ssl export."
            )
        try:
            variables, card = load_encoder(path)
            abstract = made.abstract
            own = jax.eval_shape(take, abstract.params, abstract.state)
            check_structure(own, variables)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"{name} = {path!r}: {error}") from error
        theirs = card.get("encoder", {})
        differing = [
            f"{setting} = {value!r} (there {theirs[setting]!r})"
            for setting, value in settings.items()
            if setting in theirs
            and setting not in HARMLESS
            and theirs[setting] != value
        ]
        log.info(
            "the run starts from %s = %s, step %s of %s%s",
            name,
            path,
            card.get("step"),
            card.get("method", {}).get("name"),
            f"; other encoder settings: {', '.join(differing)}" if differing else "",
        )
        train = made.fresh(key)
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


def teacher_of(params: Params, state: State) -> Variables:
    """Variables of the teacher that the state of a distilling method holds."""
    del params
    return {"params": state.teacher}


def with_teacher(
    params: Params, state: State, variables: Variables
) -> tuple[Params, State]:
    """Params and state with the teacher of another run's `Method.export_teacher`."""
    return params, state._replace(teacher=variables["params"])
