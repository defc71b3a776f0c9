"""The sections of a config: tables of what they can name, and settings of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jax.sharding import PartitionSpec as P

from jax_ssl.augment import VIEWS
from jax_ssl.config.elsewhere import is_elsewhere
from jax_ssl.core import checks
from jax_ssl.data import SOURCES
from jax_ssl.data.classes import Unknown
from jax_ssl.encoders import ENCODERS
from jax_ssl.evaluate import PROTOCOLS
from jax_ssl.methods import METHODS
from jax_ssl.optim import OPTIMIZERS
from jax_ssl.train.loop import Plan
from jax_ssl.train.trackers import TRACKERS

TABLES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "encoder": ENCODERS,
    "method": METHODS,
    "views": VIEWS,
    "optimizer": OPTIMIZERS,
    "data": SOURCES,
}


@dataclass(frozen=True, kw_only=True)
class Feeding:
    """Settings of `feed`: how examples reach the devices.

    Attributes:
        batch_size: of the global batch, over all devices of all hosts.
        resident: keep all examples in device memory and gather the batches there.
        workers: threads that read and decode; 0 for one per core.
        labels_per_class: train on so many examples of each class alone, drawn once; it
            is for methods that read labels. None: on all.
        labels_seed: of that draw; of one seed, fewer examples are among the more.
        labelled: so many rows of each batch have a label and all others none, which -1
            stands for: `mean_teacher` and `distillation` learn from both kinds. An
            epoch is a pass over the examples without. Labels are those of
            labels_per_class, and hidden elsewhere; without it, all that there are.
            None: examples are of one kind.
    """

    batch_size: int
    resident: bool = False
    workers: int = 0
    labels_per_class: int | None = None
    labels_seed: int = 0
    labelled: int | None = None

    def __post_init__(self) -> None:
        checks.at_least(1, batch_size=self.batch_size)
        checks.at_least(1, labels_per_class=self.labels_per_class)
        checks.within(f"[1, {self.batch_size})", labelled=self.labelled)
        checks.at_least(0, workers=self.workers, labels_seed=self.labels_seed)


@dataclass(frozen=True, kw_only=True)
class Devices:
    """Settings of `mesh`.

    Attributes:
        fsdp: devices over which parameters of 1 MiB and more are split; divides the
            number of devices. The rows of a batch are split over all devices anyway.
        rules: (pattern, axes) pairs, the first whose pattern is found in the path of an
            array of the train state decides where that lives, as
            ("^state/queue$", ("fsdp", None)): axis 0 split over "fsdp". An axis is
            "data", "fsdp", both in a tuple, or None.
    """

    fsdp: int = 1
    rules: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def __post_init__(self) -> None:
        checks.patterns(**{"mesh.rules": [pattern for pattern, _ in self.rules]})

    def specs(self) -> list[tuple[str, P]]:
        """The rules as partition specs."""
        return [
            (pattern, P(*(tuple(a) if isinstance(a, list) else a for a in axes)))
            for pattern, axes in self.rules
        ]


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
        steps_per_call: steps scanned in one dispatch; worth it for tiny steps on an
            accelerator. On CPU it is slower by far.
        chunks: turns in which views are made and networks applied, to save memory; it
            changes nothing else. The batch-norm groups must be a multiple of chunks x
            devices.
        view_dtype: of views between their making and the network; "bfloat16" halves
            their memory where the encoder computes in bfloat16.
        tensorboard: write TensorBoard files beside metrics.jsonl.
        trackers: where records go beside metrics.jsonl: "tensorboard", "wandb",
            "mlflow", or one of your own, "my_package.tracking:mine"; see
            `train.trackers`.
        report: write the HTML report at the end.
        init_from: an exported encoder to start from, as "RUN/export/encoder.npz", or
            files by what they fill, dict(teacher="RUN/export/teacher.npz"); they are
            read at the first step and never again.
        accept_changed_data: continue a run although the data set is not the one that it
            began with, in number, order or content; say it each time.
    """

    num_epochs: float | None = None
    num_steps: int | None = None
    seed: int = 0
    log_every_steps: int = 50
    checkpoint_every_epochs: float | None = None
    checkpoint_every_steps: int | None = None
    keep_checkpoints: int = 3
    steps_per_call: int = 1
    chunks: int = 1
    view_dtype: Literal["float32", "bfloat16"] = "float32"
    tensorboard: bool = False
    trackers: tuple[str, ...] = ()
    report: bool = True
    init_from: str | dict | None = None
    accept_changed_data: bool = False

    def __post_init__(self) -> None:
        checks.at_least(
            1,
            log_every_steps=self.log_every_steps,
            steps_per_call=self.steps_per_call,
            chunks=self.chunks,
            keep_checkpoints=self.keep_checkpoints,
            num_steps=self.num_steps,
        )
        checks.positive(
            num_epochs=self.num_epochs,
            checkpoint_every_epochs=self.checkpoint_every_epochs,
            checkpoint_every_steps=self.checkpoint_every_steps,
        )
        checks.within("[0, 4294967295]", seed=self.seed)
        for name in self.trackers:
            if not is_elsewhere(name):
                checks.one_of(tuple(TRACKERS), **{"run.trackers": name})
        for unit in ("num_{}", "checkpoint_every_{}"):
            names = [unit.format(word) for word in ("epochs", "steps")]
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) == 2 or (not given and unit == "num_{}"):
                said = " and ".join(f"{n} = {getattr(self, n)}" for n in names)
                other = f"--config.run.{names[0]}=None"
                raise ValueError(
                    f"{said}: give exactly one of the two; {other} takes back what the "
                    f"page says, where {names[1]} is meant."
                )

    def plan(self, epoch: int) -> Plan:
        """The run's intervals in steps, `epoch` steps being one epoch."""
        every = round((self.checkpoint_every_epochs or 0) * epoch)
        return Plan(
            num_steps=self.num_steps or max(1, round((self.num_epochs or 0) * epoch)),
            log_every=self.log_every_steps,
            checkpoint_every=self.checkpoint_every_steps or every,
            steps_per_call=self.steps_per_call,
        )


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """Settings of `doctor`, which looks for collapse; None: it does not.

    Attributes:
        every_steps: how often; None: at every tenth log line, or at as many as make
            ten looks in a shorter run.
        stop: end the run, with status 1 and before anything is saved, at the first
            diagnosis; the last checkpoint stays.
        images: of the training part, the same ones each time.
    """

    every_steps: int | None = None
    stop: bool = False
    images: int = 256

    def __post_init__(self) -> None:
        checks.at_least(1, every_steps=self.every_steps)
        checks.at_least(2, images=self.images)

    def interval(self, plan: Plan) -> int:
        """Steps between two looks."""
        lines = min(10, plan.num_steps // (10 * plan.log_every))
        return self.every_steps or max(1, lines) * plan.log_every


@dataclass(frozen=True, kw_only=True)
class Evals:
    """Settings of `evals` beside its protocols.

    A protocol is a mapping of its own settings under its own name, or None.

    Attributes:
        view: the un-augmented view, dict(name=..., ...).
        train: keys of `data` that differ for the labelled training part; with another
            "name" no key of `data` is kept but cache_gib: a canvas, for one, is that
            source's own.
        test: keys of `data` that differ for the test part, in the same way; None: there
            is none.
        labels: fields of kind label, each of which is predicted by every protocol that
            has a setting `label`; () for the one that this setting names.
        unknown_classes: what becomes of a class, by its name, that `train` lacks:
            "refuse" the part; "drop": its examples are left out; "keep": they count as
            wrong.
        online: a protocol that watches the training, the settings of `Online` and of
            the protocol together.
        batch_size: examples of a forward pass, over all devices.
        device_gib: features that a device holds; what is larger goes to files.
    """

    view: dict
    train: dict | None = None
    test: dict | None = None
    labels: tuple[str, ...] = ()
    unknown_classes: Unknown = "refuse"
    online: dict | None = None
    batch_size: int = 512
    device_gib: float = 2.0

    def __post_init__(self) -> None:
        checks.at_least(1, batch_size=self.batch_size)
        checks.at_least(0, device_gib=self.device_gib)


@dataclass(frozen=True, kw_only=True)
class Online:
    """When and on what a protocol watches the training.

    It is asked about training examples that are held out from what it reads, so that
    nothing is ever chosen by looking at the test part.

    Attributes:
        protocol: which one.
        every_epochs: how often.
        max_bank: training examples to learn from or to search, at most.
        max_queries: training examples held out to ask about, at most; a tenth of train
            where that is less.
        order_seed: of the choice of both.
    """

    protocol: Literal[tuple(PROTOCOLS)] = "knn"  # type: ignore[valid-type]
    every_epochs: float = 10.0
    max_bank: int = 20_000
    max_queries: int = 2_000
    order_seed: int = 0

    def __post_init__(self) -> None:
        checks.positive(every_epochs=self.every_epochs)
        checks.at_least(1, max_bank=self.max_bank, max_queries=self.max_queries)


# Sections without a table. A None in the place of the doctor switches it off.
PLAIN: dict[str, Callable[..., Any]] = {
    "feed": Feeding,
    "evals": Evals,
    "mesh": Devices,
    "run": Run,
    "doctor": Checkup,
}
SECTIONS = (*TABLES, *PLAIN)
# Keys that may differ when a run is resumed: they do not change its numbers, or only
# by rounding.
MAY_CHANGE = (
    "data.data_dir",
    "data.names",
    "data.path",
    "doctor",
    "evals",
    "feed.workers",
    "mesh",
    "method.similarity",
    "run.accept_changed_data",
    "run.chunks",
    "run.keep_checkpoints",
    "run.tensorboard",
    "run.report",
    "run.trackers",
)
