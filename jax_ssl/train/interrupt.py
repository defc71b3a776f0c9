"""SIGTERM and SIGINT as a question that the loop asks between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupt:
    """Which signal asked the run to stop, if any.

    Attributes:
        name: "SIGTERM", "SIGINT", or None while nobody asked.
        code: exit status by the shell's convention, 128 + signal number; 0 before.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.code = 0

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt  # Asked twice by hand: leave at once.
        self.name = signal.Signals(number).name
        self.code = 128 + number


@contextmanager
def catch_signals() -> Iterator[Interrupt]:
    """Catches SIGTERM and SIGINT inside the block, and puts the old handlers back.

    Python delivers signals to the main thread only; called from another one, nothing
    is caught and nothing ever asks.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    old = {number: signal.signal(number, interrupt._ask) for number in SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
