"""A resolved config to the objects of a run; nothing is compiled."""

import contextlib
import copy
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import optax

from jax_ssl.augment import VIEWS
from jax_ssl.config.bind import (
    Factory,
    Settings,
    accepted,
    bind,
    foreseen,
    pick,
    reason,
    split,
)
from jax_ssl.config.elsewhere import check_features, check_made, is_elsewhere
from jax_ssl.config.sections import Checkup, Devices, Evals, Feeding, Online, Run
from jax_ssl.core.fields import read_by
from jax_ssl.core.method import Method, ViewFn, seen_by
from jax_ssl.data import SOURCES
from jax_ssl.data.classes import check_labels, renumbered
from jax_ssl.data.few import few_of_each, partly_labelled
from jax_ssl.data.order import Share, steps_per_epoch
from jax_ssl.data.source import Source
from jax_ssl.encoders import ENCODERS
from jax_ssl.evaluate import PROTOCOLS
from jax_ssl.evaluate.protocol import Protocol
from jax_ssl.methods import METHODS
from jax_ssl.optim import OPTIMIZERS
from jax_ssl.parallel.mesh import check_batch_size, make_mesh
from jax_ssl.train.feeds import Feed
from jax_ssl.train.load import loaded
from jax_ssl.train.program import Program, program

OF_MACHINE = ("cache_gib",)  # Keys of `data` that change no example.
WITHIN_A_SETTING = re.compile(r"\w+\(\) setting '(\w+)': (.*)", re.DOTALL)
NAMES_A_SETTING = re.compile(r"\b(config|optimizer|mesh|run|encoder|feed|method)\.\w+")


class Experiment:
    """What a config stands for, built and checked; nothing is compiled.

    Args:
        config: from `resolved`.
        source: instead of the one that `data` names; its labels are not looked at.
        devices: of the mesh; all there are unless given.
        classes: names of classes by field, whose numbers stay what they are; those that
            the data have beside them are numbered behind.

    Attributes:
        config: the resolved config, every default filled in; plain JSON values.
        method: the method.
        tx: the optimizer.
        learning_rate: step -> rate, for the log.
        everything: training examples with all of their fields.
        source: the same with the fields that training and, where it reads the same
            ones, evaluation look at.
        feeding: how they are fed.
        share: of each batch that is labelled, where other rows are not.
        view: the evaluation's un-augmented view.
        evals: what is evaluated, beside
        protocols: that judge the end of the run.
        online: when and on what one of them watches the training; None for never.
        watcher: that one.
        checkup: of the collapse doctor; None for none.
        run: length, seed, intervals.
        plan: the same in steps.
        steps_per_epoch: full batches in a pass over the data.
        mesh: the devices.
        devices: settings of the mesh.

    Raises:
        ValueError: for values of the wrong type and combinations that cannot work,
            with the section's name in front.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        source: Source | None = None,
        *,
        devices: Sequence[jax.Device] | None = None,
        classes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.config = dict(config)
        wires: dict[str, Any] = {}
        made = functools.partial(_made, wires)
        bound = functools.partial(_bound, wires)
        evals, protocols = split(Evals, config["evals"])
        self.evals: Evals = bound("evals", Evals, evals)
        self.run: Run = bound("run", Run, config["run"])
        self.feeding: Feeding = bound("feed", Feeding, config["feed"])
        self.devices: Devices = bound("mesh", Devices, config["mesh"])
        doctor = config["doctor"]
        self.checkup: Checkup | None = doctor and bound("doctor", Checkup, doctor)
        self.mesh = make_mesh(fsdp=self.devices.fsdp, devices=devices)
        check_batch_size(self.feeding.batch_size, self.mesh.size, self.run.chunks)
        here, self.share = source is None, Share()
        if source is None:
            source = made("data", SOURCES, config["data"])
            ruling = {
                name: replace(source.fields[name], names=tuple(names))
                for name, names in (classes or {}).items()
                if name in source.fields
            }
            source, _ = renumbered(source, ruling, unknown="keep")
            count, seed = self.feeding.labels_per_class, self.feeding.labels_seed
            with naming("feed"):
                if self.feeding.labelled is not None:
                    source = partly_labelled(source, count, seed=seed)
                    self.share = Share(self.feeding.labelled, source.num_labelled)
                elif count is not None:
                    source = few_of_each(source, count, seed=seed)
        self.everything: Source = source
        with naming("feed"):
            size = self.feeding.batch_size
            if not here:  # Which of its examples have a label is not known.
                size -= self.feeding.labelled or 0
            self.steps_per_epoch = steps_per_epoch(size, len(source), self.share)
        self.plan = self.run.plan(self.steps_per_epoch)

        wires |= {
            "fields": source.fields,
            "batch_size": self.feeding.batch_size,
            "num_examples": len(source),
            "steps_per_epoch": self.steps_per_epoch,
            "total_steps": self.plan.num_steps,
            "make_encoder": functools.partial(made, "method.teacher", ENCODERS),
        }
        self.view: ViewFn = made("evals.view", VIEWS, self.evals.view)
        wires["view"] = self.view
        wires["views"] = made("views", VIEWS, config["views"])
        wires["encoder"] = made("encoder", ENCODERS, config["encoder"])
        if is_elsewhere(named := config["encoder"]["name"]):
            with naming("evals.view"):
                seen = seen_by(self.view, source.fields)
            check_features(named, wires["encoder"], seen)
        self.method: Method = made("method", METHODS, config["method"])
        if here:
            source = self.everything = self._classified(source)
        wires["encoder"] = self.method.encoder
        wires["num_classes"] = self.method.health.classes
        wires["example_seen"] = functools.partial(seen_by, self.view, source.fields)
        asked = [
            bound(f"evals.{name}", PROTOCOLS[name], one)
            for name, chosen in protocols.items()
            if chosen is not None
            for one in _for_each(self.evals.labels, chosen)
        ]
        self.protocols: list[Protocol] = []
        for found in asked:
            several = found if isinstance(found, list) else [found]
            self.protocols += filter(None, several)
        self.online: Online | None = None
        self.watcher: Protocol | None = None
        if self.evals.online is not None:
            when, rest = split(Online, self.evals.online)
            self.online = bound("evals.online", Online, when)
            watcher = PROTOCOLS[when["protocol"]]
            watching = bound("evals.online", watcher, rest)
            if isinstance(watching, list):
                raise ValueError(
                    f"config.evals.online.protocol = {when['protocol']!r} judges one "
                    "stage after the other, which is for the end of a run; choose "
                    "another, such as 'knn' or 'linear'."
                )
            self.watcher = watching
        optimizer = dict(config["optimizer"])
        rate = {"learning_rate": optimizer.get("learning_rate")}
        self.learning_rate: optax.Schedule = bound("optimizer", rate_of, rate)
        optimizer["learning_rate"] = self.learning_rate
        self.tx: optax.GradientTransformation = made("optimizer", OPTIMIZERS, optimizer)
        with naming("views"):
            read = {*read_by(self.method.views, source.fields)}
        self.source = source.keep(read | self.judged(source, training=True))

    def _classified(self, source: Source) -> Source:
        """The source; a classifier's classes without names are numbers from now on.

        Raises:
            ValueError: if the method reads labels that it has no output for, or rows
                without a label that it takes for a class.
        """
        fields, health = dict(source.fields), self.method.health
        with naming("views"):
            read = read_by(self.method.views, source.fields)
        for name in read:
            if (field := fields[name]).kind == "label":
                with naming("method"):
                    few = health.unlabelled
                    check_labels(source, name, health.classes, unlabelled=few)
                if health.classes is not None:
                    names = field.names or tuple(map(str, range(health.classes)))
                    fields[name] = replace(field, names=names)
        return replace(source, fields=fields)

    def with_seed(self, seed: int) -> "Experiment":
        """The same experiment with another seed; all else is shared."""
        other = copy.copy(self)
        other.config = {**self.config, "run": {**self.config["run"], "seed": seed}}
        other.run = replace(self.run, seed=seed)
        return other

    def program(self, feed: Feed, *, trains: bool = True) -> Program:
        """The run's compiled functions, its batches coming from `feed`.

        Args:
            feed: of the training examples.
            trains: whether steps will be made.
        """
        with self._fitting():
            made = program(
                self.method,
                self.tx,
                feed,
                self.mesh,
                rules=self.devices.specs(),
                trains=trains,
                chunks=self.run.chunks,
                view_dtype=self.run.view_dtype,
            )
        described = {**self.config["method"], "encoder": self.config["encoder"]}
        files = self.run.init_from or {}
        files = {"encoder": files} if isinstance(files, str) else files
        return loaded(made, files, described)

    @contextlib.contextmanager
    def _fitting(self) -> Iterator[None]:
        """Names the parts that do not fit together where an error does not.

        Raises:
            ValueError: in the place of any error of tracing, with its first line.
        """
        try:
            yield
        except Exception as error:
            said = str(error)
            if isinstance(error, ValueError) and NAMES_A_SETTING.search(said):
                raise
            if foreseen(error) and (section := self._blamed(said)):
                raise ValueError(f"config.{section}: {said}") from error
            named = ", ".join(
                f"config.{section}.name = {self.config[section]['name']!r}"
                for section in ("method", "views", "encoder")
            )
            raise ValueError(
                f"{reason(error)}. {named} do not work together with these settings; "
                "the library's pages, which jax-ssl configs lists, show the views and "
                "sizes that each method reads (jax-ssl settings PAGE)."
            ) from error

    def _blamed(self, said: str) -> str | None:
        """The section of the setting that a message names with its value, if any."""
        for section in ("encoder", "method", "optimizer", "views"):
            for name, value in self.config[section].items():
                value = tuple(value) if isinstance(value, list) else value
                if re.search(rf"\b{name} = {re.escape(str(value))}(?!\w)", said):
                    return section
        return None

    def every(self, epochs: float) -> int:
        """Steps in so many epochs, at least one."""
        return max(1, round(epochs * self.steps_per_epoch))

    def open(self, changes: Mapping[str, Any], also: Iterable[str] = ()) -> Source:
        """Another part of the data, with the fields that the evaluation reads.

        Args:
            changes: keys of `data`, such as its split; with another "name", another
                source, to which only what concerns the machine is carried over: a
                canvas, a path or a range of the old one is not meant for it.
            also: further fields, where there are such.
        """
        given = dict(self.config["data"])
        if changes.get("name", given["name"]) != given["name"]:
            given = {key: given[key] for key in OF_MACHINE if key in given}
        section = {**given, **changes}
        maker, settings = pick(SOURCES, section, "config.data")
        # A key of the old part that the new source has not is left out.
        known = {*accepted(maker), *changes}
        kept = {key: value for key, value in settings.items() if key in known}
        source = bind(maker, {}, kept)
        return source.keep(self.judged(source) | (set(also) & set(source.fields)))

    def judged(self, source: Source, *, training: bool = False) -> set[str]:
        """Those fields of a source that the evaluation reads.

        Args:
            source: of the examples.
            training: whether they are the training examples, of which protocols that
                learn nothing read nothing unless they watch the training.
        """
        asked = [p for p in self.protocols if p.learns or not training]
        asked += filter(None, [self.watcher])
        needed = {name for protocol in asked for name in protocol.fields}
        with naming("evals.view"):
            seen = read_by(self.view, source.fields)
        return {*seen, *(needed & set(source.fields))}


def _for_each(labels: Sequence[str], chosen: Settings) -> list[Settings]:
    """A protocol's settings for each field that it shall predict."""
    if not labels or "label" not in chosen:
        return [chosen]
    return [{**chosen, "label": label} for label in labels]


@contextlib.contextmanager
def naming(title: str) -> Iterator[None]:
    """Puts the name of a section in front of what is wrong with it.

    Raises:
        ValueError: in the place of any error but those of the operating system; of an
            unforeseen one the first line.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        said = str(error) if isinstance(error, ValueError) else reason(error)
        if inside := WITHIN_A_SETTING.match(said):  # By the path that a user types.
            raise ValueError(f"config.{title}.{inside[1]}: {inside[2]}") from error
        if said.startswith(f"{title}."):
            raise ValueError(f"config.{said}") from error
        raise ValueError(f"config.{title}: {said}") from error


def rate_of(*, learning_rate: optax.Schedule) -> optax.Schedule:
    """The schedule that `optimizer.learning_rate` stands for."""
    return learning_rate


def _made(
    wires: Settings, title: str, table: Mapping[str, Factory], section: Settings
) -> Any:
    """What a section names in a table; errors begin with the section's title."""
    maker, settings = pick(table, section, f"config.{title}")
    found = _bound(wires, title, maker, settings)
    if is_elsewhere(section["name"]):
        check_made(f"config.{title}", section["name"], found)
    return found


def _bound(wires: Settings, title: str, maker: Factory, settings: Settings) -> Any:
    with naming(title):
        return bind(maker, wires, settings)
