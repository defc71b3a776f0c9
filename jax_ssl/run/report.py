"""`jax-ssl report`: what a run is worth, as one page and its pictures."""

import argparse
import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.augment.recipe import Recipe
from jax_ssl.augment.shown import operations
from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.core.compiling import once
from jax_ssl.core.fields import names_of
from jax_ssl.core.method import Shown, encoder_input, read_by_networks
from jax_ssl.core.state import TrainState
from jax_ssl.core.telling import telling
from jax_ssl.data.corrupt import sample
from jax_ssl.evaluate.judge import POOLED, Data
from jax_ssl.evaluate.knn import neighbours
from jax_ssl.evaluate.part import Part, gathered, part_of
from jax_ssl.parallel.mesh import replicated
from jax_ssl.parallel.rows import map_examples
from jax_ssl.parallel.together import together
from jax_ssl.report import ReportInputs, write_report
from jax_ssl.report.blocks import KINDS, Column, Pictures
from jax_ssl.report.pictures import (
    Examples,
    bars_said,
    class_name,
    filters_grid,
    likeliest,
    neighbors_grid,
    operations_grid,
    views_grid,
)
from jax_ssl.run.environment import environment
from jax_ssl.run.predicted import predicted, views_of
from jax_ssl.run.results import recorded
from jax_ssl.run.run import CHECKPOINTS, METRICS, REPORT, Run
from jax_ssl.run.seeds import seed_runs, write_seeds_page
from jax_ssl.train.metrics import read_metrics

VIEWED, SHOWN = 8, 6  # Examples in the grid of views, and in those of the method.
ASKED, FOUND, BANK = 8, 8, 20_000  # Queries, neighbours of each, examples to search.
MAPPED = 2000  # Points of the map.


def report(options: argparse.Namespace) -> int:
    """Writes the report of the last checkpoint of a run, or of several seeds."""
    if seed_runs(pathlib.Path(options.workdir)):
        print(write_seeds_page(pathlib.Path(options.workdir)))
        return 0
    run = Run.opened(options.workdir, options.overrides)
    with open_checkpoints(run.workdir / CHECKPOINTS, writable=False) as checkpoints:
        none = checkpoints.latest_step() is None
    with contextlib.nullcontext() if none else run.restored() as train:
        print(write_page(run, train))
    return 0


def write_page(run: Run, train: TrainState | None) -> pathlib.Path:
    """Gathers everything that the run's folder and last state have to show.

    Must be called with the run's mesh installed, and by all processes of a run, of
    which the first writes. Without a state, there are no features.
    """
    experiment = run.experiment
    look = Look(run)
    with telling("report · views"):
        pictures = [*_views(look), *_fields(look)]
    features = labels = None
    more: dict[str, Any] = {}
    if train is not None:
        asked = run.test or run.train
        some = _some(asked, MAPPED)
        with telling("report · features and neighbours"):
            pictures += [*predicted(run, train, look.plain), *_shown(look, train)]
            if look.kind == "image":
                pictures += _filters(look, train)
            part = _features(run, train, some)
            pictures.append(_neighbors(look, train, asked, part))
        values = gathered(part.values.take(np.flatnonzero(part.counts)))
        features = values / np.maximum(np.linalg.norm(values, axis=1), 1e-12)[:, None]
        own = {name: x[part.counts] for name, x in part.fields.items()}
        labels = own.pop("label", None)
        more = {n: (x, names_of(asked.feed.fields, n)) for n, x in own.items()}
    results = recorded(run.workdir)
    metrics = read_metrics(run.workdir / METRICS)
    where = dict(results.get("environment") or environment())
    seconds = [line["seconds"] for line in metrics if line.get("seconds") is not None]
    if seconds:
        where["seconds"] = seconds[-1]
    inputs = ReportInputs(
        title=f"{experiment.config['method']['name']} · {experiment.source.name}",
        config=experiment.config,
        metrics=metrics,
        results=results,
        pictures=pictures,
        features=features,
        labels=labels,
        label_names=_class_names(run),
        more_labels=more,
        environment=where,
        warnings=run.seen[1],
    )
    if jax.process_index() != 0:
        return run.workdir / REPORT
    with telling("report · map and page"):
        return write_report(run.workdir / REPORT, inputs)


def _class_names(run: Run) -> tuple[str, ...] | None:
    """Of the test part, which may know more classes; else of the training part."""
    parts = [part for part in (run.test, run.train) if part is not None]
    return next(filter(None, (names_of(part.feed.fields) for part in parts)), None)


class Look:
    """How examples of a run are looked at.

    Attributes:
        kind: of field that the encoder reads: "image", "frames" or "wave".
        settings: of the columns that show it.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rank = len(run.judge.seen(run.train).shape)
        self.kind = {1: "wave", 3: "image", 4: "frames"}[self.rank]
        self.settings: dict[str, Any] = {"kind": self.kind, **run.rate}

    def seen(self, batch: Mapping[str, np.ndarray]) -> jax.Array:
        """What the encoder reads of some examples, on one device."""
        return encoder_input(views_of(self.run, batch))

    def shown(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """The same as values to be shown."""
        return self.plain(self.seen(batch))

    def plain(self, values: jax.Array) -> np.ndarray:
        """Values in the units of the evaluation's view, as values to be shown."""
        view, out = self.run.experiment.evals.view, np.asarray(values, np.float32)
        if view.get("std") is not None:
            out = out * np.asarray(view["std"]) + np.asarray(view["mean"])
        return out if self.kind == "wave" else np.clip(out, 0, 1)


def _views(look: Look) -> Iterator[tuple[str, Pictures | str]]:
    """A few examples and what the network is given for them."""
    experiment = look.run.experiment
    batch, key = sample(experiment.source, VIEWED), jax.random.key(experiment.run.seed)
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
        draw = functools.partial(map_examples, experiment.method.views)
        made = once(draw)(key, batch)
    groups = [
        np.asarray(leaf if leaf.ndim == 2 + look.rank else leaf[:, None], np.float32)
        for leaf in jax.tree.leaves(read_by_networks(made))
        # Labels and indices are nothing to look at.
        if leaf.ndim in (1 + look.rank, 2 + look.rank) and leaf.dtype != np.int32
    ]
    settings = experiment.config["views"]
    title = "Views, as the network sees them"
    undone = {"mean": settings.get("mean"), "std": settings.get("std")}
    yield title, views_grid(groups, look.shown(batch), **undone, **look.settings)
    recipe = experiment.method.views
    if isinstance(recipe, Recipe):
        example = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), batch)
        titles: list[str] = []

        def all_drawn(key: jax.Array, example: Any) -> list[jax.Array]:
            drawn = operations(recipe, key, example)
            titles.extend(drawn)
            return list(drawn.values())

        # In one program: a compilation for each operation took a third of the time.
        arrays = map(np.asarray, once(all_drawn)(key, example))
        yield title, operations_grid(dict(zip(titles, arrays, strict=True)))


def _fields(look: Look) -> Iterator[tuple[str, Pictures | str]]:
    """Everything of a few examples that can be drawn, where that is more than one."""
    source = look.run.experiment.everything
    drawn = {kind for kinds in KINDS.values() for kind in kinds}
    kinds = {n: f for n, f in source.fields.items() if f.kind in drawn}
    if len(kinds) > 1:
        batch = sample(source.keep(kinds), SHOWN)
        columns = [
            Column(name, batch[name], field.kind, rate=field.rate or 1.0)
            for name, field in kinds.items()
        ]
        yield "Examples", Pictures("examples", columns, "Fields of the data set.")


def _shown(look: Look, train: TrainState) -> Iterator[tuple[str, Pictures | str]]:
    """What the method and its encoder have to show of a few examples."""
    experiment, method = look.run.experiment, look.run.experiment.method
    batch = sample(experiment.source, SHOWN)
    seen = views_of(look.run, batch)
    examples = {**batch, "view": encoder_input(seen), "seen": seen}

    traced: dict[str, Shown] = {}

    def all_shown(params: Any, state: Any, examples: Any) -> list[Any]:
        if method.shows is not None:
            key = jax.random.key(experiment.run.seed)
            traced.update(method.shows(params, state, examples, key))
        if (shows := getattr(method.encoder, "shows", None)) is not None:
            variables = method.exports["encoder"](params, state)
            traced.update(shows(variables, examples))
        return [
            ([x for _, x in shown.columns.values()], shown.labels, shown.agrees)
            for shown in traced.values()
        ]

    whole = replicated(experiment.mesh)
    show = together(all_shown, out_shardings=whole)
    arrays = show(train.params, train.state, examples)
    names = _class_names(look.run)
    for (title, shown), found in zip(traced.items(), arrays, strict=True):
        columns, labels, agrees = found
        grid, said = [], [shown.caption]
        bars = _bars(shown, columns)
        if bars is not None:
            said.append(bars_said(*bars))
        for head, values in zip(shown.columns, columns, strict=True):
            group, _, word = head.rpartition(": ")
            kind, drawn = shown.columns[head][0], np.asarray(values)
            more: dict[str, Any] = {}
            if head in labels:
                more["words"] = [class_name(int(k), names) for k in labels[head]]
            if head in agrees:
                more["agrees"] = np.asarray(agrees[head]).tolist()
            if kind == "view":
                kind, drawn = look.kind, look.plain(values)
            elif kind == "probabilities" and bars is not None:
                more |= {"full": bars[0], "words": likeliest(drawn, names)}
            grid.append(Column(word, drawn, kind, group=group, **more))
        name = title.split(",")[0].lower().replace(" ", "_")
        yield title, Pictures(name, grid, " ".join(filter(None, said)))


def _bars(shown: Shown, columns: Sequence[jax.Array]) -> tuple[float, int] | None:
    """The largest of all probabilities of a picture, and K; None if it has none."""
    drawn = zip(shown.columns.values(), columns, strict=True)
    found = [np.asarray(x) for (kind, _), x in drawn if kind == "probabilities"]
    return (max(float(x.max()) for x in found), found[0].shape[1]) if found else None


def _filters(look: Look, train: TrainState) -> Iterator[tuple[str, Pictures | str]]:
    """The weights of the encoder's first layer, where that reads the image itself."""
    method = look.run.experiment.method
    *_, height, width, channels = look.seen(sample(look.run.experiment.source, 1)).shape
    whole = replicated(look.run.experiment.mesh)
    export = together(method.exports["encoder"], out_shardings=whole)
    for kernel in jax.tree.leaves(export(train.params, train.state)["params"]):
        if kernel.ndim == 2 and len(kernel) == height * width * channels:
            kernel = kernel.reshape(height, width, channels, -1)
        if kernel.ndim == 4 and kernel.shape[2] == channels:
            weights = np.moveaxis(np.asarray(kernel), -1, 0)
            yield "Filters of the first layer", filters_grid(weights)
            return


def _neighbors(
    look: Look, train: TrainState, asked: Data, features: Part
) -> tuple[str, Pictures | str]:
    """Some test examples and the training examples nearest to them.

    Without a test part: some training examples and those nearest among the others.
    """
    run, same = look.run, asked is look.run.train
    bank_data = _some(run.train, BANK)
    bank = features if same else _features(run, train, bank_data)
    places = np.flatnonzero(features.counts)
    spread = np.linspace(0, len(places) - 1, min(ASKED, len(places)))
    places = places[spread.astype(np.int64)]
    few = part_of(gathered(features.values.take(places)))
    k = min(FOUND + same, int(bank.counts.sum()))
    (_, *best), *_ = neighbours(bank, few, k)
    scores, found = (gathered(x)[: len(places)] for x in best)
    if same:  # A query is left out of its own answer.
        last = np.argsort(found == places[:, None], axis=1, kind="stable")
        others = last[:, : max(k - 1, 1)]
        scores, found = (np.take_along_axis(x, others, 1) for x in (scores, found))
    part = "training" if same else asked.split
    title = f"Nearest neighbours of {part} examples"
    return title, neighbors_grid(
        _examples(look, asked, features.rows[places]),
        _examples(look, run.train, bank.rows[found]),
        scores,
        label_names=_class_names(run),
        **look.settings,
    )


def _features(run: Run, train: TrainState, data: Data) -> Part:
    known = data.feed.fields.items()
    fields = tuple(name for name, field in known if field.kind == "label")
    whole = train.params, train.state
    return run.judge.parts([POOLED], whole, data, fields)[POOLED]


def _examples(look: Look, data: Data, rows: np.ndarray) -> Examples:
    """Examples of the data set's rows [...], as values to be shown."""
    source: Any = data.feed.source
    batch = source[rows.ravel()]
    values = look.shown(batch)
    files = getattr(getattr(source, "source", source), "files", None)
    return Examples(
        values.reshape(*rows.shape, *values.shape[1:]),
        batch["label"].reshape(rows.shape) if "label" in batch else None,
        None if files is None else np.asarray(files)[rows],
    )


def _some(data: Data, count: int) -> Data:
    """At most `count` examples, spread over the data."""
    if data.count <= count:
        return data
    rows = np.linspace(0, data.count - 1, count).astype(np.int64)
    return dataclasses.replace(data, rows=rows)
