"""The first params and state of a method, whose program is compiled once."""

import functools
from typing import Any

import jax

from jax_ssl.core.method import Method


def begun(method: Method, *args: Any) -> tuple[Any, Any]:
    """`method.init` of a key and views, compiled.

    Whether a loss has another temperature is nothing to `init`: methods that begin by
    the same program share its compilation.
    """
    lowered = jax.jit(method.init).lower(*args)
    known = lowered.as_text(), str(lowered.args_info), lowered.out_tree
    if known not in programs():
        programs()[known] = lowered.compile()
    return programs()[known](*args)


@functools.cache
def programs() -> dict[Any, Any]:
    """What has been compiled in this process, by its text, arguments and results."""
    return {}
