"""Curves and numbers read out of the records of metrics.jsonl."""

from collections.abc import Sequence

import numpy as np

from jax_ssl.report.blocks import Curve
from jax_ssl.report.inputs import Record
from jax_ssl.report.quantities import is_number

# Points of a curve on a page, which has hardly more pixels.
MOST = 2000


def curve(records: Sequence[Record], key: str, over: str = "step") -> Curve:
    """The curve of `key`, of the records that have it (as a number, or as NaN)."""
    found = [
        (float(record[over]), float(record[key]))
        for record in records
        if is_number(record.get(over))
        # NaN and infinity are floats, too, and leave a gap.
        and (is_number(record.get(key)) or isinstance(record.get(key), float))
    ]
    x, y = np.array(found, np.float64).reshape(-1, 2).T
    return Curve(x, np.where(np.isfinite(y), y, np.nan))


def numbers(records: Sequence[Record], key: str) -> list[float]:
    """The finite values of `key`, in order."""
    return [float(r[key]) for r in records if is_number(r.get(key))]


def radius(count: int) -> int:
    """How many records on either side a smoothed curve of `count` records averages."""
    return count // 60


def runs(count: int) -> np.ndarray:
    """Where the equal runs of `count` points begin, of which a page shows so many."""
    return np.unique(
        np.linspace(0, count, min(count, MOST), endpoint=False).astype(int)
    )


def extremes(found: Curve) -> Curve:
    """Of each of the `runs` the least and the largest value, in their order.

    A curve with no more points than a page can show stays as it is. Peaks stay.
    """
    x, y = found
    starts = runs(len(x))
    if len(starts) == len(x):
        return found
    ends = [*starts[1:], len(x)]
    kept: list[int] = []
    for start, end in zip(starts, ends, strict=True):
        piece = y[start:end]
        if np.isfinite(piece).any():
            kept += sorted({start + np.nanargmin(piece), start + np.nanargmax(piece)})
        else:
            kept.append(start)
    return Curve(x[kept], y[kept])


def trend(found: Curve) -> Curve:
    """The curve's mean over neighbours, at the ends of its `runs`."""
    x, y = found
    starts = runs(len(x))
    last = np.append(starts[1:], len(x))[: len(starts)] - 1
    if len(starts) < len(x):
        finite = np.isfinite(y)
        total = np.add.reduceat(np.where(finite, y, 0.0), starts)
        count = np.add.reduceat(finite.astype(int), starts)
        y = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return Curve(x[last], smooth(y, radius(len(y))))


def legend(count: int) -> str:
    """What the two lines of a curve of so many records are; "" where they are one."""
    shown = len(runs(count))
    reach = radius(shown)
    if not reach:
        return ""
    each = -(-count // shown)
    pale = "each record" if each == 1 else f"the extremes of each {each} records"
    return f"Pale: {pale}. Strong: the mean over {each * (2 * reach + 1)} neighbours."


def smooth(y: np.ndarray, reach: int) -> np.ndarray:
    """Mean of the finite values within `reach` records on either side.

    The window is cut off at the ends rather than padded, so a constant and a straight
    line's inner part stay what they are; NaN where the window holds nothing finite.
    """
    if not len(y):
        return y
    finite = np.isfinite(y)
    window = np.ones(2 * reach + 1)
    inner = slice(reach, reach + len(y))
    total = np.convolve(np.where(finite, y, 0.0), window)[inner]
    count = np.round(np.convolve(finite, window)[inner])
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
