"""A few labelled examples of every class, drawn once, to learn from them alone."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from jax_ssl.data.cache import load
from jax_ssl.data.corrupt import Reader
from jax_ssl.data.source import CorruptExamples, Rows, Source


@dataclass(frozen=True, eq=False)
class Chosen(Source):
    """Some rows of a source, in their order there."""

    source: Source
    rows: np.ndarray  # [n] int64

    def keep(self, names: Iterable[str]) -> Source:
        """The same rows with these fields alone."""
        inner = self.source.keep(names)
        fields = {name: self.fields[name] for name in inner.fields}
        return replace(self, fields=fields, source=inner)

    def listed(self) -> Iterable[bytes | memoryview]:  # noqa: D102
        yield from self.source.listed()
        yield self.rows.tobytes()

    def stored(self, row: int) -> bytes | memoryview:  # noqa: D102
        return self.source.stored(int(self.rows[row]))

    def raw(self, count: int) -> list[np.ndarray]:  # noqa: D102
        return self.source.raw(count)

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        try:
            found = self.source[self.rows[rows]]
        except CorruptExamples as error:
            places = {int(there): here for here, there in enumerate(self.rows)}
            reasons = {places[row]: why for row, why in error.reasons.items()}
            raise CorruptExamples(reasons) from error
        return {name: found[name] for name in self.fields if name != "index"}


def few_of_each(
    source: Source, count: int, *, seed: int, label: str = "label"
) -> Source:
    """So many examples of every class, the same ones for a seed.

    All labels are read. Fewer examples of one seed are among the more.

    Args:
        source: with labels; examples whose label is negative have none.
        count: n, of each class.
        seed: of the choice.
        label: the field.

    Raises:
        ValueError: if there are no labels, or a class has fewer examples, naming it.
    """
    if label not in source.fields:
        raise ValueError(
            f"labels_per_class = {count}: {source.name} has no field {label!r} to "
            f"choose by; it has {sorted(source.fields)}."
        )
    kept = source.keep([label])
    labels = load(kept, reader=Reader(kept, max_corrupt=1.0))[label]
    chosen = []
    for number in np.unique(labels[labels >= 0]).tolist():
        rows = np.flatnonzero(labels == number)
        if len(rows) < count:
            names = source.fields[label].names
            word = number if names is None else repr(names[number])
            raise ValueError(
                f"class {word} of {source.name} has {len(rows)} examples, fewer than "
                f"labels_per_class = {count}."
            )
        order = np.random.default_rng([seed, number]).permutation(rows)
        chosen.append(order[:count])
    rows = np.sort(np.concatenate(chosen)).astype(np.int64)
    name = f"{source.name}, {count} of each class"
    return Chosen(name, source.fields, len(rows), source, rows)
