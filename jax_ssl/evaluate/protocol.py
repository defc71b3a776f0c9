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
from jax_ssl.core.method import PredictFn
from jax_ssl.core.types import Array, Example, PyTree, Variables, Views
from jax_ssl.evaluate.part import Part

# The encoder's variables and examples [B, ...] to features [B, ...], or a tree of them
# for a protocol that asks for passes.
Reader: TypeAlias = Callable[[Variables, Array], PyTree]
# What is said of one example, by name, and its fields to the numbers [M] that are kept.
Measure: TypeAlias = Callable[[Mapping[str, Array], Example], Array]
# What the view makes of one example, and its fields, to what can be said without a
# network, by name.
Baseline: TypeAlias = Callable[[Views, Example], Mapping[str, Array]]
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
        spread: standard deviation of the first, over draws or seeds, if there is one;
            or half an interval, where the remark says so.
        detail: JSON values for results.json; its "note" is printed.
        remark: a sentence about the settings, for below a table.
        tracks: paths [n, 2] to be drawn in a plane, by what they are of, and by "true"
            and "found".
        along: where it lies on a curve through the outcomes of the protocols of its
            name, such as ("layer", 3), if there is such a curve.
    """

    title: str
    settings: Mapping[str, Any]
    values: Mapping[str, float | None]
    spread: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""
    tracks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    along: tuple[str, float] | None = None


@dataclass(frozen=True)
class Skipped:
    """Why the data do not allow one setting of a protocol.

    Attributes:
        reason: a clause, such as "class 3 has 2 training images, fewer than 5".
    """

    reason: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How what a method predicts is compared with the labels, one example at a time.

    It happens on the devices while the data are swept: maps and dense labels stay
    there, and a few numbers of each example are kept.

    Attributes:
        predictions: keys of `Method.predicts`, all of which the method must have.
        measure: makes the numbers, of the same length for every example, and finite
            for whatever labels there are. A field that the view carries is as the view
            shows it, any other as the data have it, with its "size" on a canvas.
        baselines: controls by name, in the place of a network. Some know the labels,
            which makes them harder to beat.
        optional: fields that `measure` reads where the data have them.
        around: makes of the function that predicts the one that is used, such as the
            mean with the prediction of the mirrored image.
        carried: fields that the view must carry, for a prediction is in its pixels.
    """

    predictions: tuple[str, ...]
    measure: Measure
    baselines: Mapping[str, Baseline] = field(default_factory=dict, hash=False)
    optional: tuple[str, ...] = ("size",)
    around: Callable[[PredictFn], PredictFn] | None = None
    carried: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one paper judges a frozen encoder, or what a method predicts.

    Its settings are bound already.

    Attributes:
        name: the key of `PROTOCOLS`; several with one name are parts of one.
        reads: what the sweep keeps of every example.
        needs: fields that both parts of the data must have; else it is skipped.
        kind: of these fields; a tuple where they differ.
        metrics: the first is the headline.
        run: (training part, test part) -> an outcome for each setting that it tries, in
            an order that does not depend on the features. Where nothing is learned,
            both are the test part; where predictions are measured, its values are the
            numbers of each example.
        reader: what reads the examples in the place of the encoder; its answer stands
            for what `reads` names.
        places: of the grid that are read of every example, as many of the control by
            MFCCs; 0 where one vector is read.
        controls: whether untrained features and raw input stand beside the result.
        alone: whether what it reads is large, so that the data are swept for it by
            itself, after the others, and no other features are held meanwhile.
        per_class: labelled training examples of every class, by the first field of
            `needs`, without which some of its settings are skipped.
        measured: how predictions are compared with the labels; None where features are
            judged.
        learns: whether it reads the training part at all.
        optional: fields beside `needs` that it reads where the data have them.
        passes: whether it goes through the examples by itself, as often as it likes:
            `run` is given two `Passes` in the place of parts.
        raw: what reads the input itself as a control where that is no vector.
        told_apart: in which part the classes occur that are told apart, where labels
            are predicted. Of one class alone there is nothing to tell, and it is
            skipped.
    """

    name: str
    reads: Reads = "pooled"
    needs: tuple[str, ...] = ("label",)
    kind: Kind | tuple[Kind, ...] = "label"
    metrics: tuple[Metric, ...] = ACCURACY
    run: Callable[[Any, Any], Iterable[Outcome | Skipped]]
    reader: Reader | None = None
    places: int = 0
    controls: bool = True
    alone: bool = False
    per_class: int = 0
    measured: Measured | None = None
    learns: bool = True
    optional: tuple[str, ...] = ()
    passes: bool = False
    raw: Reader | None = None
    told_apart: Literal["train", "test", "both"] = "train"

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that it reads, of which those of `needs` must be there."""
        more = () if self.measured is None else self.measured.optional
        return (*self.needs, *self.optional, *more)

    def kind_of(self, name: str) -> Kind:
        """The kind that a field of `needs` must have."""
        if isinstance(self.kind, tuple):
            return self.kind[self.needs.index(name)]
        return self.kind


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
