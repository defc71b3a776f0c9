"""What takes long says so: what it is, for how long it has run, how far it is.

On a terminal that is one line with a running clock; elsewhere a log line at the start
and one every ten seconds. Nothing is said where INFO is not logged.
"""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator

from jax_ssl.core.signals import departure

log = logging.getLogger(__name__)

BEAT, TICK = 10.0, 1.0  # Seconds between lines of a log, and of a terminal's clock.
CLEAR = "\r\x1b[K"  # To the start of the line, and what was there is gone.

Advance = Callable[[int], None]
_told: list[object] = []  # What is being told; the last one alone speaks.


class Lines(logging.StreamHandler):
    """Log lines that take the place of a clock or a bar on a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one."""
        if self.stream.isatty():
            self.stream.write(CLEAR)
        super().emit(record)


@contextlib.contextmanager
def telling(
    text: str, total: int = 0, *, only_if_long: bool = False
) -> Iterator[Advance]:
    """Tells of what happens inside the block.

    Args:
        text: what it is, such as "compiling (this takes a minute)".
        total: parts of it, if they are counted.
        only_if_long: whether to say nothing of it at its start and at its end.

    Yields:
        What is called with the number of parts that are done.
    """
    begun, done, ended, me = time.monotonic(), 0, threading.Event(), object()
    live = sys.stderr.isatty()

    def advance(count: int) -> None:
        nonlocal done
        done += count

    def state() -> str:
        seconds = time.monotonic() - begun
        share = f" {min(done / total, 1):.0%}," if total and done else ""
        return f"{text}…{share} {clock(seconds)}"

    def say() -> None:
        if _told[-1:] != [me]:
            return
        if live:
            sys.stderr.write(CLEAR + state()[:79])
            sys.stderr.flush()
        else:
            log.info(state())

    def beat() -> None:
        while not ended.wait(TICK if live else BEAT):
            say()

    if not log.isEnabledFor(logging.INFO):
        with departure.busy(text.partition(" (")[0]):
            yield advance
        return
    _told.append(me)
    if live:
        say()
    elif not only_if_long:
        log.info("%s…", text)
    speaker = threading.Thread(target=beat, daemon=True)
    speaker.start()
    try:
        with departure.busy(text.partition(" (")[0]):
            yield advance
    finally:
        ended.set()
        speaker.join()
        _told.remove(me)
        if live:
            sys.stderr.write(CLEAR)
    seconds = time.monotonic() - begun
    if not only_if_long and (live or seconds >= BEAT):
        log.info("%s: done in %s", text.partition(" (")[0], clock(seconds))


def clock(seconds: float) -> str:
    """Seconds as "12 s" or "1:05 min"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d} min"
