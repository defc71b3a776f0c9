"""Several processes as one run: start together, fail together, end together.

`jax.distributed` does the work: it detects the launcher, connects the processes, and
notices within `peer_timeout` seconds that one has died. Added here are the flags, the
refusal of a description that cannot work, and the reasons: a process that fails says
why before it goes, so that the others can name the reason; one that is killed cannot,
and is missed by jax's coordination service, which process 0 hosts.

The reasons and the meetings go through the client of that service, to which jax has no
public way.
"""

import argparse
import atexit
import contextlib
import ctypes
import itertools
import logging
import os
import pathlib
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import jax

from jax_ssl.parallel.launch import Launch, described

log = logging.getLogger(__name__)

JOIN_TIMEOUT = 300.0  # Seconds in which all processes must have come.
# After a process has said why it fails, the others may need this long to fail by
# themselves for the same reason, which they would rather report.
GRACE = 1.5
AGAIN = (
    "Start all processes again: the same command continues from the last checkpoint."
)
FAILED = "jax_ssl/failed"  # Holds the first failure; empty once all have ended well.
FOREVER_MS = 2**31 - 1  # A dead process ends every wait before that.

_meetings = itertools.count()  # The same in all processes.


def join(options: argparse.Namespace) -> "Processes | None":
    """Connects this process with the others, if its flags or launcher name any.

    To be called before jax has touched a device. On CPU the collectives between
    processes are gloo's. All processes but process 0 log warnings only, with their
    number in front.

    Args:
        options: of the command line: distributed, coordinator_address, num_processes,
            process_id and peer_timeout; without the first, the process runs alone.

    Raises:
        ValueError: if the processes are described in part, if the descriptions
            contradict each other, or if process 0 cannot listen at its address.
        RuntimeError: if jax has used its devices already.
    """
    launch = described(options)
    if launch is None:
        return None
    processes = Processes(launch, options.peer_timeout)
    if launch.index == 0:
        log.info("%d processes, joined at %s", launch.count, launch.coordinator)
    else:
        form = logging.Formatter(f"{processes.name}: %(message)s")
        for handler in logging.getLogger().handlers:
            handler.setFormatter(form)
        logging.getLogger().setLevel(max(log.getEffectiveLevel(), logging.WARNING))
    return processes


def of_first(name: str, value: str) -> str:
    """Process 0's `value`, in every process; each `name` serves once."""
    if jax.process_count() == 1:
        return value
    client, key = _client(), f"jax_ssl/first/{name}"
    if jax.process_index() == 0:
        client.key_value_set(key, value)
    return client.blocking_key_value_get(key, FOREVER_MS)


def meet() -> None:
    """Waits until every process has come to the same call; nothing for one alone.

    Before a first collective, of a program that took some hosts longer to compile than
    others: gloo gives such a first meeting no more than 30 seconds.
    """
    if jax.process_count() > 1:
        _client().wait_at_barrier(f"jax_ssl/meet/{next(_meetings)}", FOREVER_MS)


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


class Processes:
    """This process among those of the run, connected with them."""

    def __init__(
        self, launch: Launch, peer_timeout: float, join_timeout: float = JOIN_TIMEOUT
    ) -> None:
        self.launch, self.peer_timeout = launch, peer_timeout
        self.name = f"process {launch.index} of {launch.count}"
        self.failing = False
        if launch.index == 0:
            _check_free(launch.coordinator)
        self.last_words = LastWords(lambda: self._left_waiting(join_timeout), 2)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            coordinator_address=launch.coordinator,
            num_processes=launch.count,
            process_id=launch.index,
            local_device_ids=launch.devices,
            # Detected already, and jax's own rule is one device a process always.
            cluster_detection_method="deactivate",
            initialization_timeout=round(join_timeout),
            heartbeat_timeout_seconds=round(peer_timeout),
            shutdown_timeout_seconds=round(peer_timeout),
        )
        self.last_words.text, self.last_words.status = self._bereaved, 1
        self._client = _client()
        self._watch = threading.Thread(target=self._listen, daemon=True)
        self._watch.start()

    def leave(self, error: BaseException, status: int | None, text: str) -> NoReturn:
        """Ends this process after an error, and the others with 1 and the reason.

        Args:
            error: what the command raised.
            status: exit status; None for an unexpected error, which ends with 1 and its
                traceback.
            text: the reason given to all; the error itself where `status` is None.
        """
        if isinstance(error, jax.errors.JaxRuntimeError):
            # Another process may have died; word of it, which ends this one, comes
            # later.
            first = str(error).split("\n")[0]
            log.error("%s: %s; did another process die?", self.name, first)
            time.sleep(self.peer_timeout + 5)
        if status is None:
            traceback.print_exception(error)
            status, text = 1, f"{type(error).__name__}: {error}"
        self.part(f"{self.name} failed: {text}", status)

    def part(self, words: str, status: int) -> NoReturn:
        """Ends this process with `status` and `words`, which become the others' reason.

        May be called by any thread.
        """
        self.failing = True
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # Another was first.
            self._client.key_value_set(FAILED, words)
        self._go(words, status)

    def finish(self) -> None:
        """Waits until all processes have come here, and disconnects."""
        self._client.wait_at_barrier("jax_ssl/end", FOREVER_MS)
        if self.launch.index == 0:
            self._client.key_value_set(FAILED, "")
        self._watch.join()
        jax.distributed.shutdown()
        self.last_words.withdraw()

    def _listen(self) -> None:
        # Without the service, this process ends anyway.
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            reason = self._client.blocking_key_value_get(FAILED, FOREVER_MS)
            time.sleep(GRACE if reason else 0)
            if reason and not self.failing:
                self._go(f"{self.name} ended, because {reason}\n{AGAIN}", 1)

    def _go(self, words: str, status: int) -> NoReturn:
        # Should another one's going abort this process first, it ends all the same.
        self.last_words.text, self.last_words.status = lambda: words, status
        # Process 0 hosts the service: gone first, it would take the reason with it.
        time.sleep(GRACE if self.launch.index else 2 * GRACE)
        sys.stdout.flush()
        # Not `sys.exit`: leaving in order means waiting for the others.
        self.last_words.speak()

    def _left_waiting(self, seconds: float) -> str:
        where, count = self.launch.coordinator, self.launch.count
        why = f"not all {count} processes came, or they disagree on their number"
        if self.launch.index and not _answers(where):
            why = "could not reach process 0 there"
        return (
            f"{self.name} waited {seconds:.0f} s at {where}, but {why}. Start all of "
            "them within that time, with the same --coordinator_address and "
            "--num_processes, and with the port open between the hosts."
        )

    def _bereaved(self) -> str:
        where, why = self.launch.coordinator, "another process died (see above)"
        if self.launch.index and not _answers(where):
            why = f"process 0, the coordinator at {where}, died or cannot be reached"
        return f"{self.name} ended, because {why}. {AGAIN}"


class LastWords:
    """Says `text()` and exits with `status` where the process would abort.

    jax's runtime aborts the process, from a thread of its own and without an exception,
    as soon as it knows that another process of the run is gone. Python's own signal
    handlers run between two of its instructions, too late to say anything.
    """

    def __init__(self, text: Callable[[], str], status: int) -> None:
        self.text, self.status = text, status
        # Kept alive as long as C may call it.
        self._handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: self.speak())
        ctypes.CDLL(None).signal(signal.SIGABRT, self._handler)
        # An interpreter on its way out can no longer speak.
        atexit.register(self.withdraw)

    def speak(self) -> NoReturn:
        """Says the text, and exits."""
        self.withdraw()  # Should speaking itself fail, the abort goes on.
        sys.stderr.flush()
        os.write(2, f"\n{self.text()}\n".encode())
        os._exit(self.status)

    def withdraw(self) -> None:
        """An abort is an abort again."""
        ctypes.CDLL(None).signal(signal.SIGABRT, None)


def _check_free(address: str) -> None:
    """Refuses a port that is taken; jax's service may crash on it.

    Raises:
        ValueError: naming it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", int(address.rpartition(":")[2])))
        except OSError as error:
            raise ValueError(
                f"process 0 cannot listen at {address}: {error.strerror}. Another run "
                "may hold the port; choose another one by --coordinator_address or "
                "JAX_COORDINATOR_PORT."
            ) from error


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _client() -> Any:
    from jax._src import distributed

    return distributed.global_state.client
