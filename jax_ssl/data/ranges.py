"""Which of an image's numbers are black and which are white.

Cameras, microscopes and scanners write 10, 12 or 14 bits into 16, and floats of any
size. Their files do not say what is white; the setting `data.range` does.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jax_ssl.core.fields import Field
from jax_ssl.data.source import Rows

# (black, white): numbers as they are stored, or percentiles of an image, as "0.5%".
Range = tuple[float | str, float | str]

ADVICE = (
    "set data.range to the numbers that are black and white, such as (0, 4095) for 12 "
    "bits, or to percentiles of each image, such as ('0.1%', '99.9%')"
)
MEANT = (
    "two finite numbers, the first below the second, such as (0, 4095), or percentiles "
    "from '0%' to '100%', such as ('0.1%', '99.9%')"
)
# What few pixels hold is not in use: they may be dead, or letters burnt into a scan.
OUTSIDE = 0.001
LITTLE = 0.5  # A smaller share of the range in use is worth a warning.


def check_range(range: Range | None) -> None:
    """Refuses what are not two rising numbers or percentiles.

    Raises:
        ValueError: naming the value.
    """
    if range is None:
        return
    try:
        low, high = map(_percentile, range)
        alike = isinstance(range[0], str) == isinstance(range[1], str)
        if np.isfinite([low, high]).all() and (low < high or not alike):
            return
    except ValueError:
        pass
    raise ValueError(f"data.range = {range!r} must be {MEANT}.")


def bounds(values: np.ndarray, range: Range) -> tuple[float, float]:
    """The numbers of an image that are black and white.

    Args:
        values: all numbers of the image, of any shape; those that are not finite are
            left out.
        range: their setting.
    """
    finite = values
    if values.dtype.kind == "f" and any(isinstance(end, str) for end in range):
        finite = values[np.isfinite(values)]
    low, high = (
        (float(np.percentile(finite, _percentile(end))) if finite.size else 0.0)
        if isinstance(end, str)
        else float(end)
        for end in range
    )
    return low, high


def in_range(
    values: np.ndarray, low: float, high: float, dtype: np.dtype
) -> np.ndarray:
    """Numbers as brightness from black (`low` and below) to white (`high` and above).

    Args:
        values: numbers of any dtype; NaN, which stands for no data, becomes black.
        low: black.
        high: white; where it is `low`, all above it is white.
        dtype: uint8, 0 ... 255, or float32, 0 ... 1, of the result.
    """
    if dtype == np.uint8 and values.dtype in (np.uint8, np.uint16):
        # Deep images are large: a table spares their copies as floats.
        every = np.arange(np.iinfo(values.dtype).max + 1)
        return in_range(every, low, high, dtype)[values]
    exact = np.float64 if values.dtype.kind != "f" else np.float32
    with np.errstate(over="ignore", invalid="ignore"):
        out = np.subtract(values, low, dtype=np.result_type(values, exact))
        out /= (high - low) or np.finfo(np.float32).tiny
    out = np.nan_to_num(out.clip(0, 1))
    return np.rint(255 * out).astype(dtype) if dtype == np.uint8 else out.astype(dtype)


def range_report(
    rows: Rows,
    fields: Mapping[str, Field],
    advice: str = ADVICE,
    *,
    range: Range | None = None,
    raw: Callable[[], Sequence[np.ndarray]] = tuple,
) -> str | None:
    """A sentence for data sets whose images use little of the range of their numbers.

    Args:
        rows: a sample of examples; of images on a canvas only the filled part counts.
        fields: of the source.
        advice: what to do about it.
        range: that is set.
        raw: gives numbers of some of the images before the range was applied; asked
            only where all are black or all white.

    Returns:
        The share in use and the advice; None where it is at least half of the range.
    """
    for name, field in fields.items():
        if field.kind not in ("image", "frames") or name not in rows:
            continue
        images = list(rows[name])
        if field.kind == "image" and "size" in rows:
            pairs = zip(images, rows["size"], strict=True)
            images = [image[:height, :width] for image, (height, width) in pairs]
        pixels = [image.reshape(-1, image.shape[-1]) for image in images]
        # Some of the pixels of each are enough.
        values = np.concatenate([x[:: max(1, len(x) // 2**14)] for x in pixels])
        low, high = np.quantile(values, (OUTSIDE, 1 - OUTSIDE))
        top = 255 if field.dtype == np.uint8 else 1
        if (share := (high - low) / top) < LITTLE:
            flat = range is not None and low == high and low in (0, top)
            if flat and range is not None and (said := _outside(name, range, raw())):
                return said
            return (
                f"data.range: nearly all numbers of {name!r} lie between {low:.3g} and "
                f"{high:.3g} of {top}, {share:.1%} of the range, so that the images "
                f"show little; {advice}."
            )
    return None


def _outside(name: str, range: Range, raw: Sequence[np.ndarray]) -> str:
    """Why images are black or white all over, by the numbers they had; "" if unclear.

    Args:
        name: of their field.
        range: that was applied.
        raw: numbers of some of them before, of any shapes.
    """
    every = [values.reshape(-1)[:: max(1, values.size // 2**14)] for values in raw]
    values = np.concatenate([np.zeros(0), *every])
    known = values[np.isfinite(values)]
    if not len(values):
        return ""
    if len(known) <= OUTSIDE * len(values):
        return (
            f"data: nearly all numbers of {name!r} are NaN or infinite as they are "
            "stored, so that the images show nothing; repair them or leave them out."
        )
    low = np.quantile(known, OUTSIDE, method="lower")
    high = np.quantile(known, 1 - OUTSIDE, method="higher")
    ends = [end for end in range if not isinstance(end, str)]
    if len(ends) == 2 and (low >= ends[1] or high <= ends[0]):
        side = "above the upper" if low >= ends[1] else "below the lower"
        return (
            f"data.range: nearly all numbers of {name!r} lie at or {side} end of "
            f"data.range = {tuple(range)}: they are {low:g} to {high:g}, so that the "
            f"images show nothing; set data.range to black and white among these, such "
            f"as ({low:g}, {high:g}), or to percentiles of each image, such as "
            "('0.1%', '99.9%')."
        )
    return ""


def _percentile(end: float | str) -> float:
    """The number of a setting, without its sign of per cent.

    Raises:
        ValueError: if it is a word that is not a percentage.
    """
    if not isinstance(end, str):
        return float(end)
    share = float(end[:-1]) if end.endswith("%") else -1.0
    if not 0 <= share <= 100:
        raise ValueError
    return share
