"""A few labelled examples of every class, drawn once: alone, or before all others."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from jax_ssl.data.cache import load
from jax_ssl.data.corrupt import Reader
from jax_ssl.data.source import CorruptExamples, Rows, Source

NO_LABEL = np.int32(-1)


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


@dataclass(frozen=True, eq=False)
class PartlyLabelled(Chosen):
    """All rows of a source, first those that have a label; see `partly_labelled`."""

    num_labelled: int
    label: str

    def listed(self) -> Iterable[bytes | memoryview]:  # noqa: D102
        yield from super().listed()
        yield str(self.num_labelled).encode()

    def read(self, rows: np.ndarray) -> Rows:  # noqa: D102
        found = super().read(rows)
        if self.label in found:
            known = found[self.label]
            found[self.label] = np.where(rows < self.num_labelled, known, NO_LABEL)
        return found


def partly_labelled(
    source: Source, count: int | None, *, seed: int, label: str = "label"
) -> PartlyLabelled:
    """The same examples, of which some have a label and all others -1, which is none.

    Those with a label come first, and rows of both kinds are in their order in the
    source. The labels of the others are not handed out, to training or to evaluation.

    Args:
        source: with labels; examples whose label is negative have none.
        count: how many of each class keep their label, those of `few_of_each`; None for
            all that have one.
        seed: of the choice.
        label: the field.

    Raises:
        ValueError: as `few_of_each` does, or if all examples have a label.
    """
    rows = _labelled(source, count, seed, label)
    if len(rows) == len(source):
        raise ValueError(
            f"feed.labelled: all {len(source)} examples of {source.name} have a label; "
            "say with feed.labels_per_class how many of each class shall keep it."
        )
    others = np.setdiff1d(np.arange(len(source)), rows)
    name = f"{source.name}, {len(rows)} of them with a label"
    order = np.concatenate([rows, others])
    return PartlyLabelled(
        name, source.fields, len(order), source, order, len(rows), label
    )


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
    rows = _labelled(source, count, seed, label)
    name = f"{source.name}, {count} of each class"
    return Chosen(name, source.fields, len(rows), source, rows)


def _labelled(source: Source, count: int | None, seed: int, label: str) -> np.ndarray:
    """Rows of so many examples of each class, or of all that have a label, rising."""
    if label not in source.fields:
        raise ValueError(
            f"labels_per_class = {count}: {source.name} has no field {label!r} to "
            f"choose by; it has {sorted(source.fields)}."
        )
    kept = source.keep([label])
    labels = load(kept, reader=Reader(kept, max_corrupt=1.0))[label]
    if count is None:
        return np.flatnonzero(labels >= 0)
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
    return np.sort(np.concatenate(chosen)).astype(np.int64)
