"""Several processes as one run: start together, fail together, end together.

jax's coordination service, which process 0 hosts, does the work: it connects the
processes, notices within `peer_timeout` seconds that one has died, and carries the few
words said here. A process that fails says why before it goes, so that the others can
name the reason; one that is killed cannot, and is missed by the service.
"""

import contextlib
import itertools
import logging
import os
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import numpy as np

from jax_ssl.parallel.last_words import LastWords
from jax_ssl.parallel.launchers import Launch

log = logging.getLogger(__name__)

PEER_TIMEOUT = 100.0
JOIN_TIMEOUT = 300.0
# After a process has said why it fails, the others may need this long to fail by
# themselves for the same reason, which they would rather report.
GRACE = 1.5
AGAIN = (
    "Start all processes again: the same command continues from the last checkpoint."
)
FAILED = "jax_ssl/failed"  # Holds the first failure; empty once all have ended well.
FOREVER_MS = 2**31 - 1  # A dead process ends every wait before that.

_meetings = itertools.count()  # The same in all processes.


class Processes:
    """This process among those of the run; made by `start`."""

    def __init__(self, launch: Launch, peer_timeout: float) -> None:
        self.launch, self.peer_timeout = launch, peer_timeout
        self.name = f"process {launch.index} of {launch.count}"
        self.failing = False
        self.last_words = LastWords(self._epitaph)
        self._client = _client()
        self._watch = threading.Thread(
            target=self._listen, name="jax_ssl-hosts", daemon=True
        )
        self._watch.start()

    def fail(self, reason: str, status: int) -> NoReturn:
        """Ends this process with `status`, and the others with 1 and this reason."""
        self.failing, words = True, f"{self.name} failed: {reason}"
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # Another was first.
            self._client.key_value_set(FAILED, words)
        self._go(words, status)

    def suspect(self, error: Exception) -> None:
        """Waits for word that another process has died, which may explain `error`.

        The word ends this process. Returns if there is none.
        """
        first = str(error).split("\n")[0]
        log.error("%s: %s; did another process die?", self.name, first)
        time.sleep(self.peer_timeout + 5)

    def finish(self) -> None:
        """Waits until all processes have come here, and disconnects."""
        self._client.wait_at_barrier("jax_ssl/end", timeout_in_ms=FOREVER_MS)
        if self.launch.index == 0:
            self._client.key_value_set(FAILED, "")
        self._watch.join()
        jax.distributed.shutdown()
        self.last_words.withdraw()

    def _epitaph(self) -> str:
        """What to say when jax's runtime aborts this process."""
        where, why = self.launch.coordinator, "another process died (see above)"
        if self.launch.index and not _answers(where, timeout=1):
            why = f"process 0, the coordinator at {where}, died or cannot be reached"
        return f"{self.name} ended, because {why}. {AGAIN}"

    def _listen(self) -> None:
        while True:
            try:
                reason = self._client.blocking_key_value_get(FAILED, 10_000)
                break
            except jax.errors.JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    return  # The service is gone, which ends this process anyway.
        if not reason:
            return
        time.sleep(GRACE)
        if not self.failing:
            words = f"{self.name} ended, because {reason}\n{AGAIN}"
            self._go(words, 1)

    def _go(self, words: str, status: int) -> NoReturn:
        # Should another one's going abort this process first, it ends all the same.
        self.last_words = LastWords(lambda: words, status)
        # Process 0 hosts the service: gone first, it would take the reason with it.
        time.sleep(GRACE if self.launch.index else 2 * GRACE)
        print(words, file=sys.stderr)
        # Not `sys.exit`: leaving in order means waiting for the others.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def start(
    launch: Launch,
    *,
    peer_timeout: float = PEER_TIMEOUT,
    join_timeout: float = JOIN_TIMEOUT,
) -> Processes:
    """Connects this process with the others; before jax has touched any device.

    On CPU the collectives between processes are gloo's.

    Args:
        launch: which process this is.
        peer_timeout: seconds without a sign of life after which a process counts as
            dead, and all others end.
        join_timeout: seconds in which all processes must have come.

    Raises:
        ValueError: if the address cannot be had or reached.
        RuntimeError: if jax has used its devices already.
    """
    where, each = launch.coordinator, f"process {launch.index} of {launch.count}"
    if launch.index == 0:
        _check_free(where)
    else:
        _await_coordinator(where, each, join_timeout)
    waiting = LastWords(
        lambda: (
            f"{each}: not all {launch.count} processes came to {where} within "
            f"{join_timeout:.0f} s, or they disagree on their number; the lines above "
            "may say more. Start all of them within that time, with one address and "
            "number."
        ),
        status=2,
    )
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator_address=where,
        num_processes=launch.count,
        process_id=launch.index,
        local_device_ids=None if launch.devices is None else list(launch.devices),
        # Else jax would look for a launcher itself, and give devices by its own rule.
        cluster_detection_method="deactivate",
        initialization_timeout=round(join_timeout),
        heartbeat_timeout_seconds=max(1, round(peer_timeout)),
        shutdown_timeout_seconds=max(1, round(peer_timeout)),
    )
    waiting.withdraw()
    return Processes(launch, peer_timeout)


def of_first(name: str, value: str) -> str:
    """Process 0's `value`, in every process; each `name` serves once."""
    if jax.process_count() == 1:
        return value
    client, key = _client(), f"jax_ssl/first/{name}"
    if jax.process_index() == 0:
        client.key_value_set(key, value)
        return value
    return client.blocking_key_value_get(key, FOREVER_MS)


def meet() -> None:
    """Waits until every process has come to the same call; nothing for one alone.

    Before a first collective, of a program that took some hosts longer to compile than
    others: gloo gives such a first meeting no more than 30 seconds.
    """
    if jax.process_count() > 1:
        _client().wait_at_barrier(f"jax_ssl/meet/{next(_meetings)}", FOREVER_MS)


def together(
    fn: Callable[..., Any], *, static_argnums: Sequence[int] = (), **options: Any
) -> Callable[..., Any]:
    """`jax.jit(fn)` that all processes have compiled before any of them runs it.

    Args:
        fn: the function.
        static_argnums: places of arguments that are hashed and not traced.
        **options: further ones of `jax.jit`.
    """
    jitted = jax.jit(fn, static_argnums=static_argnums, **options)
    compiled: dict[Any, Any] = {}

    def call(*args: Any) -> Any:
        if jax.process_count() == 1:
            return jitted(*args)
        traced = [x for i, x in enumerate(args) if i not in static_argnums]
        leaves, structure = jax.tree.flatten(traced)
        shapes = tuple((np.shape(leaf), leaf.dtype) for leaf in leaves)
        key = (structure, shapes, *(args[i] for i in static_argnums))
        if key not in compiled:
            compiled[key] = jitted.lower(*args).compile()
            meet()
        return compiled[key](*traced)

    call.lower = jitted.lower  # type: ignore[attr-defined] # For plans and tests.
    return call


def await_file(path: pathlib.Path, timeout: float = 60.0) -> None:
    """Waits until this process sees a file that process 0 has written.

    Raises:
        ValueError: if it does not, since the folder is then not a shared one.
    """
    end = time.monotonic() + timeout  # Network file systems remember what was absent.
    while not path.exists():
        if time.monotonic() > end:
            raise ValueError(
                f"process {jax.process_index()} does not see {path}, which process 0 "
                "has written; --workdir must be a folder that all processes share."
            )
        time.sleep(0.2)


def _check_free(address: str) -> None:
    """Refuses a port that is taken; jax's service would crash on it.

    Raises:
        ValueError: naming it.
    """
    port = int(address.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ValueError(
                f"process 0 cannot listen at {address}: {error.strerror}. Another run "
                "may hold the port; choose another one by --coordinator_address or "
                "JAX_COORDINATOR_PORT."
            ) from error


def _await_coordinator(address: str, each: str, timeout: float) -> None:
    """Waits until something listens at the address; jax itself would abort.

    Raises:
        ValueError: naming the address.
    """
    end = time.monotonic() + timeout
    while not _answers(address, timeout=5):
        if time.monotonic() > end:
            raise ValueError(
                f"{each} could not reach the coordinator at {address} within "
                f"{timeout:.0f} s. Is process 0 running there, and is the port open "
                "between the hosts? --coordinator_address names another one."
            )
        time.sleep(0.2)


def _answers(address: str, timeout: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout).close()
    except OSError:
        return False
    return True


def _client() -> "jax._src.lib._jax.DistributedRuntimeClient":
    # jax documents no way to it; orbax and others take this one.
    from jax._src import distributed

    return distributed.global_state.client
