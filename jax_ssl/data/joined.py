"""Two sources one after the other, as one."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from jax_ssl.data.classes import renumbered
from jax_ssl.data.source import CorruptExamples, Rows, Source


@dataclass(frozen=True, eq=False)
class Joined(Source):
    """The rows of one source and then those of another; made by `joined`."""

    parts: tuple[Source, Source]

    def keep(self, names: Iterable[str]) -> Source:
        """The same rows with these fields alone."""
        first, second = (part.keep(names) for part in self.parts)
        fields = {name: self.fields[name] for name in first.fields}
        return replace(self, fields=fields, parts=(first, second))

    def listed(self) -> Iterable[bytes | memoryview]:  # noqa: D102
        for part in self.parts:
            yield from part.listed()

    def stored(self, row: int) -> bytes | memoryview:  # noqa: D102
        first, second = self.parts
        late = row >= len(first)
        return (second if late else first).stored(row - late * len(first))

    def raw(self, count: int) -> list[np.ndarray]:  # noqa: D102
        return self.parts[0].raw(count)

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        late = rows >= len(self.parts[0])
        found: Rows = {}
        reasons: dict[int, str] = {}
        for part, mine, start in (
            (self.parts[0], ~late, 0),
            (self.parts[1], late, len(self.parts[0])),
        ):
            if not mine.any():
                continue
            try:
                read = part[rows[mine] - start]
            except CorruptExamples as error:
                reasons |= {row + start: why for row, why in error.reasons.items()}
                continue
            for name in self.fields.keys() - {"index"}:
                values = read[name]
                shape = (len(rows), *values.shape[1:])
                found.setdefault(name, np.zeros(shape, values.dtype))[mine] = values
        if reasons:
            raise CorruptExamples(reasons)
        return found


def joined(first: Source, second: Source) -> Source:
    """The rows of two sources with the same fields, those of `first` before the others.

    Raises:
        ValueError: if a field is not in both with the same shape, or `second` has a
            class that `first` lacks.
    """
    second, _ = renumbered(second, first.fields)
    for name in first.fields.keys() | second.fields.keys():
        own, other = first.fields.get(name), second.fields.get(name)
        if (
            own is None
            or other is None
            or (own.shape, own.dtype)
            != (
                other.shape,
                other.dtype,
            )
        ):
            raise ValueError(
                f"{first.name} and {second.name} cannot be joined: they differ in the "
                f"field {name!r}."
            )
    total = len(first) + len(second)
    name = f"{first.name} and {second.name}"
    return Joined(name, first.fields, total, (first, second))
