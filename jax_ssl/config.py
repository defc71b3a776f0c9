"""A config page to the objects of a run, everything checked before compilation.

A page is a Python file with `get_config() -> ConfigDict` (or `get_config(arg)`, called
with what follows the colon in "page.py:arg"). Its sections are those of `SECTIONS`; the
signatures of what they name are their schemas (`bind`).

Overrides ("--config.section.key=value") are parsed here and not by ml_collections'
`config_flags`, because that accepts only keys that the page already spells out, and
every setting that has a default should be reachable.
"""

import ast
import importlib.util
import logging
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jax_ssl.augment import VIEWS
from jax_ssl.bind import accepted, bind, nearest, pick, resolve, without_name
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.data import SOURCES
from jax_ssl.data.order import steps_per_epoch
from jax_ssl.data.source import Source
from jax_ssl.encoders import ENCODERS
from jax_ssl.evaluate.few_label import few_label
from jax_ssl.evaluate.knn import knn
from jax_ssl.evaluate.linear import linear
from jax_ssl.methods import METHODS
from jax_ssl.optim import OPTIMIZERS
from jax_ssl.parallel.mesh import check_batch_size, make_mesh
from jax_ssl.train.loop import Plan

log = logging.getLogger(__name__)

TABLES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "encoder": ENCODERS,
    "method": METHODS,
    "views": VIEWS,
    "optimizer": OPTIMIZERS,
    "data": SOURCES,
}


@dataclass(frozen=True, kw_only=True)
class Feeding:
    """Settings of `data` that are not the source's own.

    Attributes:
        batch_size: of the global batch, over all devices of all hosts.
        resident: keep all images in device memory and gather the batches there.
        workers: threads that read and decode; 0 for one per core.
    """

    batch_size: int
    resident: bool = False
    workers: int = 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """Settings of `run`.

    Attributes:
        num_epochs: length of the run in passes over the data; or
        num_steps: in optimizer steps.
        seed: of data order, parameters and views.
        log_every_steps: one log line, and one wait for the device, per this many.
        checkpoint_every_epochs: None for only the last; or
        checkpoint_every_steps: in steps.
        keep_checkpoints: the newest that stay.
        steps_per_call: steps scanned in one dispatch; worth it for tiny steps.
        tensorboard: write TensorBoard files beside metrics.jsonl.
        report: write the HTML report at the end.
    """

    num_epochs: float | None = None
    num_steps: int | None = None
    seed: int = 0
    log_every_steps: int = 50
    checkpoint_every_epochs: float | None = None
    checkpoint_every_steps: int | None = None
    keep_checkpoints: int = 3
    steps_per_call: int = 1
    tensorboard: bool = False
    report: bool = True


@dataclass(frozen=True, kw_only=True)
class Evals:
    """Settings of `evals`; each protocol is a mapping of its own settings, or None.

    Attributes:
        view: the un-augmented view, dict(name=..., ...).
        train: keys of `data` that differ for the labelled training part.
        test: keys of `data` that differ for the test part; None: there is none.
        online: k-NN on a held-out part of train during training.
        knn: weighted k-NN on all labels.
        linear: linear probe, swept, chosen on a held-out part of train.
        few_label: accuracy with a few labels a class.
        batch_size: of feature extraction.
    """

    view: dict
    train: dict | None = None
    test: dict | None = None
    online: dict | None = None
    knn: dict | None = None
    linear: dict | None = None
    few_label: dict | None = None
    batch_size: int = 512


@dataclass(frozen=True, kw_only=True)
class Online:
    """Settings of `evals.online`.

    Attributes:
        every_epochs: how often.
        k: neighbours that vote.
        temperature: of their weights.
        max_bank: training images to search, at most.
        max_queries: training images held out to ask about, at most; a tenth of train
            where that is less.
        seed: of the choice of both.
    """

    every_epochs: float = 10.0
    k: int = 200
    temperature: float = 0.1
    max_bank: int = 20_000
    max_queries: int = 2_000
    seed: int = 0


PLAIN: dict[str, Callable[..., Any]] = {"evals": Evals, "mesh": make_mesh, "run": Run}
PROTOCOLS: dict[str, Callable[..., Any]] = {
    "online": Online,
    "knn": knn,
    "linear": linear,
    "few_label": few_label,
}
SECTIONS = (*TABLES, *PLAIN)
# Keys that may differ when a run is resumed: they do not change its numbers.
MAY_CHANGE = (
    "data.workers",
    "data.data_dir",
    "data.path",
    "evals",
    "run.keep_checkpoints",
    "run.tensorboard",
    "run.report",
)


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

    def every(self, epochs: float) -> int:
        """Steps in so many epochs, at least one."""
        return max(1, round(epochs * self.steps_per_epoch))

    def open(self, changes: Mapping[str, Any]) -> Source:
        """The data set with some of its settings changed, such as its split."""
        section = {**without(self.config["data"], Feeding), **changes}
        maker = pick(SOURCES, section, "data")
        kept = {k: v for k, v in without_name(section).items() if k in accepted(maker)}
        return bind(maker, {}, {**kept, **without_name(changes)})


def load_page(reference: str) -> ConfigDict:
    """Reads a config page: "path/to/page.py" or "path/to/page.py:arg".

    Raises:
        ValueError: if there is no such file, or it has no `get_config`.
    """
    path, _, argument = reference.partition(":")
    file = pathlib.Path(path)
    if not file.is_file():
        raise ValueError(f"there is no config page {path!r}; see the folder configs/.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"config page {path!r} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent.resolve()))  # So that pages can share a file.
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not hasattr(module, "get_config"):
        raise ValueError(f"config page {path!r} has no function get_config().")
    return ConfigDict(module.get_config(*([argument] if argument else [])))


def override(config: ConfigDict, assignments: Sequence[str]) -> ConfigDict:
    """Applies "section.key=value" strings to a copy of `config`.

    A value is read as a Python literal, else as a string; "{'name': ...}" replaces a
    whole section. Where a `name` changes, the old settings stay that the new thing
    also has.

    Raises:
        ValueError: if a string is no assignment, or leads into something that is not a
            section.
    """
    tree = config.to_dict()
    for assignment in assignments:
        dotted, equals, text = assignment.partition("=")
        keys = dotted.split(".")
        if not equals or not all(keys):
            raise ValueError(f"{assignment!r} is not of the form section.key=value.")
        check_sections(keys[:1])
        at = tree
        for key in keys[:-1]:
            at = at.setdefault(key, {})
            if not isinstance(at, dict):
                raise ValueError(
                    f"config.{dotted}: {key!r} is the value {at!r}, not a section."
                )
        value, old = _literal(text), at.get(keys[-1])
        at[keys[-1]] = text if isinstance(old, str) and value is not None else value
        section = keys[0]
        if keys[1:] == ["name"] and section in TABLES:
            tree[section] = _renamed(section, tree[section])
    return ConfigDict(tree)


def check_sections(names: Sequence[str]) -> None:
    """Refuses a section that no config has.

    Raises:
        ValueError: naming the nearest known one.
    """
    for name in names:
        if name not in SECTIONS:
            raise ValueError(
                f"config has no section {name!r}{nearest(name, SECTIONS)}; it has "
                f"{', '.join(SECTIONS)}."
            )


def resolved(config: ConfigDict) -> dict[str, Any]:
    """The config with every default of every section filled in; plain values.

    Raises:
        ValueError: for unknown sections and settings, and missing ones.
    """
    tree = config.to_dict()
    check_sections(list(tree))
    full = {}
    for section, table in TABLES.items():
        if section not in tree:
            raise ValueError(f"config has no section {section!r}.")
        settings = dict(tree[section])
        maker = pick(table, settings, section)
        extra = {}
        if section == "data":
            mine = [key for key in accepted(Feeding) if key in settings]
            extra = resolve(Feeding, {key: settings.pop(key) for key in mine})
        found = _resolve(section, maker, without_name(settings), accepted(Feeding))
        full[section] = {"name": settings["name"], **found, **extra}
    for section, maker in PLAIN.items():
        values = _resolve(section, maker, tree.get(section, {}))
        full[section] = {k: v for k, v in values.items() if k != "devices"}
    return _plain(full)


def build(config: Mapping[str, Any], source: Source | None = None) -> Experiment:
    """Builds everything that a resolved config stands for; compiles nothing.

    Args:
        config: from `resolved`.
        source: instead of the one that `data` names.

    Raises:
        ValueError: for values of the wrong type and combinations that cannot work,
            with the section's name in front.
    """
    evals = _bound("evals", Evals, {}, config["evals"])
    for name, maker in PROTOCOLS.items():
        if getattr(evals, name) is not None:
            _resolve(f"evals.{name}", maker, getattr(evals, name), optional=True)
    run = _bound("run", Run, {}, config["run"])
    data = config["data"]
    mine = {key: data[key] for key in accepted(Feeding) if key in data}
    feeding = _bound("data", Feeding, {}, mine)
    mesh = _bound("mesh", make_mesh, {}, config["mesh"])
    check_batch_size(feeding.batch_size, mesh.size)
    view = _made("evals.view", VIEWS, {}, evals.view)
    if source is None:
        source = _made("data", SOURCES, {}, without(data, Feeding))
    epoch = steps_per_epoch(feeding.batch_size, len(source))
    plan = plan_of(run, epoch)

    wires: dict[str, Any] = {
        "batch_size": feeding.batch_size,
        "num_examples": len(source),
        "steps_per_epoch": epoch,
        "total_steps": plan.num_steps,
    }
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
    maker = pick(table, section, title)
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


def _resolve(
    title: str,
    maker: Callable[..., Any],
    settings: Mapping[str, Any],
    also: Sequence[str] = (),
    optional: bool = False,
) -> dict[str, Any]:
    for key in settings:
        known = (*accepted(maker), *also)
        if key not in known:
            raise ValueError(
                f"config.{title} has no setting {key!r}{nearest(key, known)}; it has "
                f"{', '.join(sorted(known))}."
            )
    if optional:  # A protocol chooses what is not given.
        return dict(settings)
    try:
        return resolve(maker, settings)
    except ValueError as error:
        raise ValueError(f"config.{title}: {error}") from error


def _renamed(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    maker = pick(TABLES[section], settings, section)
    known = ("name", *accepted(maker))
    if section == "data":
        known = (*known, *accepted(Feeding))
    dropped = sorted(set(settings) - set(known))
    if dropped:
        log.warning(
            "config.%s is now %r; the page's %s are dropped, for it has no such "
            "settings",
            section,
            settings["name"],
            ", ".join(dropped),
        )
    return {key: value for key, value in settings.items() if key in known}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "null": None}.get(text, text)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
