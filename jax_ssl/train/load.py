"""A run that starts from what another run has trained: an encoder, or a teacher."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jax_ssl.checkpoint.export import check_structure, load_encoder
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Array, Variables
from jax_ssl.train.fitting import fitted
from jax_ssl.train.program import Program

log = logging.getLogger(__name__)

# Settings that do not change what a network of given weights says of an image.
HARMLESS = (
    *("drop_path", "drop_path_uniform", "drop_path_group"),
    *("dtype", "scheme", "groups", "remat", "scan_layers"),
    *("zero_init_residual", "kernel_init", "mask_token"),
)

IMPORTED = ", or by jax-ssl import from a file of another library."


def loaded(
    made: Program, files: Mapping[str, str], described: Mapping[str, Any]
) -> Program:
    """The same program, its first state holding what other runs have exported.

    The files are read when a run starts, and not when it is resumed. The optimizer's
    slots are those of the params that are replaced, that is zeros.

    Args:
        made: the program, of a method whose `loads` say what can be filled.
        files: exported files, by what they fill.
        described: sections of encoders, by what they describe; differences from the
            card of the file are logged.

    Raises:
        ValueError: if the method loads nothing of such a name; and on start, if a file
            is missing that the method needs, or is not an exported encoder of this
            run's shapes.
        FileNotFoundError: on start, if there is no such file.
    """
    loads = made.method.loads
    remedy = f"what can be filled is {', '.join(map(repr, loads))}"
    remedy = remedy if loads else "it can fill nothing, so leave the setting out"
    for name, path in files.items():
        if name not in loads:
            raise ValueError(
                f"config.run.init_from = {{{name!r}: {path!r}}}: this method has no "
                f"{name} to fill; {remedy}."
            )

    def read(name: str, path: str) -> Variables:
        own, wanted, holds = loads[name].take, loads[name].export or name, ""
        try:
            variables, card = load_encoder(path)
            holds = f" The file's are {card.get('encoder')}."
            abstract = jax.eval_shape(own, made.abstract.params, made.abstract.state)
            here, there = described.get(name, {}), card.get("encoder", {})
            variables, done = fitted(variables, abstract, here, there)
            check_structure(abstract, variables)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(
                f"run.init_from, {name} = {path!r}: {error}{holds} What fills the "
                f"{name} here is written by jax-ssl export --what={wanted}"
                f"{IMPORTED if wanted == 'encoder' else '.'}"
            ) from error
        theirs = card.get("encoder", {})
        differing = [
            f"{setting} = {value!r} (there {theirs[setting]!r})"
            for setting, value in described.get(name, {}).items()
            if setting in theirs.keys() - set(HARMLESS) and theirs[setting] != value
        ]
        log.info(
            "the run starts from the %s of %s, %s%s",
            name,
            path,
            _origin(card),
            f"; other encoder settings: {', '.join(differing)}" if differing else "",
        )
        for line in done:
            log.info("of the %s: %s", name, line)
        return variables

    def start(key: Array) -> TrainState:
        for name, load in loads.items():
            if load.required and name not in files:
                raise ValueError(
                    f"run.init_from names no {name}, which this method needs: give it "
                    f"dict({name}=FILE), written by jax-ssl export "
                    f"--what={load.export or name}."
                )
        given = {name: read(name, path) for name, path in files.items()}
        train = made.fresh(key)
        params, state = train.params, train.state
        for name, variables in given.items():
            params, state = loads[name].fill(params, state, variables)

        def put(leaf: Any, like: jax.ShapeDtypeStruct) -> Array:
            if isinstance(leaf, jax.Array):
                return leaf
            return jax.device_put(np.asarray(leaf, like.dtype), like.sharding)

        filled = train.replace(params=params, state=state)
        return jax.tree.map(put, filled, made.abstract)

    needed = any(load.required for load in loads.values())
    return dataclasses.replace(made, start=start) if files or needed else made


def _origin(card: Mapping[str, Any]) -> str:
    """Where the arrays of a file come from, in words."""
    method = card.get("method", {}).get("name")
    if imported := card.get("imported"):
        names = ", ".join(file["name"] for file in imported["files"])
        return f"imported from {names} as {method}"
    return f"step {card.get('step')} of {method}"
