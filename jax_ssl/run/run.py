"""A run: an experiment and its folder, and what belongs to both."""

import contextlib
import dataclasses
import functools
import json
import logging
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.checkpoint.run_folder import (
    CONFIG,
    config_differences,
    data_of,
    read_config,
)
from jax_ssl.config import Experiment, override, resolved
from jax_ssl.config.experiment import naming
from jax_ssl.core.fields import ON_CANVAS
from jax_ssl.core.state import TrainState
from jax_ssl.core.telling import telling
from jax_ssl.core.types import Params, State
from jax_ssl.data.canvas import canvas_report
from jax_ssl.data.classes import renumbered
from jax_ssl.data.corrupt import sample
from jax_ssl.data.order import permutation
from jax_ssl.data.ranges import ADVICE, range_report
from jax_ssl.data.source import Source
from jax_ssl.evaluate.data import Data
from jax_ssl.evaluate.judge import TRAINED, Judge, Record
from jax_ssl.parallel.processes import meet, of_first
from jax_ssl.run.needs import check_needs, doubts, few_labels
from jax_ssl.run.other_data import carried, other_data
from jax_ssl.train.feeds import Feed, ResidentFeed
from jax_ssl.train.loop import Evaluation
from jax_ssl.train.program import Program

log = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
REPORT = "report"
HELD_OUT = 0.1  # Share of train that the online protocol asks about.
HELD_OUT_SPLIT = "held-out train"


class Run:
    """An experiment in its folder; its parts are made when they are first asked for.

    Args:
        experiment: what the config stands for.
        workdir: the run's folder.
        training: whether it will train, or only look at what has been trained.
    """

    longer: Record | None = None  # Of a finished run that goes on, see `extension`.
    # Of other data than the run's own: what tells them apart, for the results.
    other_data: Record | None = None

    def __init__(
        self, experiment: Experiment, workdir: pathlib.Path, *, training: bool = False
    ) -> None:
        self.experiment, self.workdir, self.training = experiment, workdir, training

    @classmethod
    def opened(cls, workdir: str, overrides: Sequence[str]) -> "Run":
        """An existing run; only its `evals`, `data`, `feed` and `mesh` may be changed.

        Raises:
            FileNotFoundError: if the folder holds no run.
            ValueError: for an override of another section.
        """
        path = pathlib.Path(workdir) / CONFIG
        if not path.is_file():
            raise FileNotFoundError(
                f"{workdir} holds no run (no {CONFIG}); jax-ssl train makes one, with "
                "--seeds one in each of its folders seed-N."
            )
        for assignment in overrides:
            section, _, value = assignment.partition("=")
            if section in ("evals", "data", "feed", "mesh"):
                raise ValueError(
                    f"--config.{section}={value} would drop the run's other settings "
                    f"of {section}; change single ones, --config.{section}.KEY=VALUE."
                )
            if not assignment.startswith(("evals.", "data.", "feed.", "mesh.")):
                raise ValueError(
                    f"--config.{assignment}: the run in {workdir} is what it is; only "
                    "config.evals, data, feed and mesh can be changed now."
                )
        written = ConfigDict(read_config(workdir, "restore it, or take another run"))
        config = resolved(override(written, overrides))
        check_same(config)
        classes = data_of(workdir, CHECKPOINTS).get("classes")
        run = cls(Experiment(config, classes=classes), pathlib.Path(workdir))
        run.other_data = other_data(resolved(written), config)
        return run

    @functools.cached_property
    def feed(self) -> Feed:
        """Of the training examples."""
        feeding = self.experiment.feeding
        kind = ResidentFeed if feeding.resident and self.training else Feed
        return kind(
            self.experiment.source,
            mesh=self.experiment.mesh,
            seed=self.experiment.run.seed,
            batch_size=feeding.batch_size,
            workers=feeding.workers,
            share=self.experiment.share,
        )

    @functools.cached_property
    def program(self) -> Program:
        """The compiled functions."""
        return self.experiment.program(self.feed, trains=self.training)

    @functools.cached_property
    def judge(self) -> Judge:
        """Of the encoder; use it with the mesh installed."""
        evals = self.experiment.evals
        return Judge(
            self.experiment.method,
            self.experiment.view,
            self.fresh,
            self.experiment.mesh,
            at_once=evals.batch_size,
            most_bytes=evals.device_gib * 2**30,
        )

    @functools.cached_property
    def seen(self) -> tuple[str | None, list[str]]:
        """How the images are seen, by some of them: a fact for the log, and warnings.

        The fact is what a canvas does to them, unless that is a warning.
        """
        experiment, view = self.experiment, self.experiment.evals.view
        fields = experiment.everything.fields
        laid = set(ON_CANVAS) & set(fields)
        read = experiment.source.fields.items()
        seen = {name for name, field in read if field.kind in ("image", "frames")}
        rows = sample(experiment.everything.keep(laid | seen), 128)
        data = experiment.config["data"]
        advice = ADVICE if "range" in data else "this source has no setting for it"
        raw = functools.partial(experiment.everything.raw, 16)
        dark = range_report(rows, fields, advice, range=data.get("range"), raw=raw)
        warnings = [] if dark is None else [dark]
        if not laid:
            return None, warnings
        resize = view.get("resize") or view.get("size") or 0
        canvas = canvas_report(rows, fields, resize)
        if canvas.warn:
            return None, [canvas.sentence, *warnings]
        return canvas.sentence, warnings

    @functools.cached_property
    def train(self) -> Data:
        """The training part of evaluations."""
        if (changes := self.experiment.evals.train) is not None:
            # Only a classifier ties the classes of its data to those of another part.
            tied = self.experiment.method.health.classes is not None
            return self._part("train", changes, self.feed.source if tied else None)
        return Data(feed=self.feed, split="train")

    @functools.cached_property
    def test(self) -> Data | None:
        """The test part of evaluations, or None."""
        changes = self.experiment.evals.test
        if changes is None:
            return None
        return self._part("test", changes, self.train.feed.source)

    @property
    def rate(self) -> dict[str, float]:
        """The rate of the first field that has one, in Hz, under "rate"; else empty."""
        fields = self.experiment.source.fields.values()
        rates = [field.rate for field in fields if field.rate is not None]
        return {"rate": rates[0]} if rates else {}

    def rehearse(self) -> None:
        """Refuses evaluations that cannot work, before a minute is spent on training.

        Raises:
            ValueError: if a part of the data is not there, or view, encoder and
                protocols do not fit together.
        """
        experiment = self.experiment
        train = self.program.abstract
        parts = {"train": self.train, "test": self.test}
        given = {name: data for name, data in parts.items() if data is not None}
        asked = [*experiment.protocols, *filter(None, [experiment.watcher])]
        for name, data in given.items():
            for protocol in asked:
                check_needs(protocol, name, data, experiment.everything.fields)
            ready = [p for p in asked if not self.judge.lacking(p, data, data)]
            with (
                naming(f"evals.view on the {name} part"),
                jax.set_mesh(experiment.mesh),
            ):
                self.judge.rehearse(ready, (train.params, train.state), data)
        shapes = {name: self.judge.seen(data).shape for name, data in given.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(
                f"config.evals: the encoder would read {shapes['train']} of the train "
                f"part and {shapes['test']} of the test part; choose an evals.view "
                "that makes them alike, such as center_crop."
            )
        for said in doubts(experiment, self.train):
            log.warning(said)

    def shortages(self) -> list[str]:
        """Sentences about evaluations that will be skipped for want of labels."""
        if self.test is None:
            return []
        said: list[str] = []
        for protocol in self.experiment.protocols:
            if why := self.judge.single(protocol, self.train):
                said.append(f"config.evals.{protocol.name} will be skipped: {why}.")
            elif few := few_labels(protocol, self.train):
                said.append(few)
        return said

    def results(self, train: TrainState) -> Record:
        """All protocols on a state: the content of results.json.

        The test part is touched here and nowhere else.
        """
        protocols, test = self.experiment.protocols, self.test
        if test is None:
            reason = "there is no test part; name one in config.evals.test"
            skipped = [{"protocol": p.name, "reason": reason} for p in protocols]
            return {"evaluations": [], "skipped": skipped}
        whole = train.params, train.state
        found = self.judge.judge(
            protocols,
            whole,
            self.train,
            test,
            step=int(train.step),
            tell=lambda text, total: telling(f"evaluating · {text}", total),
        )
        if self.other_data is not None:
            for each in found["evaluations"]:
                each["data"] = self.other_data
        return found

    def watch(self) -> tuple[list[Evaluation], list[Record]]:
        """The evaluations during training, and what was skipped with its reason."""
        online, protocol = self.experiment.online, self.experiment.watcher
        if online is None or protocol is None:
            return [], []
        feed = self.train.feed
        order = permutation(online.order_seed, 0, feed.num_examples)
        asked = min(online.max_queries, max(1, round(HELD_OUT * len(order))))
        part = functools.partial(dataclasses.replace, self.train, split=HELD_OUT_SPLIT)
        queries = part(rows=np.sort(order[:asked]))
        bank = part(rows=np.sort(order[asked : asked + online.max_bank]))
        look = functools.partial(self.judge.judge, [protocol], train=bank, test=queries)
        told = {"bank": bank.count} if protocol.learns else {}

        @functools.cache
        def controls() -> Record:
            return look(((), ()), kinds=self.judge.kinds(bank, [protocol])[1:])

        def run(train: TrainState, means: Mapping[str, float]) -> Iterator[Record]:
            del means
            with telling(f"evaluating · {protocol.name}", only_if_long=True):
                found = look((train.params, train.state), kinds=[TRAINED])
                controls()
            for entry in found["skipped"]:
                log.warning("online %(protocol)s: %(reason)s", entry)
            metric = protocol.metrics[0]
            # Of several settings the last: of k-NN that of k neighbours.
            for evaluation in found["evaluations"][-1:]:
                rows = controls()["evaluations"][-1]["rows"]
                beside = {row["features"]: row[metric.name] for row in rows}
                yield {
                    "protocol": protocol.name,
                    "metric": metric.name,
                    "unit": metric.unit,
                    "better": metric.better,
                    "split": HELD_OUT_SPLIT,
                    metric.name: evaluation["rows"][0][metric.name],
                    **beside,
                    "controls": [*beside],
                    **evaluation["settings"],
                    "queries": queries.count,
                    **told,
                }

        lacks = self.judge.lacking(protocol, bank, bank)
        if reason := lacks or self.judge.single(protocol, bank, queries):
            return [], [{"protocol": f"online {protocol.name}", "reason": reason}]
        return [Evaluation(self.experiment.every(online.every_epochs), run)], []

    @contextlib.contextmanager
    def restored(self, step: int | None = None) -> Iterator[TrainState]:
        """A checkpoint's params and state on the run's mesh, which is installed.

        Raises:
            FileNotFoundError: if there is no such checkpoint.
        """
        abstract = self.program.abstract.replace(opt_state=None)
        opened = open_checkpoints(self.workdir / CHECKPOINTS, writable=False)
        with jax.set_mesh(self.experiment.mesh), opened as checkpoints:
            meet()
            yield checkpoints.restore(abstract, step)

    def fresh(self) -> tuple[Params, State]:
        """The untrained network, as drawn, whatever the run started from."""
        state = self.program.fresh(jax.random.key(self.experiment.run.seed))
        return state.params, state.state

    def _part(
        self, name: str, changes: Mapping[str, Any], ruling: Source | None
    ) -> Data:
        unknown = self.experiment.evals.unknown_classes
        try:
            source = self.experiment.open(changes)
            fields = {} if ruling is None else ruling.fields
            source, said = renumbered(source, fields, unknown=unknown, part=ruling)
        except (ValueError, OSError) as error:
            raise type(error)(f"config.evals.{name}: {error}") from error
        for sentence in said:
            log.warning("config.evals.%s: %s", name, sentence)
        if shared := carried(self.experiment.config["data"], changes):
            log.info("config.evals.%s: %s", name, shared)
        feed = Feed(
            source,
            mesh=self.experiment.mesh,
            seed=0,
            batch_size=self.experiment.mesh.size,
            workers=self.experiment.feeding.workers,
            max_corrupt=1.0,  # They are left out, counted, and said.
        )
        return Data(feed=feed, split=str(changes.get("split", name)))


def check_same(
    values: Mapping[str, Any], what: str = "settings", same: str = "command"
) -> None:
    """Refuses processes that were started with different settings, before any acts.

    Args:
        values: the settings, JSON values; or others that must be the same.
        what: they are, in words.
        same: what all processes should be given.

    Raises:
        ValueError: in those that differ from process 0, naming what differs.
    """
    first = json.loads(of_first(what, json.dumps(values)))
    if lines := config_differences(first, values):
        raise ValueError(
            f"process {jax.process_index()} has other {what} than process 0:\n  "
            + "\n  ".join(lines)
            + f"\nGive all processes the same {same}."
        )
    meet()
