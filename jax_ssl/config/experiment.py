"""A resolved config to the objects of a run; nothing is compiled."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from jax_ssl.augment import VIEWS
from jax_ssl.config.bind import accepted, bind, pick, without_name
from jax_ssl.config.sections import Checkup, Devices, Evals, Feeding, Online, Run
from jax_ssl.core.fields import read_by
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.data import SOURCES
from jax_ssl.data.order import steps_per_epoch
from jax_ssl.data.source import Source
from jax_ssl.encoders import ENCODERS
from jax_ssl.evaluate import PROTOCOLS
from jax_ssl.evaluate.protocol import Protocol
from jax_ssl.methods import METHODS
from jax_ssl.optim import OPTIMIZERS
from jax_ssl.parallel.mesh import check_batch_size, make_mesh
from jax_ssl.train.feeds import Feed
from jax_ssl.train.load import loaded
from jax_ssl.train.loop import Plan
from jax_ssl.train.program import Program, program


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a config stands for, built.

    Attributes:
        config: the resolved config, every default filled in; plain JSON values.
        method: the method.
        tx: the optimizer.
        learning_rate: step -> rate, for the log.
        everything: training examples with all of their fields.
        source: the same with the fields that training and, where it reads the same
            ones, evaluation look at.
        feeding: how they are fed.
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
    """

    config: dict[str, Any]
    method: Method
    tx: optax.GradientTransformation
    learning_rate: optax.Schedule
    everything: Source
    source: Source
    feeding: Feeding
    view: ViewFn
    evals: Evals
    protocols: Sequence[Protocol]
    online: Online | None
    watcher: Protocol | None
    checkup: Checkup | None
    run: Run
    plan: Plan
    steps_per_epoch: int
    mesh: Mesh
    devices: Devices

    def program(self, feed: Feed) -> Program:
        """The run's compiled functions, its batches coming from `feed`."""
        made = program(
            self.method,
            self.tx,
            feed,
            self.mesh,
            rules=self.devices.specs(),
            chunks=self.run.chunks,
            view_dtype=self.run.view_dtype,
        )
        described = {**self.config["method"], "encoder": self.config["encoder"]}
        return loaded(made, self.run.loads(), described)

    def every(self, epochs: float) -> int:
        """Steps in so many epochs, at least one."""
        return max(1, round(epochs * self.steps_per_epoch))

    def open(self, changes: Mapping[str, Any]) -> Source:
        """Another part of the data, with the fields that the evaluation reads.

        Args:
            changes: keys of `data`, such as its split; with a "name", another source.
        """
        section = {**self.config["data"], **changes}
        maker = pick(SOURCES, section, "config.data")
        kept = {k: v for k, v in without_name(section).items() if k in accepted(maker)}
        source = bind(maker, {}, {**kept, **without_name(changes)})
        return source.keep(self.judged(source))

    def judged(self, source: Source) -> set[str]:
        """Those fields of a source that the evaluation reads."""
        asked = (*self.protocols, *filter(None, [self.watcher]))
        needed = {name for protocol in asked for name in protocol.needs}
        return {*read_by(self.view, source.fields), *(needed & set(source.fields))}


def build(
    config: Mapping[str, Any],
    source: Source | None = None,
    *,
    devices: Sequence[jax.Device] | None = None,
) -> Experiment:
    """Builds everything that a resolved config stands for; compiles nothing.

    Args:
        config: from `resolved`.
        source: instead of the one that `data` names.
        devices: of the mesh; all there are unless given.

    Raises:
        ValueError: for values of the wrong type and combinations that cannot work,
            with the section's name in front.
    """
    settings = {**config, "evals": dict(config["evals"])}
    protocols = {name: settings["evals"].pop(name) for name in PROTOCOLS}
    evals = _bound("evals", Evals, {}, settings["evals"])
    run = _bound("run", Run, {}, config["run"])
    feeding = _bound("feed", Feeding, {}, config["feed"])
    where = _bound("mesh", Devices, {}, config["mesh"])
    checkup = config["doctor"] and _bound("doctor", Checkup, {}, config["doctor"])
    mesh = make_mesh(fsdp=where.fsdp, devices=devices)
    check_batch_size(feeding.batch_size, mesh.size, run.chunks)
    if source is None:
        source = _made("data", SOURCES, {}, config["data"])
    epoch = steps_per_epoch(feeding.batch_size, len(source))
    plan = run.plan(epoch)

    wires: dict[str, Any] = {
        "fields": source.fields,
        "batch_size": feeding.batch_size,
        "num_examples": len(source),
        "steps_per_epoch": epoch,
        "total_steps": plan.num_steps,
    }
    wires["make_encoder"] = functools.partial(_made, "method.teacher", ENCODERS, wires)
    view = _made("evals.view", VIEWS, wires, evals.view)
    wires["views"] = _made("views", VIEWS, wires, config["views"])
    wires["encoder"] = _made("encoder", ENCODERS, wires, config["encoder"])
    method = _made("method", METHODS, wires, config["method"])
    wires |= {"encoder": method.encoder, "num_classes": method.health.classes}
    asked = [
        _bound(f"evals.{name}", PROTOCOLS[name], wires, chosen)
        for name, chosen in protocols.items()
        if chosen is not None
    ]
    online = watcher = None
    if evals.online is not None:
        own = {key: evals.online[key] for key in accepted(Online)}
        online = _bound("evals.online", Online, {}, own)
        rest = {key: value for key, value in evals.online.items() if key not in own}
        watcher = _bound("evals.online", PROTOCOLS[online.protocol], wires, rest)
    optimizer = dict(config["optimizer"])
    rate = _bound(
        "optimizer", rate_of, wires, {"learning_rate": optimizer.get("learning_rate")}
    )
    tx = _made("optimizer", OPTIMIZERS, wires, {**optimizer, "learning_rate": rate})
    built = Experiment(
        config=dict(config),
        method=method,
        tx=tx,
        learning_rate=rate,
        everything=source,
        source=source,
        feeding=feeding,
        view=view,
        evals=evals,
        protocols=[protocol for protocol in asked if protocol is not None],
        online=online,
        watcher=watcher,
        checkup=checkup,
        run=run,
        plan=plan,
        steps_per_epoch=epoch,
        mesh=mesh,
        devices=where,
    )
    read = {*read_by(method.views, source.fields), *built.judged(source)}
    return dataclasses.replace(built, source=source.keep(read))


def rate_of(*, learning_rate: optax.Schedule) -> optax.Schedule:
    """The schedule that `optimizer.learning_rate` stands for."""
    return learning_rate


def _made(
    title: str,
    table: Mapping[str, Callable[..., Any]],
    wires: Mapping[str, Any],
    section: Mapping[str, Any],
) -> Any:
    maker = pick(table, section, f"config.{title}")
    return _bound(title, maker, wires, without_name(section))


def _bound(
    title: str,
    maker: Callable[..., Any],
    wires: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Any:
    try:
        return bind(maker, wires, settings)
    except ValueError as error:
        raise ValueError(f"config.{title}: {error}") from error
