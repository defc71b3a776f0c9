"""The parts of the page that hold figures: curves, views, neighbours, map."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jax_ssl.report import accuracy, charts, pictures, series
from jax_ssl.report.attention import attention_grid
from jax_ssl.report.embedding import tsne_map
from jax_ssl.report.health import health
from jax_ssl.report.inputs import ReportInputs
from jax_ssl.report.markup import Picture, absent, figure, fold
from jax_ssl.report.quantities import plural
from jax_ssl.report.reconstruction import reconstruction_grid
from jax_ssl.report.theme import DARK, LIGHT, Theme

MAX_METHOD_METRICS = 12


class Part(NamedTuple):
    """A section of the page and the pictures in it."""

    title: str
    html: str
    pictures: tuple[Picture, ...] = ()


def figure_parts(inputs: ReportInputs, seed: int) -> list[Part]:
    """All parts with figures, in the page's order; `seed` is the map's."""
    return [
        _curves(inputs),
        Part("Health", *health(inputs)),
        _views(inputs),
        *_reconstructions(inputs),
        *_attention(inputs),
        _neighbors(inputs),
        _feature_map(inputs, seed),
    ]


def reason(inputs: ReportInputs, name: str, general: str) -> str:
    """Why a part is missing: as the caller says, or the results, or in general."""
    if name in inputs.absent:
        return inputs.absent[name]
    for entry in inputs.results.get("skipped") or ():
        if entry.get("protocol") == name and entry.get("reason"):
            return str(entry["reason"])
    return general


def _curves(inputs: ReportInputs) -> Part:
    title = "Curves"
    train = series.of_kind(inputs.metrics, "train")
    drawn = [
        _line(inputs, "loss", "Loss"),
        _accuracy_curves(inputs),
        _line(inputs, "learning_rate", "Learning rate", smoothed=False),
        _line(inputs, "images_per_second", "Images per second"),
        _line(inputs, "data_wait", "Time spent waiting for data, %", share=True),
    ]
    panels = [picture for picture in drawn if picture is not None]
    keys = series.extra_keys(train)
    own = [
        picture
        for i, key in enumerate(keys[:MAX_METHOD_METRICS])
        if (picture := _line(inputs, key, key.replace("_", " "), f"metric_{i}"))
    ]
    if not panels and not own:
        return Part(
            title,
            absent(reason(inputs, "metrics", "No metrics have been recorded yet.")),
        )
    html = f'<div class="panels">{"".join(map(figure, panels))}</div>'
    reach = series.radius(len(train))
    if reach:
        html += (
            f'<p class="note">Pale: each of {len(train):,} records. Strong: their mean '
            f"over {2 * reach + 1} neighbours.</p>"
        )
    if own:
        aside = plural(len(own), "curve")
        aside += f" of {len(keys)}" if len(keys) > len(own) else ""
        inner = f'<div class="panels small">{"".join(map(figure, own))}</div>'
        html += fold("The method's own metrics", aside, inner)
    return Part(title, html, (*panels, *own))


def _line(
    inputs: ReportInputs,
    key: str,
    title: str,
    name: str | None = None,
    *,
    smoothed: bool = True,
    share: bool = False,
) -> Picture | None:
    found = series.curve(series.of_kind(inputs.metrics, "train"), key)
    if not np.isfinite(found.y).any():
        return None
    return _themed(
        name or key,
        f"{title}, over steps",
        lambda theme: charts.line_chart(
            theme, title, found, smoothed=smoothed, share=share
        ),
    )


def _accuracy_curves(inputs: ReportInputs) -> Picture | None:
    over, by_protocol = series.accuracies(inputs.metrics)
    if not by_protocol:
        return None
    first = "knn" if "knn" in by_protocol else next(iter(by_protocol))
    records = series.of_kind(inputs.metrics, "eval")
    controls = accuracy.control_accuracies(records, first)
    named = {accuracy.protocol_name(p): found for p, found in by_protocol.items()}
    return _themed(
        "accuracy",
        f"Accuracy of {', '.join(named)}, over {over}s",
        lambda theme: charts.accuracy_chart(theme, named, over, controls),
    )


def _views(inputs: ReportInputs) -> Part:
    title = "Views, as the network sees them"
    grid = pictures.views_grid(inputs)
    if grid is None:
        general = "No views were given to this report."
        return Part(title, absent(reason(inputs, "views", general)))
    alt = "Images of the data set and their augmented views"
    drawn = [Picture("views", grid.png, None, alt)]
    html = figure(drawn[0], grid.caption, "grid")
    steps = pictures.operations_grid(inputs.operations)
    if steps is not None:
        alt = "Each operation of the recipe on one image"
        drawn.append(Picture("operations", steps.png, None, alt))
        html += figure(drawn[1], steps.caption, "grid")
    return Part(title, html, (*drawn,))


def _reconstructions(inputs: ReportInputs) -> list[Part]:
    grid = None
    if inputs.reconstructions is not None:
        grid = reconstruction_grid(inputs.reconstructions)
    if grid is None:
        return []
    alt = "Images with patches hidden, and filled in by the model"
    picture = Picture("reconstructions", grid.png, None, alt)
    html = figure(picture, grid.caption, "grid")
    return [Part("Hidden patches, filled in", html, (picture,))]


def _attention(inputs: ReportInputs) -> list[Part]:
    grid = None if inputs.attention is None else attention_grid(inputs.attention)
    if grid is None:
        return []
    alt = "Images, and what each attention head of the last block looks at in them"
    picture = Picture("attention", grid.png, None, alt)
    return [Part("Attention", figure(picture, grid.caption, "grid"), (picture,))]


def _neighbors(inputs: ReportInputs) -> Part:
    title = "Nearest neighbours of test images"
    grid = None
    if inputs.neighbors is not None:
        grid = pictures.neighbors_grid(inputs.neighbors, inputs.label_names)
    if grid is None:
        general = "No neighbours have been searched for."
        return Part(title, absent(reason(inputs, "neighbors", general)))
    alt = "Test images, each with the images whose features are nearest to its own"
    picture = Picture("neighbors", grid.png, None, alt)
    return Part(title, figure(picture, grid.caption, "grid"), (picture,))


def _feature_map(inputs: ReportInputs, seed: int) -> Part:
    title = "Map of the features"
    if inputs.features is None or not len(inputs.features):
        general = "No features have been computed."
        return Part(title, absent(reason(inputs, "features", general)))
    total = len(inputs.features)
    broken = int((~np.isfinite(inputs.features).all(axis=1)).sum())
    if broken:
        said = f"{broken:,} of {total:,} feature rows are not finite: there is no map."
        return Part(title, absent(said))
    points, rows = tsne_map(inputs.features, seed=seed)
    labels = None if inputs.labels is None else np.asarray(inputs.labels)[rows]
    picture = _themed(
        "tsne",
        "t-SNE map of the features",
        lambda theme: charts.map_chart(theme, points, labels, inputs.label_names),
    )
    said = f"t-SNE of {plural(len(rows), 'feature row')}"
    said += f" drawn from {total:,}. " if len(rows) < total else ". "
    said += (
        f"{_coloring(labels)} Only neighbourhoods mean something: distances between "
        "groups, and between two maps, do not."
    )
    return Part(title, figure(picture, said, "map"), (picture,))


def _coloring(labels: np.ndarray | None) -> str:
    if labels is None:
        return "There are no labels to colour them by."
    total = len(np.unique(labels[labels >= 0]))
    colored = len(charts.colored_classes(labels))
    said = f"Colours and names show {plural(total, 'class')}"
    if colored < total:
        said = f"Colours and names show the {colored} most frequent of {total} classes"
    return f"{said}; labels played no part in the layout."


def _themed(name: str, alt: str, draw: Callable[[Theme], bytes]) -> Picture:
    return Picture(name, draw(LIGHT), draw(DARK), alt)
