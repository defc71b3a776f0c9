"""Checks of encoder settings that speak before anything is compiled."""

from collections.abc import Iterable

import jax.numpy as jnp

COMPUTE_DTYPES = ("float32", "bfloat16", "float16")


def one_of(setting: str, value: str, choices: Iterable[str]) -> None:
    """Refuses a word that is not among `choices`.

    Raises:
        ValueError: naming the setting, the value and the choices.
    """
    choices = list(choices)
    if value not in choices:
        words = " or ".join(map(repr, choices))
        raise ValueError(f"{setting} = {value!r} is not {words}.")


def at_least(setting: str, value: int, least: int) -> None:
    """Refuses a number below `least`.

    Raises:
        ValueError: naming the setting and the value.
    """
    if value < least:
        raise ValueError(f"{setting} = {value} is below {least}; raise it.")


def compute_dtype(name: str) -> jnp.dtype:
    """The dtype called `name`.

    Raises:
        ValueError: if `name` is not one of `COMPUTE_DTYPES`.
    """
    one_of("encoder.dtype", name, COMPUTE_DTYPES)
    return jnp.dtype(name)
