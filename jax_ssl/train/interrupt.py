"""SIGTERM and SIGINT as a question that the loop asks between two steps.

On several processes the answer must come at the same step in all of them, whichever was
signalled. jax's coordination service sees to that: its own handler of SIGTERM tells the
others, and they agree on the first question that none of them has asked yet.

Where there are no steps to be saved, a program ends at once (`core.signals`).
"""

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import jax
from jax.experimental import multihost_utils

from jax_ssl.core.signals import departure

# Questions asked of jax by this process; every process asks the same ones in the same
# order. jax sets the common stop one after the highest number it was asked, and knows
# of no step that a run resumed at: by steps, a signal before the first one of a resumed
# run would set a stop that the run has passed.
_questions = itertools.count(1)


class Interrupt:
    """Which signal asked the run to stop, if any.

    Attributes:
        signal: SIGTERM, SIGINT, or None while nobody asked; among several processes
            always SIGTERM, and in all of them.
    """

    def __init__(self, *, shared: bool) -> None:
        self.signal: signal.Signals | None = None
        self._shared, self._signalled = shared, False

    def hold(self) -> None:
        """From now on there are steps to be saved; a program does not end before."""
        departure.kept_for = "saving when what is running has ended"
        departure.doing = "training"

    def asked(self) -> bool:
        """Whether to stop now; to be asked after every call, by all processes alike."""
        ask = self._shared and self.signal is None
        if ask and multihost_utils.reached_preemption_sync_point(next(_questions)):
            self.signal = signal.SIGTERM
        return self.signal is not None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        departure.await_end(number, frame)
        if self._signalled and number == signal.SIGINT and not departure.watching:
            raise KeyboardInterrupt  # Asked twice by hand: leave at once.
        self._signalled = True
        if self._shared:
            os.kill(os.getpid(), signal.SIGTERM)  # jax's to catch; it tells the others.
        else:
            self.signal = signal.Signals(number)


@contextmanager
def catch_signals() -> Iterator[Interrupt]:
    """Catches SIGTERM and SIGINT inside the block, and puts the old handlers back.

    Among several processes SIGTERM is jax's to catch, from the start; after the block
    it is the caller's.

    Python delivers signals to the main thread only; called from another one, nothing
    is caught and nothing ever asks.
    """
    shared = jax.process_count() > 1
    interrupt = Interrupt(shared=shared)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    caught = (signal.SIGINT,) if shared else (signal.SIGTERM, signal.SIGINT)
    old = {number: signal.signal(number, interrupt._ask) for number in caught}
    if shared:
        old[signal.SIGTERM] = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
        interrupt.hold()  # One process alone must not leave.
    try:
        yield interrupt
    finally:
        if interrupt.signal is None:  # Else the caller is about to end, and says so.
            departure.kept_for = ""
        for number, handler in old.items():
            signal.signal(number, handler)
