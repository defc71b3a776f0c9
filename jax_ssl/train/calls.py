"""A program's calls, each compiled once, the first one beside other work on a CPU."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

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
        self._found: dict[int, Future[Any]] = {}

    def __contains__(self, steps: int) -> bool:
        """Whether a call of so many steps has been compiled."""
        return steps in self._found and self._found[steps].done()

    def begin(self, steps: int) -> None:
        """Starts to compile a call on a thread; the mesh must be installed.

        It does so on a CPU in one process only. A GPU's compiler measures kernels on
        the device, which must have nothing else to do then, and processes must compile
        in the same order.
        """
        backend = self._made.mesh.devices.flat[0].platform
        if backend != "cpu" or jax.process_count() > 1:
            return
        lowered = self._lowered(steps)
        pool = ThreadPoolExecutor(1, thread_name_prefix="jax_ssl-compile")
        self._found[steps] = pool.submit(lowered.compile)
        pool.shutdown(wait=False)

    def __call__(self, steps: int) -> Any:
        """The compiled call, (train, data, payload) -> (train, metrics [steps])."""
        if steps not in self._found:
            self._found[steps] = Future()
            self._found[steps].set_result(self._lowered(steps).compile())
        return self._found[steps].result()

    def _lowered(self, steps: int) -> Any:
        made = self._made
        payload = made.feed.abstract(steps)
        traced = made.call.trace(made.abstract, made.feed.data, payload)
        if self._on_trace is not None:
            self._on_trace(traced, steps)
        return traced.lower()
