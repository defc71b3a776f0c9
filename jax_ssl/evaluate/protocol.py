"""Protocols are values: how one paper judges a frozen encoder.

A file of this folder holds one protocol, a factory whose keyword-only arguments are its
settings, and the table `PROTOCOLS` names it. Everything that runs, prints or draws
results reads the values below and no names.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from jax_ssl.core.fields import Kind
from jax_ssl.core.types import Array, Variables
from jax_ssl.evaluate.part import Part

# The encoder's variables and examples [B, ...] to features [B, ...].
Reader: TypeAlias = Callable[[Variables, Array], Array]
Reads: TypeAlias = Literal["pooled", "grid", "pyramid", "prediction", "head"]


@dataclass(frozen=True)
class Metric:
    """A number that a protocol measures.

    Attributes:
        name: such as "accuracy".
        unit: "%" for fractions, "px", "m", or "" for plain numbers.
        better: which is better, "higher" or "lower".
    """

    name: str
    unit: str = "%"
    better: Literal["higher", "lower"] = "higher"


ACCURACY = (Metric("accuracy"), Metric("accuracy_top5"))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one setting of a protocol says of one kind of features.

    Attributes:
        title: of its column, such as "20-NN".
        settings: that were used, JSON values.
        values: by the name of the metric; None where it has no meaning.
        spread: standard deviation of the first, over draws or seeds, if there is one.
        detail: JSON values for results.json; its "note" is printed.
        remark: a sentence about the settings, for below a table.
        along: where it lies on a curve through the outcomes of the protocols of its
            name, such as ("layer", 3), if there is such a curve.
    """

    title: str
    settings: Mapping[str, Any]
    values: Mapping[str, float | None]
    spread: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""
    along: tuple[str, float] | None = None


@dataclass(frozen=True)
class Skipped:
    """Why the data do not allow one setting of a protocol.

    Attributes:
        reason: a clause, such as "class 3 has 2 training images, fewer than 5".
    """

    reason: str


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one paper judges a frozen encoder; its settings are bound already.

    Attributes:
        name: the key of `PROTOCOLS`; several with one name are parts of one.
        reads: what the sweep keeps of every example.
        needs: fields that both parts of the data must have; else it is skipped.
        kind: of these fields.
        metrics: the first is the headline.
        run: (training part, test part) -> an outcome for each setting that it tries, in
            an order that does not depend on the features.
        reader: what reads the examples in the place of the encoder; its answer stands
            for what `reads` names.
        places: of the grid that are read of every example, as many of the control by
            MFCCs; 0 where one vector is read.
        controls: whether untrained features and raw input stand beside the result.
        alone: whether what it reads is large, so that the data are swept for it by
            itself, after the others, and no other features are held meanwhile.
        per_class: labelled training examples of every class, by the first field of
            `needs`, without which some of its settings are skipped.
    """

    name: str
    reads: Reads = "pooled"
    needs: tuple[str, ...] = ("label",)
    kind: Kind = "label"
    metrics: tuple[Metric, ...] = ACCURACY
    run: Callable[[Part, Part], Iterable[Outcome | Skipped]]
    reader: Reader | None = None
    places: int = 0
    controls: bool = True
    alone: bool = False
    per_class: int = 0


def classes_of(
    train: Part, test: Part, label: str = "label"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The classes of both parts, and the places of their examples' labels among them.

    Labels may be any integers, such as catalogue numbers: what a protocol costs depends
    on how many different ones there are.

    Args:
        train: with the field `label`.
        test: with the field `label`.
        label: name of the field.

    Returns:
        (labels that occur, rising [C]; [n] int32 and [m] int32, numbers of classes,
        -1 where an example does not count).
    """
    classes = np.unique(
        np.concatenate([part.fields[label][part.counts] for part in (train, test)])
    )

    def numbers(part: Part) -> np.ndarray:
        found = np.searchsorted(classes, part.fields[label])
        return np.where(part.counts, found, -1).astype(np.int32)

    return classes, numbers(train), numbers(test)
