"""What a page is made of: text, key figures, tables, curves, a map, grids of pictures.

Blocks hold arrays and words, and no markup: `html` and `draw` turn them into a page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

# Kinds of fields that pictures can be made of, by the axes of their arrays [n, ...].
KINDS = {
    2: ("wave", "probabilities"),
    3: ("mask", "heat", "depth", "disparity", "distance"),
    4: ("image", "flow"),
    5: ("frames",),
}
BARS = 48  # of probabilities; where there are more classes, neighbours share a bar


@dataclass(frozen=True)
class Text:
    """Sentences; several, or those with a title, become a list.

    Attributes:
        sentences: at least one.
        look: a small note, good news, or a warning.
        title: in bold, before them.
    """

    sentences: Sequence[str]
    look: Literal["note", "good", "warning"] = "note"
    title: str = ""


@dataclass(frozen=True)
class Cards:
    """Key figures: (name, value, small print)."""

    figures: Sequence[tuple[str, str, str]]


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: what it says.
        small: further words in small print, such as a spread.
        tone: "strong", or "better" and "worse" for a difference.
        share: of a bar below, in [0, 1]; None for no bar.
        value: the unrounded number, for programs that read the page.
    """

    text: str
    small: str = ""
    tone: str = ""
    share: float | None = None
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows of cells; without a head, the first column names the second."""

    rows: Sequence[Sequence[Cell]]
    head: Sequence[str] = ()


class Curve(NamedTuple):
    """Values over steps or epochs."""

    x: np.ndarray  # [n] float64, ascending as recorded
    y: np.ndarray  # [n] float64, NaN where a record's value is not finite


@dataclass(frozen=True)
class Curves:
    """A chart of one curve or several; long ones have their running mean over them.

    Attributes:
        name: of its files, without an extension.
        title: the quantity.
        curves: by name; the name of a lone curve may be "".
        levels: values by name, drawn as level lines.
        over: "epoch" or "step".
        unit: "%" for fractions, which are drawn in per cent; else it follows numbers.
        caption: sentences below.
    """

    name: str
    title: str
    curves: Mapping[str, Curve]
    levels: Mapping[str, float] | None = None
    over: str = "step"
    unit: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Map:
    """Points of a plane, coloured and named by class.

    Attributes:
        name: of its files, without an extension.
        title: what it shows, for those who cannot see it.
        points: [M, 2].
        labels: [M] int, negative where unlabelled; or None.
        label_names: names by class.
        caption: sentences below.
    """

    name: str
    title: str
    points: np.ndarray
    labels: np.ndarray | None = None
    label_names: Sequence[str] | None = None
    caption: str = ""


@dataclass(frozen=True)
class Paths:
    """Ways through a plane, both axes alike; each begins with a dot.

    Attributes:
        name: of its files, without an extension.
        title: what it shows.
        paths: [n, 2] by name, the first of which is the truth.
        unit: of both axes.
        caption: sentences below.
    """

    name: str
    title: str
    paths: Mapping[str, np.ndarray]
    unit: str = "m"
    caption: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a grid: one array a row, all shown the same way.

    Attributes:
        head: words above it.
        values: [n, ...] as `kind` demands. "image": [n, H, W, C] in [0, 1] or uint8, of
            any number of channels; "frames": [n, T, H, W, C] likewise, a film strip;
            "mask": [n, H, W] integers, 255 = void, coloured regions; "heat" and
            "distance": [n, H, W], from the least to the largest of each; "depth" and
            "disparity": [n, H, W], 0 = unknown, each from its least to its largest;
            "flow": [n, H, W, 2] pixels (u, v), or with a third channel that is 0 where
            it is unknown, the longest of each in full colour; "wave": [n, T] in
            [-1, 1], its spectrogram; "probabilities": [n, K] of classes, bars in
            their order; of more than `BARS` the largest of neighbours.
        kind: one of those.
        words: [n] below the tiles; a line break begins another line.
        agrees: [n] for frames of two colours: True for what agrees with its row, such
            as a neighbour of the query's class, False for what does not, None for none.
        group: words above the heads of adjacent columns that share them.
        rate: of a wave, in Hz.
        full: the probability of a bar of full height, positive.
    """

    head: str
    values: np.ndarray
    kind: str = "image"
    words: Sequence[str] = ()
    agrees: Sequence[bool | None] = ()
    group: str = ""
    rate: float = 16_000
    full: float = 1.0

    def __post_init__(self) -> None:
        shape = np.shape(self.values)
        if self.kind not in KINDS.get(len(shape), ()):
            raise ValueError(
                f"column {self.head!r} has shape {shape} and kind {self.kind!r}; kinds "
                f"by their number of axes, the first of them rows, are {KINDS}."
            )

    def at(self, row: int) -> tuple[str, str]:
        """The words of a row, and the tone of its frame: "better", "worse" or ""."""
        words = self.words[row] if self.words else ""
        agrees = self.agrees[row] if self.agrees else None
        return words, "" if agrees is None else "better" if agrees else "worse"


@dataclass(frozen=True)
class Pictures:
    """A grid of pictures, a row for each example.

    Attributes:
        name: of its file, without an extension.
        columns: with the same number of rows; the first few are shown.
        caption: sentences below.
    """

    name: str
    columns: Sequence[Column]
    caption: str = ""

    def __post_init__(self) -> None:
        rows = {column.head: len(column.values) for column in self.columns}
        if len({*rows.values()}) > 1:
            raise ValueError(f"{self.name}: columns differ in their rows: {rows}.")


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; among other blocks, it opens on a click.

    Attributes:
        title: the heading, "" for none.
        blocks: what stands under it.
        aside: says in small print, for one that is closed, what is in there.
    """

    title: str
    blocks: "Sequence[Block]"
    aside: str = ""


# A bare sentence says why what would be in its place is absent.
Block = str | Text | Cards | Table | Curves | Map | Paths | Pictures | Section
