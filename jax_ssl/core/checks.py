"""Checks of settings: "name = value must be ..." for what a type cannot say.

A value is a number, or a tuple or list of numbers that are checked one by one. A
schedule (any callable) passes, since its values are not known yet, and so does an array
of JAX, which may be traced. None passes too: it stands for a setting that is left out.
NaN never passes, and infinity passes only in an interval that includes it.

Example:
    >>> from jax_ssl.core import checks
    >>> checks.positive(temperature=0.1, epsilon=0.05)
    >>> checks.within("[0, 1)", momentum=1.0)
    Traceback (most recent call last):
    ValueError: momentum = 1.0 must be in [0, 1).
"""

import dataclasses
import itertools
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any

import jax


def positive(**values: Any) -> None:
    """Refuses numbers that are not finite and above 0.

    Raises:
        ValueError: naming the setting and its value.
    """
    _demand("positive", lambda number: 0 < number < float("inf"), values)


def at_least(least: float, /, **values: Any) -> None:
    """Refuses numbers that are not finite and at least `least`.

    Raises:
        ValueError: naming the setting, its value and `least`.
    """
    _demand(f"at least {least}", lambda x: least <= x < float("inf"), values)


def within(interval: str, /, **values: Any) -> None:
    """Refuses numbers outside of an interval.

    Args:
        interval: such as "[0, 1)": a square bracket includes its end, a round one does
            not; ends may be "inf".
        **values: the settings by name.

    Raises:
        ValueError: naming the setting, its value and the interval.
    """
    low, high = (float(end) for end in interval[1:-1].split(","))

    def inside(number: float) -> bool:
        above = low <= number if interval[0] == "[" else low < number
        below = number <= high if interval[-1] == "]" else number < high
        return above and below

    _demand(f"in {interval}", inside, values)


def one_of(choices: Iterable[Any], /, **values: Any) -> None:
    """Refuses what is not among `choices`; None passes only as a choice.

    Raises:
        ValueError: naming the setting, its value and the choices.
    """
    choices = tuple(choices)
    for name, value in values.items():
        if value not in choices:
            words = ", ".join(map(repr, choices))
            raise ValueError(f"{name} = {value!r} must be one of {words}.")


def words(instance: Any) -> None:
    """Refuses fields of a dataclass that are not among the words of their `Literal`.

    Raises:
        ValueError: naming the field, its value and the words.
    """
    for field in dataclasses.fields(instance):
        if typing.get_origin(field.type) is typing.Literal:
            value = getattr(instance, field.name)
            one_of(typing.get_args(field.type), **{field.name: value})


def rising(**values: float) -> None:
    """Refuses numbers of which one is above the next, in the order they are given in.

    Raises:
        ValueError: naming both settings and their values.
    """
    for (low, least), (high, most) in itertools.pairwise(values.items()):
        if not least <= most:
            raise ValueError(f"{low} = {least} must be at most {high} = {most}.")


def not_empty(**values: Any) -> None:
    """Refuses sequences without an element.

    Raises:
        ValueError: naming the setting.
    """
    for name, value in values.items():
        if not len(value):
            raise ValueError(f"{name} = {value!r} must hold at least one number.")


def distinct(**values: Any) -> None:
    """Refuses sequences that hold an element twice.

    Raises:
        ValueError: naming the setting, its value and the element.
    """
    for name, value in values.items():
        for element in value:
            if value.count(element) > 1:
                raise ValueError(
                    f"{name} = {value!r} holds {element!r} more than once; leave the "
                    "others out."
                )


def patterns(**values: Iterable[str] | None) -> None:
    """Refuses regular expressions that cannot be read.

    Raises:
        ValueError: naming the setting, the expression and what is wrong with it.
    """
    for name, value in values.items():
        for pattern in value or ():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"{name}: the pattern {pattern!r} is not a regular expression "
                    f"({error}); a sign that stands for itself needs a backslash."
                ) from error


def several_rows(rows: int, what: str) -> None:
    """Refuses a batch of one row where rows are compared with each other.

    Raises:
        ValueError: naming what compares them, and the remedy.
    """
    if rows < 2:
        raise ValueError(
            f"{what} needs 2 rows or more, and has {rows}: one alone cannot be told "
            "from others; raise feed.batch_size."
        )


def _demand(words: str, holds: Callable[[float], bool], values: dict[str, Any]) -> None:
    for name, value in values.items():
        if value is None or callable(value) or isinstance(value, jax.Array):
            continue
        numbers = value if isinstance(value, tuple | list) else (value,)
        if not all(holds(number) for number in numbers):
            raise ValueError(f"{name} = {value} must be {words}.")
