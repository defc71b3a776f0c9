"""Numbers as a person reads them."""

import math
from typing import Any

DASH = "–"


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, and not a truth value."""
    try:
        return not isinstance(value, bool | str) and math.isfinite(value)
    except TypeError:
        return False


def number(value: Any, digits: int = 3) -> str:
    """A number to `digits` significant digits, thousands grouped; a dash for None."""
    if not is_number(value):
        return DASH
    if value == int(value) or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def quantity(value: Any, unit: str) -> str:
    """A number and its unit; a fraction in "%" as per cent."""
    if unit == "%" and is_number(value):
        return f"{100 * value:.2f} %"
    return f"{number(value, 4)} {unit}".rstrip() if is_number(value) else DASH


def duration(seconds: float) -> str:
    """Seconds in the two largest units that say something."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60:,} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def plural(count: int, noun: str) -> str:
    """`1 class`, `2 classes`, `3 diagnoses`."""
    many = f"{noun.removesuffix('is')}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else many}"
