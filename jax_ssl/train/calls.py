"""A program's calls, each compiled once."""

from collections.abc import Callable
from typing import Any

from jax_ssl.train.program import Program

OnTrace = Callable[[Any, int], None]


class Calls:
    """The compiled calls of a program, by their number of steps."""

    def __init__(self, made: Program, on_trace: OnTrace | None = None) -> None:
        """Compiles nothing yet.

        Args:
            made: by `program`.
            on_trace: called with each traced call (`jax.stages.Traced`) and its steps.
        """
        self._made, self._on_trace = made, on_trace
        self._found: dict[int, Any] = {}

    def __contains__(self, steps: int) -> bool:
        """Whether a call of so many steps has been compiled."""
        return steps in self._found

    def __call__(self, steps: int) -> Any:
        """The compiled call, (train, data, payload) -> (train, metrics [steps])."""
        if steps not in self._found:
            made = self._made
            payload = made.feed.abstract(steps)
            traced = made.call.trace(made.abstract, made.feed.data, payload)
            if self._on_trace is not None:
                self._on_trace(traced, steps)
            self._found[steps] = traced.lower().compile()
        return self._found[steps]
