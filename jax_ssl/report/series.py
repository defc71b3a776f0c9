"""Curves and numbers read out of the records of metrics.jsonl."""

from collections.abc import Sequence

import numpy as np

from jax_ssl.report.blocks import Curve
from jax_ssl.report.inputs import Record
from jax_ssl.report.quantities import is_number


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
