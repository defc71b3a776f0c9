"""Waves of different lengths as rows of one array.

The rule is the same for every source: of a longer wave the first samples stay, a
shorter one is followed by zeros, and the field "length" says how many samples are its
own. Views of waves look at no others.
"""

from collections.abc import Iterable

import numpy as np

from jax_ssl.core import checks


def laid(waves: Iterable[np.ndarray], samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Waves of any lengths as rows of one.

    Args:
        waves: [t] each.
        samples: T, of a row.

    Returns:
        ([N, T] float32; [N] int32, how many samples of each row are its own).
    """
    rows, lengths = [], []
    for wave in waves:
        row = np.zeros(samples, np.float32)
        kept = wave[:samples]
        row[: len(kept)] = kept
        rows.append(row)
        lengths.append(len(kept))
    return np.stack(rows), np.array(lengths, np.int32)


def apart(
    joined: np.ndarray, offsets: np.ndarray, samples: int | None, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Waves that lie one after the other in one array, as rows of one length.

    Args:
        joined: [total] float in [-1, 1], or int16.
        offsets: [N + 1] integers: wave i is joined[offsets[i] : offsets[i + 1]].
        samples: T, of a row; that of the longest unless given.
        what: they are called in messages.

    Returns:
        As `laid`.

    Raises:
        ValueError: if the offsets do not rise from 0 to the end of the samples, or a
            wave is empty.
    """
    offsets = np.asarray(offsets)
    lengths = np.diff(offsets)
    whole = offsets.ndim == 1 and offsets.dtype.kind in "iu" and len(lengths) > 0
    if not (whole and offsets[0] == 0 and offsets[-1] == len(joined)):
        raise ValueError(
            f"{what}: the offsets must be integers from 0 to {len(joined)}, the number "
            f"of samples, wave i being joined[offsets[i] : offsets[i + 1]]."
        )
    if lengths.min() < 1:
        raise ValueError(f"{what}: wave {int(lengths.argmin())} holds no sample.")
    samples = int(lengths.max()) if samples is None else samples
    checks.at_least(1, samples=samples)
    if joined.dtype == np.int16:
        joined = joined.astype(np.float32) / 32768
    return laid(np.split(joined, offsets[1:-1]), samples)
