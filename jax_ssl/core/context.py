"""Context variables that hold a value for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def holding(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Gives the variable a value within, and the one before back afterwards."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
