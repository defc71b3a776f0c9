"""Numbers as a person reads them."""

import math
from typing import Any

DASH = "–"


def number(value: Any, digits: int = 3) -> str:
    """A number to `digits` significant digits, thousands grouped; a dash for None."""
    if not is_number(value):
        return DASH
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def percent(fraction: Any, digits: int = 2) -> str:
    """A fraction as per cent with its sign."""
    return f"{100 * fraction:.{digits}f} %" if is_number(fraction) else DASH


def points(difference: Any) -> str:
    """A difference of fractions in percentage points, always signed."""
    if not is_number(difference):
        return DASH
    return f"{100 * difference:+.2f}".replace("-", "−")


def duration(seconds: Any) -> str:
    """Seconds in the two largest units that say something."""
    if not is_number(seconds):
        return DASH
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def size(num_bytes: Any) -> str:
    """Bytes in binary units."""
    if not is_number(num_bytes):
        return DASH
    value = float(num_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def plural(count: int, noun: str) -> str:
    """`1 class`, `2 classes`."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{'' if count == 1 else ending}"


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, and not a truth value."""
    try:
        return not isinstance(value, bool | str) and math.isfinite(value)
    except TypeError:
        return False
