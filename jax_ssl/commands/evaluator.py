"""A run's evaluator: its encoder beside raw pixels and the same encoder untrained."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jax_ssl.commands.classification import CLASSIFIER, classification
from jax_ssl.config import Experiment, Online
from jax_ssl.config.bind import bind
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Variables
from jax_ssl.data.corrupt import Reader
from jax_ssl.data.order import permutation
from jax_ssl.data.source import Source, subset
from jax_ssl.evaluate.class_tokens import ClassTokens, class_tokens
from jax_ssl.evaluate.features import FeatureSet, extract, pixels
from jax_ssl.evaluate.knn import knn
from jax_ssl.evaluate.protocols import evaluate_all
from jax_ssl.train.loop import Evaluation
from jax_ssl.train.program import Program

Pair = tuple[FeatureSet, FeatureSet]  # Of the training and of the test part.
Result = dict[str, Any]

HELD_OUT = 0.1  # Share of train that the online k-NN asks about.


class Evaluator:
    """Evaluates encoders of one run; the controls are computed once.

    Must be used with the run's mesh installed (`jax.set_mesh`).
    """

    def __init__(self, experiment: Experiment, made: Program) -> None:
        self.experiment, self.made = experiment, made
        self.evals = experiment.evals

    @functools.cached_property
    def train(self) -> Source:
        """The labelled training part."""
        changes = self.evals.train
        return self.experiment.open(changes) if changes else self.experiment.source

    @functools.cached_property
    def test(self) -> Source | None:
        """The test part, or None."""
        changes = self.evals.test
        return None if changes is None else self.experiment.open(changes)

    def open(self) -> None:
        """Opens both parts, so that what is wrong is known before training, not after.

        Raises:
            ValueError: if `evals.train` or `evals.test` names what is not there, or the
                encoder has not the `evals.class_tokens`.
        """
        for name in ("train", "test", "class_tokens"):
            try:
                getattr(self, name)
            except (ValueError, OSError) as error:
                raise ValueError(f"config.evals.{name}: {error}") from error

    @functools.cached_property
    def untrained(self) -> Variables:
        """Variables of the run's encoder as drawn, whatever it started from."""
        state = self.made.fresh(jax.random.key(self.experiment.run.seed))
        return self.experiment.method.export(state.params, state.state)

    def features(self, variables: Variables, source: Source) -> FeatureSet:
        """The encoder's features of every image of `source`."""
        return self._read_by(self.experiment.method.encoder, variables, source)

    @functools.cached_property
    def class_tokens(self) -> ClassTokens | None:
        """What the linear probe reads in the place of the features, if anything."""
        if self.evals.class_tokens is None:
            return None
        wires = {"encoder": self.experiment.method.encoder}
        reader: ClassTokens = bind(class_tokens, wires, self.evals.class_tokens)
        return reader

    def _read_by(
        self, encoder: Any, variables: Variables, source: Source
    ) -> FeatureSet:
        return extract(
            encoder,
            variables,
            source,
            self.experiment.view,
            batch_size=self.evals.batch_size,
            workers=self.experiment.feeding.workers,
        )

    def pixels(self, source: Source) -> FeatureSet:
        """The raw pixels of every image of `source`."""
        return pixels(
            source,
            self.experiment.view,
            batch_size=self.evals.batch_size,
            workers=self.experiment.feeding.workers,
        )

    def online(self) -> tuple[list[Evaluation], list[Result]]:
        """The evaluations during training, and what was skipped with its reason.

        k-NN among training images, some of them held out as queries, so that nothing
        is ever chosen by looking at the test part.
        """
        if self.evals.online is None:
            return [], []
        if "label" not in self.train.fields:
            reason = f"{self.train.name} has no labels"
            return [], [{"protocol": "online knn", "reason": reason}]
        settings = bind(Online, {}, self.evals.online)
        order = permutation(settings.seed, 0, len(self.train))
        asked = min(settings.max_queries, max(1, round(HELD_OUT * len(order))))
        queries = subset(self.train, order[:asked])
        bank = subset(self.train, order[asked : asked + settings.max_bank])
        vote = {"k": settings.k, "temperature": settings.temperature}

        def accuracy(part: Any) -> float:
            return knn(part(bank), part(queries), **vote)["accuracy"]

        @functools.cache
        def controls() -> dict[str, float]:
            untrained = functools.partial(self.features, self.untrained)
            return {
                "untrained": accuracy(untrained),
                "pixels": accuracy(self.pixels),
            }

        def run(
            train: TrainState, means: Mapping[str, float]
        ) -> Sequence[Mapping[str, Any]]:
            del means
            variables = self.experiment.method.export(train.params, train.state)
            trained = accuracy(functools.partial(self.features, variables))
            record = {
                "protocol": "knn",
                "split": "held-out train",
                "accuracy": trained,
                **controls(),
                **vote,
                "queries": len(queries),
                "bank": len(bank),
            }
            return [record]

        every = self.experiment.every(settings.every_epochs)
        return [Evaluation(every, run)], []

    @functools.cached_property
    def controls(self) -> dict[str, Pair]:
        """Features of the untrained encoder and raw pixels, of train and test."""
        assert self.test is not None
        return {
            "untrained": (
                self.features(self.untrained, self.train),
                self.features(self.untrained, self.test),
            ),
            "pixels": (self.pixels(self.train), self.pixels(self.test)),
        }

    def final(self, train: TrainState) -> Result:
        """The content of results.json for the last state.

        The test part is touched here and nowhere else.
        """
        protocols = {
            name: getattr(self.evals, name) for name in ("few_label", "knn", "linear")
        }
        reasons = {name: "not asked for" for name, s in protocols.items() if s is None}
        asked = {name: s for name, s in protocols.items() if s is not None}
        why = ""
        if self.test is None:
            why = "there is no test part (config.evals.test is None)"
        elif "label" not in self.train.fields:
            why = f"{self.train.name} has no labels"
        elif "label" not in self.test.fields:
            why = f"{self.test.name} has no labels"
        if self.experiment.config["method"]["name"] == CLASSIFIER:
            asked = {CLASSIFIER: {}, **asked}
        skipped = [{"protocol": k, "reason": v} for k, v in reasons.items()]
        if why or self.test is None:
            skipped += [{"protocol": name, "reason": why} for name in asked]
            return {"evaluations": [], "skipped": skipped}
        evaluations = []
        if asked.pop(CLASSIFIER, None) is not None:
            evaluations = [classification(self.experiment, train, self.test)]
        if not asked:
            return {"evaluations": evaluations, "skipped": skipped}
        variables = self.experiment.method.export(train.params, train.state)
        trained = (
            self.features(variables, self.train),
            self.features(variables, self.test),
        )
        kinds = {"trained": trained, **self.controls}
        jobs: list[tuple[dict[str, Pair], dict[str, Any], dict[str, Any]]]
        jobs = [(kinds, asked, {})]
        if "linear" in asked and self.class_tokens is not None:
            probe = {"linear": asked.pop("linear")}
            tokens = dict(kinds)
            for kind, own in (("trained", variables), ("untrained", self.untrained)):
                tokens[kind] = (
                    self._read_by(self.class_tokens, own, self.train),
                    self._read_by(self.class_tokens, own, self.test),
                )
            said = {
                "class_tokens": self.class_tokens.blocks,
                "mean_patch": self.class_tokens.mean_patch,
            }
            jobs.append((tokens, probe, said))
        split = str((self.evals.test or {}).get("split", "test"))
        for features, protocols, said in jobs:
            results = evaluate_all(
                features, **protocols, split=split, step=int(train.step)
            )
            for evaluation in results["evaluations"]:
                evaluation["settings"].update(said)
            evaluations += results["evaluations"]
            skipped += results["skipped"]
        return {"evaluations": evaluations, "skipped": skipped}


def sample(source: Source, count: int) -> dict[str, np.ndarray]:
    """The same few examples of a source every time, spread over it.

    A corrupt one is replaced by the next good one.
    """
    rows = np.linspace(0, len(source) - 1, min(count, len(source))).astype(np.int64)
    reader = Reader(source, max_corrupt=1.0)
    return reader.read(np.arange(len(source)), np.unique(rows))
