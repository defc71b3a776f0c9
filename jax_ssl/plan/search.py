"""The largest batch or the fewest chunks that fit, by as few compilations as may be."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from jax_ssl.plan.planner import Planned

log = logging.getLogger(__name__)
Goal = Literal["batch", "chunks"]


def search(
    planned: Planned, goal: Goal, compile_one: Callable[[Mapping[str, Any]], Planned]
) -> tuple[Planned, list[str]]:
    """Plans a config again and again, changing only its batch or only its chunks.

    Args:
        planned: the config as it is.
        goal: "batch": the largest that fits, to an eighth; "chunks": the fewest that
            fit, among those that batch norm's groups allow.
        compile_one: config -> plan.

    Returns:
        The best plan that fits, or the one given if none does; and a line for each plan
        that was made.
    """
    experiment = planned.experiment
    config, devices = experiment.config, experiment.mesh.size
    size, chunks = experiment.feeding.batch_size, experiment.run.chunks
    groups = config["encoder"].get("groups")
    measure: Callable[[int], float]
    if goal == "batch":
        unit = math.lcm(devices * chunks, groups or 1)
        candidates, measure = batch_sizes(unit, len(experiment.source)), float
        section, key, now = "feed", "batch_size", size
    else:
        candidates, measure = chunk_counts(size, devices, groups), lambda n: 1 / n
        section, key, now = "run", "chunks", chunks
    start = sum(measure(n) < measure(now) for n in candidates)
    tried = {now: planned}
    lines: list[str] = []

    def needs(n: int) -> float:
        if n not in tried:
            tried[n] = compile_one({**config, section: {**config[section], key: n}})
        one = tried[n]
        total = f"{one.total / 1e9:.3f}" if math.isfinite(one.total) else "?"
        verdict = "fits" if one.fits else "does not fit"
        lines.append(f"{goal} {n:,}: {total} GB, {verdict} ({one.seconds:.0f} s)")
        log.info("tried %s", lines[-1])
        return one.total if one.fits or one.total > one.capacity else math.inf

    best = last_fitting(candidates, needs, planned.capacity, measure, start)
    return tried[now if best is None else best], lines


def last_fitting(
    candidates: Sequence[int],
    needs: Callable[[int], float],
    capacity: float,
    measure: Callable[[int], float] = float,
    start: int = 0,
) -> int | None:
    """The last of `candidates` that needs no more than `capacity`, or None.

    The next guess is where a line through the last two answers meets the capacity;
    where that does not halve what is left, the middle.

    Args:
        candidates: ordered by what they need, the least first.
        needs: bytes of one; asked about each at most once.
        capacity: in bytes.
        measure: of a candidate, what its bytes are roughly a line in.
        start: place of the first guess.
    """
    low, high = -1, len(candidates)  # candidates[low] fits, candidates[high] does not.
    before, at = (0.0, 0.0), start
    while high - low > 1:
        left, at = high - low, min(max(at, low + 1), high - 1)
        now = measure(candidates[at]), needs(candidates[at])
        low, high = (at, high) if now[1] <= capacity else (low, at)
        slope = (now[1] - before[1]) / (now[0] - before[0])
        bracketed = low >= 0 and high < len(candidates)
        if (bracketed and 2 * (high - low) > left) or not 0 < slope < math.inf:
            at = (low + high) // 2
        else:
            target = now[0] + (capacity - now[1]) / slope
            at = sum(measure(n) <= target for n in candidates) - 1
        before = now
    return candidates[low] if low >= 0 else None


def batch_sizes(unit: int, most: int) -> list[int]:
    """Multiples of `unit` up to `most`, at most an eighth apart, ascending.

    Args:
        unit: what a batch must be a multiple of: devices x chunks, groups.
        most: number of training images.
    """
    sizes, n = [], 1
    while n * unit <= most:
        sizes.append(n * unit)
        n += 2 ** max(0, n.bit_length() - 4)
    return sizes


def chunk_counts(batch_size: int, devices: int, groups: int | None) -> list[int]:
    """Chunk counts that a batch allows, most chunks first.

    Args:
        batch_size: of the global batch; each chunk takes as many rows of each device.
        devices: that share it.
        groups: of the encoder's batch norm, which a chunk may not cut; None for an
            encoder that has none.
    """
    rows = batch_size // devices
    return [
        n
        for n in range(rows, 0, -1)
        if rows % n == 0 and (n == 1 or groups is None or groups % (n * devices) == 0)
    ]
