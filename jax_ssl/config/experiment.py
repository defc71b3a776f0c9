"""A resolved config to the objects of a run; nothing is compiled."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jax_ssl.augment import VIEWS
from jax_ssl.config.bind import accepted, bind, pick, without_name
from jax_ssl.config.sections import Devices, Evals, Feeding, Run
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.data import SOURCES
from jax_ssl.data.order import steps_per_epoch
from jax_ssl.data.source import Source
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.methods.classifier import with_encoder
from jax_ssl.optim import OPTIMIZERS
from jax_ssl.parallel.mesh import check_batch_size, make_mesh
from jax_ssl.train.feeds import Feed
from jax_ssl.train.loop import Plan
from jax_ssl.train.program import Program, program
from jax_ssl.train.start import started_from, teacher_of, with_teacher


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a config stands for, built.

    Attributes:
        config: the resolved config, every default filled in; plain JSON values.
        method: the method.
        tx: the optimizer.
        learning_rate: step -> rate, for the log.
        source: training examples.
        feeding: how they are fed.
        view: the evaluation's un-augmented view.
        evals: what is evaluated.
        run: length, seed, intervals.
        plan: the same in steps.
        steps_per_epoch: full batches in a pass over the data.
        mesh: the devices.
        rules: where arrays of the train state live that the shape rule does not place.
    """

    config: dict[str, Any]
    method: Method
    tx: optax.GradientTransformation
    learning_rate: optax.Schedule
    source: Source
    feeding: Feeding
    view: ViewFn
    evals: Evals
    run: Run
    plan: Plan
    steps_per_epoch: int
    mesh: Mesh
    rules: Sequence[tuple[str, P]]

    def program(self, feed: Feed) -> Program:
        """The run's compiled functions, its batches coming from `feed`."""
        made = program(
            self.method,
            self.tx,
            feed,
            self.mesh,
            rules=self.rules,
            chunks=self.run.chunks,
            view_dtype=self.run.view_dtype,
        )
        if self.run.init_from is not None:
            return started_from(
                made,
                "run.init_from",
                self.run.init_from,
                self.config["encoder"],
                self.method.export,
                with_encoder,
            )
        teacher = self.config["method"].get("teacher")
        if teacher is not None:
            return started_from(
                made,
                "run.teacher_from",
                self.run.teacher_from,
                teacher,
                teacher_of,
                with_teacher,
            )
        return made

    def every(self, epochs: float) -> int:
        """Steps in so many epochs, at least one."""
        return max(1, round(epochs * self.steps_per_epoch))

    def open(self, changes: Mapping[str, Any]) -> Source:
        """The data set with some of its settings changed, such as its split."""
        section = {**without(self.config["data"], Feeding), **changes}
        maker = pick(SOURCES, section, "config.data")
        kept = {k: v for k, v in without_name(section).items() if k in accepted(maker)}
        return bind(maker, {}, {**kept, **without_name(changes)})


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
    evals = _bound("evals", Evals, {}, config["evals"])
    run = _bound("run", Run, {}, config["run"])
    data = config["data"]
    mine = {key: data[key] for key in accepted(Feeding) if key in data}
    feeding = _bound("data", Feeding, {}, mine)
    where = _bound("mesh", Devices, {}, config["mesh"])
    mesh = make_mesh(fsdp=where.fsdp, devices=devices)
    check_batch_size(feeding.batch_size, mesh.size, run.chunks)
    if run.init_from is not None and config["method"]["name"] != "classifier":
        raise ValueError(
            f"run.init_from = {run.init_from!r}: only a method of the name classifier "
            "starts from an encoder; the teachers and queues of a self-supervised "
            "method would not fit to it."
        )
    if run.teacher_from is not None and config["method"].get("teacher") is None:
        raise ValueError(
            f"run.teacher_from = {run.teacher_from!r} is for distillation: give "
            "config.method.teacher, the section of the teacher's encoder, to a method "
            "that has this setting (dinov2)."
        )
    if source is None:
        source = _made("data", SOURCES, {}, without(data, Feeding))
    epoch = steps_per_epoch(feeding.batch_size, len(source))
    plan = plan_of(run, epoch)

    wires: dict[str, Any] = {
        "batch_size": feeding.batch_size,
        "fields": source.fields,
        "num_examples": len(source),
        "steps_per_epoch": epoch,
        "total_steps": plan.num_steps,
    }
    wires["make_encoder"] = functools.partial(_made, "method.teacher", ENCODERS, wires)
    view = _made("evals.view", VIEWS, wires, evals.view)
    wires["views"] = _made("views", VIEWS, wires, config["views"])
    wires["encoder"] = _made("encoder", ENCODERS, wires, config["encoder"])
    method = _made("method", METHODS, wires, config["method"])
    optimizer = dict(config["optimizer"])
    rate = _bound(
        "optimizer", rate_of, wires, {"learning_rate": optimizer.get("learning_rate")}
    )
    optimizer["learning_rate"] = rate
    tx = _made("optimizer", OPTIMIZERS, wires, optimizer)
    return Experiment(
        config=dict(config),
        method=method,
        tx=tx,
        learning_rate=rate,
        source=source,
        feeding=feeding,
        view=view,
        evals=evals,
        run=run,
        plan=plan,
        steps_per_epoch=epoch,
        mesh=mesh,
        rules=where.specs(),
    )


def rate_of(*, learning_rate: optax.Schedule) -> optax.Schedule:
    """The schedule that `optimizer.learning_rate` stands for."""
    return learning_rate


def plan_of(run: Run, epoch: int) -> Plan:
    """The run's intervals in steps, `epoch` steps being one epoch.

    Raises:
        ValueError: if the length is given twice or not at all.
    """
    if (run.num_epochs is None) == (run.num_steps is None):
        raise ValueError(
            f"run.num_epochs = {run.num_epochs} and run.num_steps = {run.num_steps}: "
            "give exactly one of the two."
        )
    if run.checkpoint_every_epochs is not None and run.checkpoint_every_steps:
        raise ValueError(
            "run.checkpoint_every_epochs and run.checkpoint_every_steps: give one."
        )
    steps = run.num_steps or round((run.num_epochs or 0) * epoch)
    every = run.checkpoint_every_steps or round(
        (run.checkpoint_every_epochs or 0) * epoch
    )
    return Plan(
        num_steps=steps,
        log_every=run.log_every_steps,
        checkpoint_every=every,
        steps_per_call=run.steps_per_call,
    )


def without(section: Mapping[str, Any], maker: Callable[..., Any]) -> dict[str, Any]:
    """`section` without the settings of `maker`."""
    return {key: value for key, value in section.items() if key not in accepted(maker)}


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
