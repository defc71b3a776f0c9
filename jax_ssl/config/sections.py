"""The sections of a config: tables of what they can name, and settings of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jax.sharding import PartitionSpec as P

from jax_ssl.augment import VIEWS
from jax_ssl.data import SOURCES
from jax_ssl.encoders import ENCODERS
from jax_ssl.evaluate.class_tokens import class_tokens
from jax_ssl.evaluate.few_label import few_label
from jax_ssl.evaluate.knn import knn
from jax_ssl.evaluate.linear import linear
from jax_ssl.methods import METHODS
from jax_ssl.optim import OPTIMIZERS

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
        report: write the HTML report at the end.
        init_from: exported encoder that a classifier starts from, as
            "RUN/export/encoder.npz"; read at the first step and never again.
        teacher_from: teacher of a distillation, as "RUN/export/teacher.npz", made by
            jax-ssl export --teacher; likewise.
        doctor: look for collapse, with the settings of `Checkup`; None: do not.
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
    report: bool = True
    init_from: str | None = None
    teacher_from: str | None = None
    doctor: dict | None = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """Settings of `run.doctor`.

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

    def interval(self, num_steps: int, log_every: int) -> int:
        """Steps between two looks.

        Raises:
            ValueError: if that is not at least 1.
        """
        if self.every_steps is None:
            lines = min(10, num_steps // (10 * log_every))
            return max(1, lines) * log_every
        if self.every_steps < 1:
            raise ValueError(
                f"config.run.doctor: every_steps = {self.every_steps} must be at least "
                "1; run.doctor = None switches the doctor off."
            )
        return self.every_steps


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
        class_tokens: what the linear probe reads of a ViT in the place of its features,
            the settings of `class_tokens`: dict(blocks=4) for DINO's ViT-S.
        batch_size: of feature extraction.
    """

    view: dict
    train: dict | None = None
    test: dict | None = None
    online: dict | None = None
    knn: dict | None = None
    linear: dict | None = None
    few_label: dict | None = None
    class_tokens: dict | None = None
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


PLAIN: dict[str, Callable[..., Any]] = {"evals": Evals, "mesh": Devices, "run": Run}
PROTOCOLS: dict[str, Callable[..., Any]] = {
    "online": Online,
    "knn": knn,
    "linear": linear,
    "few_label": few_label,
    "class_tokens": class_tokens,
}
SECTIONS = (*TABLES, *PLAIN)
# Keys that may differ when a run is resumed: they do not change its numbers, or only
# by rounding.
MAY_CHANGE = (
    "data.workers",
    "data.data_dir",
    "data.path",
    "evals",
    "mesh",
    "method.similarity",
    "run.chunks",
    "run.doctor",
    "run.keep_checkpoints",
    "run.tensorboard",
    "run.report",
)
