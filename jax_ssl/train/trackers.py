"""Where the records of a run go beside metrics.jsonl: TensorBoard, W&B, MLflow.

A tracker is a function of a `Tracked` that returns something with `write(record)` and
`close()`; `TRACKERS` names those of this library, and a config may name others, as
"my_package.tracking:mine". Their own settings are the environment's: WANDB_MODE,
WANDB_PROJECT, MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and the like.
"""

import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from flax.traverse_util import flatten_dict

from jax_ssl.checkpoint.run_folder import read_json, write_json_atomic
from jax_ssl.train.progress import RunFacts

KNOWN = "trackers.json"  # In a run's folder: what a resumed run is called there.
PROJECT = "jax_ssl"
LONGEST = 500  # Letters of a value that MLflow keeps.


class Writer(Protocol):
    """Somewhere that records go."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Takes one record of metrics.jsonl."""

    def close(self) -> None:
        """Flushes and ends."""


@dataclass(frozen=True)
class Tracked:
    """A run, as a tracker sees it.

    Attributes:
        folder: the run's.
        facts: of the run; a resumed one begins at `facts.restored_step`.
        config: the resolved config.
    """

    folder: pathlib.Path
    facts: RunFacts
    config: Mapping[str, Any]

    def known(self, tracker: str) -> str | None:
        """What this run is called by a tracker that it was begun with."""
        path = self.folder / KNOWN
        remedy = "remove it, and trackers begin a new run"
        return read_json(path, remedy).get(tracker) if path.is_file() else None

    def remember(self, tracker: str, name: str) -> None:
        """Keeps that for a resumed run."""
        path = self.folder / KNOWN
        found = read_json(path, "remove it") if path.is_file() else {}
        write_json_atomic(path, {**found, tracker: name})


Tracker: TypeAlias = Callable[[Tracked], Writer]


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """Finite numbers of a record by curve: "train/loss", "eval/knn/accuracy"."""
    group = "/".join(
        str(record[name]) for name in ("kind", "protocol") if name in record
    )
    return {
        f"{group}/{name}": value
        for name, value in record.items()
        if isinstance(value, (int, float)) and math.isfinite(value) and name != "step"
    }


class TensorBoard:
    """Event files in tensorboard/ of the run's folder."""

    def __init__(self, run: Tracked) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError as error:
            raise _lacking("tensorboard", "tensorboardX") from error
        # Curves drawn beyond the restored step by a killed run are hidden.
        self.board = SummaryWriter(
            str(run.folder / "tensorboard"), purge_step=run.facts.restored_step + 1
        )

    def write(self, record: Mapping[str, Any]) -> None:
        """Draws one point a finite number."""
        for name, value in numbers(record).items():
            self.board.add_scalar(name, value, record["step"])
        self.board.flush()

    def close(self) -> None:
        """Ends the event file."""
        self.board.close()


class WandB:
    """A run of Weights & Biases, resumed under its identity."""

    def __init__(self, run: Tracked) -> None:
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise _lacking("wandb", "wandb") from error
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.folder.resolve().name,
            dir=str(run.folder),
            config=dict(run.config),
            id=run.known("wandb"),
            resume="allow",
            reinit="create_new",  # Several seeds have a run each.
        )
        run.remember("wandb", self.run.id)
        # A killed run may repeat steps, so the step is a value of its own.
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")

    def write(self, record: Mapping[str, Any]) -> None:
        """Logs the finite numbers of a record."""
        self.run.log({**numbers(record), "step": record["step"]})

    def close(self) -> None:
        """Ends the run there."""
        self.run.finish()


class MLflow:
    """A run of MLflow, resumed under its identity."""

    def __init__(self, run: Tracked) -> None:
        try:
            import mlflow
        except ModuleNotFoundError as error:
            raise _lacking("mlflow", "mlflow") from error
        self.client = mlflow.MlflowClient()
        known = run.known("mlflow")
        if known is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            found = self.client.get_experiment_by_name(name)
            experiment = (
                self.client.create_experiment(name)
                if found is None
                else found.experiment_id
            )
            made = self.client.create_run(
                experiment, run_name=run.folder.resolve().name
            )
            known = made.info.run_id
            run.remember("mlflow", known)
            for key, value in flatten_dict(dict(run.config), sep=".").items():
                text = json.dumps(value)[:LONGEST]
                self.client.log_param(known, key, text)
        else:
            self.client.update_run(known, status="RUNNING")
        self.known = known

    def write(self, record: Mapping[str, Any]) -> None:
        """Logs the finite numbers of a record."""
        for name, value in numbers(record).items():
            self.client.log_metric(self.known, name, value, step=record["step"])

    def close(self) -> None:
        """Ends the run there."""
        self.client.set_terminated(self.known)


def _lacking(name: str, package: str) -> ValueError:
    return ValueError(
        f"run.trackers: {name!r} needs {package}: pip install 'jax_ssl[{name}]' (pip "
        f"install {package}), or leave it out; metrics.jsonl is written in any case."
    )


TRACKERS: Mapping[str, Tracker] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
}
