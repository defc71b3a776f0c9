"""What every command does first: open a run's folder and build what it stands for."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
from ml_collections import ConfigDict

from jax_ssl import __version__
from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.checkpoint.run_folder import CONFIG, config_differences
from jax_ssl.config import Experiment, build, override, resolved
from jax_ssl.core.state import TrainState
from jax_ssl.parallel.processes import meet, of_first
from jax_ssl.train.feeds import Feed, HostFeed, ResidentFeed
from jax_ssl.train.program import Program, program

METRICS = "metrics.jsonl"
RESULTS = "results.json"
CHECKPOINTS = "checkpoints"
REPORT = "report"
ENCODER = "export/encoder.npz"
TEACHER = "export/teacher.npz"


def read_experiment(workdir: pathlib.Path, overrides: Sequence[str]) -> Experiment:
    """The experiment of an existing run; only its `evals` and `data` may be changed.

    Raises:
        FileNotFoundError: if the folder holds no run.
        ValueError: for an override of another section.
    """
    path = workdir / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"{workdir} holds no run (no {CONFIG}); jax-ssl train makes one."
        )
    for assignment in overrides:
        if not assignment.startswith(("evals.", "data.", "mesh.")):
            raise ValueError(
                f"--config.{assignment}: the run in {workdir} is what it is; only "
                "config.evals, config.data and config.mesh can be changed now."
            )
    config = resolved(override(ConfigDict(json.loads(path.read_text())), overrides))
    check_same(config)
    return build(config)


def check_same(config: Mapping[str, Any]) -> None:
    """Refuses processes that were started with different settings, before any acts.

    Raises:
        ValueError: in those that differ from process 0, naming what differs.
    """
    first = json.loads(of_first("config", json.dumps(config)))
    if lines := config_differences(first, config):
        raise ValueError(
            f"process {jax.process_index()} has other settings than process 0:\n  "
            + "\n  ".join(lines)
            + "\nGive all processes the same command."
        )
    meet()


def make_feed(experiment: Experiment) -> Feed:
    """The feed that `data.resident` asks for."""
    kind = ResidentFeed if experiment.feeding.resident else HostFeed
    return kind(
        experiment.source,
        mesh=experiment.mesh,
        seed=experiment.run.seed,
        batch_size=experiment.feeding.batch_size,
        workers=experiment.feeding.workers,
    )


@contextmanager
def restored(
    workdir: pathlib.Path, experiment: Experiment, step: int | None
) -> Iterator[tuple[TrainState, Program]]:
    """A checkpoint's params and state on the experiment's mesh, which is installed.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
    """
    feed = HostFeed(  # Only its shapes are used; nothing is read.
        experiment.source,
        mesh=experiment.mesh,
        seed=experiment.run.seed,
        batch_size=experiment.feeding.batch_size,
    )
    made = program(experiment.method, experiment.tx, feed, experiment.mesh)
    abstract = made.abstract.replace(opt_state=None)
    with (
        jax.set_mesh(experiment.mesh),
        open_checkpoints(workdir / CHECKPOINTS, writable=False) as checkpoints,
    ):
        meet()
        yield checkpoints.restore(abstract, step), made


def environment() -> dict[str, Any]:
    """Where and with what a run ran, for its results and its report."""
    device = jax.devices()[0]
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    program = pathlib.Path(sys.argv[0]).name
    spoken = "python -m jax_ssl" if program == "__main__.py" else program
    return {
        "command": " ".join([spoken, *map(shlex.quote, sys.argv[1:])]),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "devices": f"{jax.device_count()} x {device.device_kind}",
        "cores": os.cpu_count(),
        "processes": jax.process_count(),
        "platform": platform.platform(),
        "versions": {
            "jax_ssl": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def _commit() -> str | None:
    """Commit of the source tree that runs, with a + if it has changes."""
    root = pathlib.Path(__file__).parent.parent.parent
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
