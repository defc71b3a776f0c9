"""`jax-ssl report`: what a run is worth, as one page and its pictures."""

import argparse
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.augment.recipe import Recipe
from jax_ssl.augment.shown import operations
from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.commands.attention import attention
from jax_ssl.commands.evaluator import Evaluator, sample
from jax_ssl.commands.opening import (
    CHECKPOINTS,
    METRICS,
    REPORT,
    RESULTS,
    environment,
    read_experiment,
    restored,
)
from jax_ssl.commands.reconstruction import reconstructions
from jax_ssl.config import Experiment
from jax_ssl.core.fields import names_of, spec_of
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Array, Variables
from jax_ssl.data.source import Source, subset
from jax_ssl.evaluate.features import FeatureSet, pixels
from jax_ssl.ops.neighbors import top_k
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.rows import map_examples
from jax_ssl.report import Neighbors, ReportInputs, write_report
from jax_ssl.train.metrics import read_metrics

VIEWED = 8  # Images in the grid of views.
ASKED, SHOWN = 8, 8  # Test images, and neighbours of each.
MAPPED = 2000  # Points of the map.


def report(options: argparse.Namespace) -> int:
    """Writes the report of the last checkpoint of a run."""
    workdir = pathlib.Path(options.workdir)
    experiment = read_experiment(workdir, options.overrides)
    with open_checkpoints(workdir / CHECKPOINTS, writable=False) as checkpoints:
        none = checkpoints.latest_step() is None
    if none:
        page = write_page(workdir, experiment, None, None)
    else:
        with restored(workdir, experiment, None) as (train, made):
            evaluator = Evaluator(experiment, made)
            page = write_page(workdir, experiment, evaluator, train)
    print(page)
    return 0


def write_page(
    workdir: pathlib.Path,
    experiment: Experiment,
    evaluator: Evaluator | None,
    train: TrainState | None,
) -> pathlib.Path:
    """Gathers everything that the run's folder and last state have to show.

    Must be called with the run's mesh installed, unless there is no evaluator yet, and
    by all processes of a run, of which the first writes.
    """
    absent: dict[str, str] = {}
    parts: dict[str, Any] = {}
    names = names_of(experiment.source.fields)
    parts.update(_views(experiment))
    if evaluator is None or train is None:
        why = "the run has no checkpoint yet"
        absent.update(neighbors=why, features=why)
    else:
        variables = experiment.method.export(train.params, train.state)
        test = evaluator.test
        some = _some(evaluator.train if test is None else test, MAPPED)
        features = evaluator.features(variables, some)
        parts["features"] = np.asarray(_unit(features.features))
        parts["labels"] = features.labels
        parts["neighbors"] = _neighbors(evaluator, variables, some, features)
        parts["reconstructions"] = reconstructions(experiment, train.params, some)
        parts["attention"] = attention(experiment, variables, some)
    results = _json(workdir / RESULTS) or {}
    metrics = read_metrics(workdir / METRICS)
    where = dict(results.get("environment") or environment())
    seconds = [line["seconds"] for line in metrics if line.get("seconds") is not None]
    if seconds:
        where["seconds"] = seconds[-1]
    inputs = ReportInputs(
        title=f"{experiment.config['method']['name']} · {experiment.source.name}",
        config=experiment.config,
        metrics=metrics,
        results=results,
        label_names=names,
        environment=where,
        absent=absent,
        **parts,
    )
    if jax.process_index() != 0:
        return workdir / REPORT
    return write_report(workdir / REPORT, inputs)


def _views(experiment: Experiment) -> dict[str, Any]:
    """A few images and what the network is given for them."""
    batch = sample(experiment.source, VIEWED)
    views = jax.jit(lambda key, some: map_examples(experiment.method.views, key, some))
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
        made = views(jax.random.key(experiment.run.seed), batch)
    groups: Sequence[np.ndarray] = [
        np.asarray(leaf if leaf.ndim == 5 else leaf[:, None], np.float32)
        for leaf in jax.tree.leaves(made)
        # [n, V, h, w, C] or [n, h, w, C]; labels and indices are no pictures.
        if leaf.ndim > 3
    ]
    settings = experiment.config["views"]
    whole = subset(experiment.source, batch["index"])
    return {
        "originals": images(whole, experiment),
        "views": groups or None,
        "view_mean": settings.get("mean"),
        "view_std": settings.get("std"),
        "operations": _operations(experiment, batch),
    }


def _operations(
    experiment: Experiment, batch: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray] | None:
    """The steps of the recipe on the first of those images, if it is made of steps."""
    recipe = experiment.method.views
    if not isinstance(recipe, Recipe):
        return None
    example = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), batch)
    drawn = operations(recipe, jax.random.key(experiment.run.seed), example)
    return {title: np.asarray(images) for title, images in drawn.items()}


def images(source: Source, experiment: Experiment) -> np.ndarray:
    """Images as the evaluation's view shows them, [n, h, w, C] in [0, 1]."""
    view = experiment.view
    example = jax.eval_shape(view, jax.random.key(0), spec_of(source.fields))
    flat = pixels(source, view, max_dim=int(np.prod(example.shape)))
    shown = flat.features.reshape(-1, *example.shape)
    settings = experiment.evals.view
    if settings.get("std") is not None:
        shown = shown * np.asarray(settings["std"]) + np.asarray(settings["mean"])
    return np.clip(shown, 0, 1)


def _neighbors(
    evaluator: Evaluator, variables: Variables, asked: Source, features: FeatureSet
) -> Neighbors:
    """Some test images and the training images nearest to them.

    Without a test part: some training images and those nearest among the others.
    """
    same = evaluator.test is None  # Then the bank is what the queries come from.
    bank_source = asked if same else _some(evaluator.train, 20_000)
    bank = features if same else evaluator.features(variables, bank_source)
    rows = np.linspace(0, len(features.rows) - 1, ASKED).astype(np.int64)
    k = min(SHOWN + same, len(bank.rows))
    unit = _unit(features.features)[rows]
    scores, found = (np.asarray(x) for x in top_k(unit, _unit(bank.features), k))
    if same:  # A query is left out of its own answer.
        own = bank.rows[found] == features.rows[rows][:, None]
        kept = np.argsort(own, axis=1, kind="stable")[:, : max(k - 1, 1)]
        scores = np.take_along_axis(scores, kept, 1)
        found = np.take_along_axis(found, kept, 1)
    shown = images(subset(bank_source, bank.rows[found.ravel()]), evaluator.experiment)
    return Neighbors(
        queries=images(subset(asked, features.rows[rows]), evaluator.experiment),
        images=shown.reshape(*found.shape, *shown.shape[1:]),
        similarities=scores,
        query_labels=None if features.labels is None else features.labels[rows],
        labels=None if bank.labels is None else bank.labels[found],
    )


def _unit(features: np.ndarray) -> Array:
    return l2_normalize(jnp.asarray(features))


def _some(source: Source, count: int) -> Source:
    """At most `count` examples, spread over the source."""
    if len(source) <= count:
        return source
    return subset(source, np.linspace(0, len(source) - 1, count).astype(np.int64))


def _json(path: pathlib.Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None
