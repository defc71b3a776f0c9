"""SIGTERM and SIGINT, from a program's first line to its last.

Python runs its own handlers between two instructions of the main thread, and the next
one may be a minute away while XLA compiles, or never come while a disk hangs. The
number of a signal also comes through a pipe, and a thread that reads it ends the
process at once: everything that the library writes is complete or absent at any moment.
Only the loop, whose newest steps are nowhere but in memory, asks for time to save them.

Nothing here imports jax: the program must be able to end while jax is being imported.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

NUMBERS = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 2.0  # Seconds without the end after which it is said what is waited for.


class Departure:
    """How this process ends at a signal; there is one, `departure`.

    Attributes:
        command: what the message begins with.
        doing: what is being done, such as "compiling".
        after: what the same command does when it is given again.
        leave: (message, status) -> does not return.
        kept_for: while it says something, such as "saving after this step", the process
            does not end by itself, but for a second SIGINT.
        watching: whether signals end this process here.
    """

    def __init__(self) -> None:
        self.command = ""
        self.doing, self.after = "starting", "starts again"
        self.leave: Callable[[str, int], NoReturn] = _leave
        self.kept_for = ""
        self.watching = False

    def watch(self, command: str) -> None:
        """Ends this process at either signal from now on; for the main thread."""
        self.command = command
        if not self.watching:
            self.watching = True
            read, write = os.pipe()
            os.set_blocking(write, False)
            signal.set_wakeup_fd(write, warn_on_full_buffer=False)
            threading.Thread(target=self._listen, args=(read,), daemon=True).start()
        for number in NUMBERS:
            signal.signal(number, self.await_end)

    @contextlib.contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Inside, `doing` is what the message says."""
        before, self.doing = self.doing, doing
        try:
            yield
        finally:
            self.doing = before

    def await_end(self, number: int, frame: FrameType | None) -> None:
        """The main thread's handler: the thread that listens ends the process."""
        del number, frame
        while self.watching and not self.kept_for:
            time.sleep(0.1)

    def _go(self, number: int) -> NoReturn:
        name = signal.Signals(number).name
        kept = "what is saved is kept" if self.kept_for else "nothing is lost"
        self.leave(
            f"{self.command}: stopped by {name} while {self.doing}; {kept}, and the "
            f"same command {self.after}.",
            128 + number,
        )

    def _listen(self, pipe: int) -> None:
        asked, silent = False, None
        while True:
            if not select.select([pipe], [], [], silent)[0]:
                silent = None
                if self.kept_for:
                    _say(f"stopping: {self.kept_for} (Ctrl-C again leaves at once)")
                continue
            number = os.read(pipe, 1)[0]
            if number not in NUMBERS:
                continue
            if not self.kept_for or (asked and number == signal.SIGINT):
                self._go(number)
            asked, silent = True, PATIENCE


def _say(text: str) -> None:
    # A terminal may show a bar; and the lock of `sys.stderr` may be held.
    start = "\n" if os.isatty(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{start}{text}\n".encode())


def _leave(text: str, status: int) -> NoReturn:
    _say(text)
    # Not `sys.exit`: an interpreter that is taken down beside a compiling thread
    # crashes.
    os._exit(status)


departure = Departure()
