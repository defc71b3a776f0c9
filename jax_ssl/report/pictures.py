"""Grids that most reports have: views, a recipe's operations, nearest neighbours."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jax_ssl.report.blocks import BARS, Column, Pictures

FILTERS, FILTERS_A_ROW = 96, 12  # What the page shows of a grid is 12 columns.


class Examples(NamedTuple):
    """Examples to be shown, with any leading axes.

    Attributes:
        values: [..., *] of one of `blocks.KINDS`, such as images [n, H, W, C].
        labels: [...] int, negative where unlabelled; or None.
        files: [...] str, names of their files; or None.
    """

    values: np.ndarray
    labels: np.ndarray | None = None
    files: np.ndarray | None = None


def views_grid(
    views: Sequence[np.ndarray],
    originals: np.ndarray | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **look: Any,
) -> Pictures:
    """Originals at the left, their views at the right.

    With mean and std the normalisation is undone, and what leaves [0, 1] is clipped.
    Without them values in [0, 1] stay, and others are stretched view by view.

    Args:
        views: [n, V, ...] float of each size, what the network is given.
        originals: [n, ...] before augmentation, in [0, 1] or uint8.
        mean: what the recipe subtracts from its views, in the units of [0, 1].
        std: the divisor that goes with `mean`.
        **look: `kind` and `rate` of the columns.
    """
    columns = [group[:, i] for group in views for i in range(group.shape[1])]
    sizes = dict.fromkeys(" × ".join(map(str, v.shape[1:])) for v in columns)
    lowest = -1 if look.get("kind") == "wave" else 0
    said = "Values are shown as they are."
    if mean is not None and std is not None:
        said = "The recipe's mean and standard deviation have been undone."
        columns = [column * np.asarray(std) + np.asarray(mean) for column in columns]
    # Resampling rounds: an edge of 1 + 1e-6 is not a normalised view.
    elif any(np.nanmin(v) < lowest - 0.01 or np.nanmax(v) > 1.01 for v in columns):
        columns = [_stretched(column) for column in columns]
        said = (
            "Their mean and standard deviation are not known here, so each view is "
            "stretched from its own minimum to its own maximum: colours of two views "
            "are not to be compared."
        )
    named = {} if originals is None else {"original": originals}
    named |= {f"view {i + 1}": column for i, column in enumerate(columns)}
    return Pictures(
        "views",
        [Column(head, values, **look) for head, values in named.items()],
        f"Views are of the size {' and '.join(sizes)}. {said}",
    )


def filters_grid(filters: np.ndarray) -> Pictures:
    """Filters of the first layer, side by side.

    Args:
        filters: [n, h, w, C] float, at most the first `FILTERS` are shown.
    """
    shown = _stretched(filters[:FILTERS].astype(np.float32))
    rows = -(-len(shown) // FILTERS_A_ROW)
    blank = np.ones((rows * FILTERS_A_ROW - len(shown), *shown.shape[1:]), np.float32)
    grid = np.concatenate([shown, blank]).reshape(rows, FILTERS_A_ROW, *shown.shape[1:])
    said = f"{len(shown)} of {len(filters)} filters of {filters.shape[1:]} weights, "
    return Pictures(
        "filters",
        [Column("", grid[:, i]) for i in range(FILTERS_A_ROW)],
        f"{said}each from its least to its largest one.",
    )


def operations_grid(operations: Mapping[str, np.ndarray]) -> Pictures:
    """A column for each operation and each view of one image, a row for each draw.

    Args:
        operations: by title, [draws, h, w, C] in [0, 1].
    """
    return Pictures(
        "operations",
        [Column(title, drawn) for title, drawn in operations.items()],
        "The recipe's operations on one image, each by itself and for certain, and its "
        "views, where they follow each other with the recipe's probabilities. Each row "
        "is another draw; the standardization is left out.",
    )


def neighbors_grid(
    queries: Examples,
    found: Examples,
    similarities: np.ndarray,
    *,
    label_names: Sequence[str] | None = None,
    **look: Any,
) -> Pictures:
    """Queries at the left, the examples nearest to them at the right.

    Args:
        queries: [q] examples.
        found: [q, k] examples, nearest first, without the query itself.
        similarities: [q, k] cosines in [-1, 1].
        label_names: names by class.
        **look: `kind` and `rate` of the columns.
    """
    below = _words(queries, label_names, [""] * len(similarities))
    columns = [Column("query", queries.values, words=below, **look)]
    same: np.ndarray | None = None  # [q, k] bool, or None where a label is not known
    if queries.labels is not None and found.labels is not None:
        asked = queries.labels[:, None]
        unknown = (asked < 0) | (found.labels < 0)
        same = np.where(unknown, np.array(None), asked == found.labels)
    for i, cosines in enumerate(similarities.T):
        nearest = Examples._make(None if x is None else x[:, i] for x in found)
        below = _words(nearest, label_names, [f"{cosine:.2f}" for cosine in cosines])
        agrees = () if same is None else same[:, i].tolist()
        head = "nearest" if i == 0 else f"{i + 1}"
        columns.append(Column(head, nearest.values, words=below, agrees=agrees, **look))
    caption = "Below each neighbour: the cosine of its features with the query's."
    if same is None:
        caption += " There are no labels, so frames cannot say which are right."
    else:
        right = [agrees for agrees in same.flat if agrees is not None]
        caption += (
            " A green frame is a neighbour of the query's class, an orange one is of "
            f"another; {sum(right):,} of {len(right):,} neighbours agree."
        )
    return Pictures("neighbors", columns, caption)


def likeliest(
    probabilities: np.ndarray, names: Sequence[str] | None, count: int = 3
) -> list[str]:
    """The likeliest classes of each row, a line for each: "cat 62.0 %".

    Those that round to 0.0 % are left out, but for the first.

    Args:
        probabilities: [n, K].
        names: by class.
        count: of classes, at most.
    """
    said = []
    for row in probabilities:
        order = np.argsort(-row, kind="stable")[:count]
        kept = [k for k in order if k == order[0] or row[k] >= 5e-4]
        lines = (
            f"{class_name(k, names)} {100 * row[k]:.1f}\N{NO-BREAK SPACE}%"
            for k in kept
        )
        said.append("\n".join(lines))
    return said


def bars_said(full: float, classes: int) -> str:
    """What is to be known of the bars of a grid, whose highest are `full`."""
    said = (
        "Bars are in the order of the classes and of one scale, on which full height "
        f"is {100 * full:.1f}\N{NO-BREAK SPACE}%."
    )
    if classes > BARS:
        said += f" A bar is the largest of its neighbours among {classes:,} classes."
    return said


def class_name(label: int, names: Sequence[str] | None) -> str:
    """The name of class `label`, or its number where it has none."""
    if label < 0:
        return "unlabelled"
    return str(names[label]) if names is not None and label < len(names) else str(label)


def _words(
    examples: Examples, label_names: Sequence[str] | None, first: Sequence[str]
) -> list[str]:
    """Below each of [n] examples: the first words and its class, then its file."""
    said = [*first]
    if examples.labels is not None:
        names = [class_name(int(label), label_names) for label in examples.labels]
        said = [f"{a} · {b}" if a else b for a, b in zip(said, names, strict=True)]
    if examples.files is not None:
        said = [f"{a}\n{b}" for a, b in zip(said, examples.files, strict=True)]
    return said


def _stretched(views: np.ndarray) -> np.ndarray:
    pixels = tuple(range(1, views.ndim))
    low = np.nanmin(views, axis=pixels, keepdims=True)
    span = np.nanmax(views, axis=pixels, keepdims=True) - low
    return (views - low) / np.where(span > 0, span, 1)
