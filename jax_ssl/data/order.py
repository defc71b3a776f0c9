"""Which rows are in batch s: a pure function of (seed, step), and its batches.

Every epoch has its own permutation; the rows left over when the batch size does not
divide the data set are dropped, other ones in each epoch. A run needs to save nothing
but its step to continue with the very next batch, on any number of hosts.

Where a `Share` of each batch is labelled, an epoch is a pass over the examples without
labels. Those with labels have an order of their own, which begins anew as often as it
must, also within a batch.
"""

import functools
import itertools
import math
import os
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.corrupt import Reader
from jax_ssl.data.source import Rows, Source

Places = tuple[np.ndarray, np.ndarray]  # An order of all rows; positions in it.


class Share(NamedTuple):
    """How many rows of a batch have labels, where others have none.

    They are spread evenly over the batch, so that equal runs of its rows, which devices
    and chunks take, hold equally many or one more.

    Attributes:
        rows: L, of each batch; 0 where the examples are of one kind.
        examples: n, of the data set; they are its first ones.
    """

    rows: int = 0
    examples: int = 0


ONE_KIND = Share()


@functools.lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """Order of the rows in an epoch, [N] int64, read-only.

    Row r is sorted by the r-th 64-bit word of Philox-4x64-10 (Salmon et al., "Parallel
    random numbers: as easy as 1, 2, 3", 2011) with the key (seed, epoch). NumPy keeps
    that stream fixed in all versions, which it does not promise for its shuffles.
    """
    key = np.array([seed % 2**64, epoch], np.uint64)
    words = np.random.Philox(key=key).random_raw(num_examples)
    order = np.argsort(words, kind="stable")
    order.flags.writeable = False
    return order


@functools.lru_cache(maxsize=2)
def _two_orders(
    seed: int, epochs: tuple[int, int], num_examples: int, n: int
) -> np.ndarray:
    """Two orders of the n labelled rows, of its epoch and the next, then the others."""
    known, epoch = epochs
    # Keys that no epoch of the others has.
    first = [permutation(seed, 2**63 + e, n) for e in (known, known + 1)]
    return np.concatenate([*first, n + permutation(seed, epoch, num_examples - n)])


def steps_per_epoch(batch_size: int, num_examples: int, share: Share = ONE_KIND) -> int:
    """Full batches in an epoch, N // B; with a share (N - n) // (B - L).

    Raises:
        ValueError: if the data set does not fill one batch.
    """
    if share.rows:
        others = batch_size - share.rows, num_examples - share.examples
        if share.rows > share.examples or others[0] > others[1]:
            raise ValueError(
                f"feed.labelled = {share.rows} of feed.batch_size = {batch_size} rows "
                f"do not fit a data set of {share.examples} labelled and {others[1]} "
                "other examples; a batch holds each of them once at most."
            )
        return others[1] // others[0]
    if batch_size < 1 or num_examples < batch_size:
        raise ValueError(
            f"feed.batch_size = {batch_size} does not fit a data set of {num_examples} "
            f"examples; choose a batch size from 1 to {num_examples}."
        )
    return num_examples // batch_size


def rows_of_step(
    seed: int, step: int, batch_size: int, num_examples: int, share: Share = ONE_KIND
) -> np.ndarray:
    """Rows of the global batch of a step.

    Args:
        seed: of the run.
        step: from 0; steps continue over epochs, N // B of them in each.
        batch_size: B, of the global batch.
        num_examples: N.
        share: of labelled rows, at places i for which (i + 1) L / B reaches the next
            whole number.

    Returns:
        [B] int64, rows in 0 ... N - 1, distinct but for labelled ones in a batch in
        which their order begins anew.

    Raises:
        ValueError: if N < B, or for a negative step.
    """
    order, places = _places(seed, step, batch_size, num_examples, share)
    return order[places]


def _places(
    seed: int, step: int, batch_size: int, num_examples: int, share: Share
) -> Places:
    checks.at_least(0, step=step)
    epoch, number = divmod(step, steps_per_epoch(batch_size, num_examples, share))
    if not share.rows:
        places = number * batch_size + np.arange(batch_size)
        return permutation(seed, epoch, num_examples), places
    L, n = share
    others = batch_size - L
    known, place = divmod(step * L, n)
    counts = np.arange(batch_size + 1) * L // batch_size
    labelled = np.diff(counts) > 0
    places = np.empty(batch_size, np.int64)
    places[labelled] = place + np.arange(L)
    places[~labelled] = 2 * n + number * others + np.arange(others)
    return _two_orders(seed, (known, epoch), num_examples, n), places


def batches(
    source: Source,
    *,
    seed: int,
    batch_size: int,
    start: int = 0,
    stop: int | None = None,
    process: int = 0,
    count: int = 1,
    workers: int = 0,
    reader: Reader | None = None,
    share: Share = ONE_KIND,
) -> Generator[Rows, None, None]:
    """The batches of steps start ... stop - 1, decoded ahead by threads.

    Process p of P reads rows [p B / P, (p + 1) B / P) of the same global list, so a run
    does not depend on the number of hosts. A corrupt example at position i of the
    epoch's permutation gives way to the next good one after i; no other row moves.

    Args:
        source: where rows come from.
        seed: of the run.
        batch_size: B, of the global batch, over all processes.
        start: first step.
        stop: the step to end before, or None for no end.
        process: p, from 0.
        count: P.
        workers: threads that read and decode; 0 for one per core.
        reader: of the same source, which counts what is corrupt and says how much may
            be; a new one unless given.
        share: of labelled rows.

    Returns:
        Generator of {name: [B / P, ...]}; closing it ends its threads. Nothing is read
        before its first `next`.

    Raises:
        ValueError: if N < B or P does not divide B.
        TooManyCorrupt: from `next`, if more is corrupt than the reader allows.
    """
    num_examples = len(source)
    steps_per_epoch(batch_size, num_examples, share)
    if not 0 <= process < count or batch_size % count:
        raise ValueError(
            f"process {process} of {count} cannot take an equal share of "
            f"feed.batch_size = {batch_size}; choose a multiple of {count}."
        )
    first, last = (p * batch_size // count for p in (process, process + 1))
    steps = itertools.count(start) if stop is None else range(start, stop)

    def places() -> Iterable[Places]:
        for step in steps:
            order, everyone = _places(seed, step, batch_size, num_examples, share)
            yield order, everyone[first:last]

    return decoded(reader or Reader(source), places(), last - first, workers)


def sweep(
    source: Source,
    *,
    batch_size: int,
    workers: int = 0,
    reader: Reader | None = None,
) -> Generator[Rows, None, None]:
    """Every row once in data-set order; the last batch is short if need be.

    A corrupt example gives way to the next good one, whose "index" it then carries, so
    that the n-th example yielded always stands for row n.

    Args:
        source: where rows come from.
        batch_size: rows of a batch.
        workers: threads that read and decode; 0 for one per core.
        reader: of the same source, which counts what is corrupt and says how much may
            be; a new one unless given.

    Returns:
        Generator of {name: [B, ...]}; closing it ends its threads.

    Raises:
        TooManyCorrupt: from `next`, if more is corrupt than the reader allows.
    """
    order = np.arange(len(source))
    places = ((order, order[i : i + batch_size]) for i in order[::batch_size])
    return decoded(reader or Reader(source), places, batch_size, workers)


def decoded(
    reader: Reader, lists: Iterable[Places], size: int, workers: int = 0
) -> Generator[Rows, None, None]:
    """What `reader` reads for each of the lists, in order, ahead and by threads.

    Args:
        reader: its answers for pieces of a list are concatenated.
        lists: (order [N], places [n]) of each batch, n at least 1.
        size: the usual n.
        workers: threads; 0 for one per core.

    Returns:
        Generator; closing it ends its threads.
    """
    # A batch is cut into pieces that all threads share, so the first one comes early.
    workers = workers or min(os.cpu_count() or 1, 32)
    piece = max(8, min(64, math.ceil(size / workers)))
    depth = max(2, math.ceil(2 * workers * piece / size))  # Batches under way.
    ahead: deque[list[Future[Rows]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="jax_ssl-decode")
    try:
        for order, places in lists:
            cuts = [places[i : i + piece] for i in range(0, len(places), piece)]
            ahead.append([pool.submit(reader.read, order, cut) for cut in cuts])
            if len(ahead) > depth:
                yield _joined(ahead.popleft())
        while ahead:
            yield _joined(ahead.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _joined(pieces: list[Future[Rows]]) -> Rows:
    parts = [piece.result() for piece in pieces]
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
