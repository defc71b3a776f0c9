"""Files that cannot be decoded: replaced by a fixed rule, counted, and named.

In a folder of a million images some are broken. One of them must not end a run, and
many of them must not pass unseen.
"""

import logging
import threading
import time
from collections.abc import Mapping

import numpy as np

from jax_ssl.data.source import CorruptExamples, Rows, Source

MAX_CORRUPT_SHARE = 0.01
# The share is taken of at least so many rows, or one bad file in the first batch would
# exceed it.
FEWEST_ROWS = 1000

log = logging.getLogger(__name__)


class TooManyCorrupt(Exception):  # noqa: N818 - named like CorruptExamples
    """More of the rows seen are corrupt than the run allows.

    Attributes:
        reasons: row -> file name and what is wrong with it, for all found so far.
    """

    def __init__(self, reasons: Mapping[int, str], seen: int, name: str) -> None:
        self.reasons = dict(reasons)
        listed = list(self.reasons.values())
        more = f"\n  and {len(listed) - 50} more" if len(listed) > 50 else ""
        super().__init__(
            f"{name}: {len(listed)} of the {seen} examples read cannot be used; repair "
            "or remove them, or change the settings that are named:\n  "
            + "\n  ".join(listed[:50])
            + more
        )


class Reader:
    """Reads rows of a source in a given order, stepping over the corrupt ones.

    Which row replaces a corrupt one depends on the order and the files alone, not on
    what was read before; the record of bad rows only spares trying them again. Safe to
    share between threads.

    Attributes:
        bad: row -> file name and what is wrong with it, for all found so far.
        seen: rows asked for, at most all.
        seconds: that threads have spent in reading and decoding, added up.
        decoded: examples that they read in that time.
    """

    def __init__(self, source: Source, max_corrupt: float = MAX_CORRUPT_SHARE) -> None:
        self.source, self.max_corrupt = source, max_corrupt
        self.bad: dict[int, str] = {}
        self.seen = 0
        self.seconds, self.decoded = 0.0, 0
        self._lock = threading.Lock()

    def read(self, order: np.ndarray, places: np.ndarray) -> Rows:
        """Examples at `places` [n] of `order` [N], each corrupt one replaced.

        The replacement of place i is the first good one of i + 1, i + 2, ..., the end
        of the order being followed by its beginning.

        Raises:
            TooManyCorrupt: if the share of bad rows exceeds `max_corrupt`.
        """
        with self._lock:
            self.seen = min(self.seen + len(places), len(order))
        while True:
            places = self._good(order, places)
            rows = order[places]
            begun = time.perf_counter()
            try:
                found = self.source[rows]
            except CorruptExamples as error:
                if not set(error.reasons) & set(rows.tolist()):
                    raise  # The source blames rows that it was not asked for.
                self._record(error.reasons)
                continue
            with self._lock:
                self.seconds += time.perf_counter() - begun
                self.decoded += len(rows)
            return found

    def read_ms(self) -> float | None:
        """Milliseconds that one example takes one thread; None before the first."""
        with self._lock:
            return 1000 * self.seconds / self.decoded if self.decoded else None

    def _good(self, order: np.ndarray, places: np.ndarray) -> np.ndarray:
        bad = self.bad  # Replaced as a whole when another thread finds more.
        if len(bad) >= len(order):
            raise TooManyCorrupt(bad, self.seen, self.source.name)
        moved = places.copy()
        for i in np.flatnonzero(np.isin(order[places], list(bad))):
            while int(order[moved[i]]) in bad:
                moved[i] = (moved[i] + 1) % len(order)
        return moved

    def _record(self, reasons: Mapping[int, str]) -> None:
        with self._lock:
            new = {row: why for row, why in reasons.items() if row not in self.bad}
            self.bad = bad = {**self.bad, **new}
            seen = self.seen
        for why in new.values():
            log.warning("%s: left out an example: %s", self.source.name, why)
        if len(bad) > self.max_corrupt * max(seen, FEWEST_ROWS):
            raise TooManyCorrupt(bad, seen, self.source.name)


def sample(source: Source, count: int) -> Rows:
    """The same few examples of a source every time, spread over it.

    A corrupt one is replaced by the next good one.

    Args:
        source: any source.
        count: of examples, at most.
    """
    reader = Reader(source, max_corrupt=1.0)
    return reader.read(np.arange(len(source)), spread(len(source), count))


def spread(num_examples: int, count: int) -> np.ndarray:
    """At most `count` rows of so many, evenly spread, int64 and rising."""
    rows = np.linspace(0, num_examples - 1, min(count, num_examples))
    return np.unique(rows.astype(np.int64))
