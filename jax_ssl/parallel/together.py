"""Programs whose first run is a meeting of all processes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jax_ssl.core import compiling
from jax_ssl.parallel.processes import meet


def together(
    fn: Callable[..., Any],
    *,
    static_argnums: Sequence[int] = (),
    seldom: bool = False,
    **options: Any,
) -> Callable[..., Any]:
    """`compiling.jit(fn)` that all processes have compiled before any of them runs it.

    Args:
        fn: the function.
        static_argnums: places of arguments that are hashed and not traced.
        seldom: whether it runs so seldom, on little data, that its compilation counts
            more: it is then `compiling.once(fn)`.
        **options: further ones of `jax.jit`.
    """
    compiled: dict[Any, Any] = {}

    @functools.cache
    def jitted() -> Any:
        # Not before the first call: to choose options starts the backend.
        jit = compiling.once if seldom else compiling.jit
        return jit(fn, static_argnums=static_argnums, **options)

    def call(*args: Any) -> Any:
        if jax.process_count() == 1:
            return jitted()(*args)
        traced = [x for i, x in enumerate(args) if i not in static_argnums]
        leaves, structure = jax.tree.flatten(traced)
        shapes = tuple((np.shape(leaf), leaf.dtype) for leaf in leaves)
        key = (structure, shapes, *(args[i] for i in static_argnums))
        if key not in compiled:
            compiled[key] = jitted().lower(*args).compile()
            meet()
        return compiled[key](*traced)

    # For plans and tests.
    call.lower = lambda *args: jitted().lower(*args)  # type: ignore[attr-defined]
    return call
