"""A run's collapse doctor: its probe images, its past, and the untrained control."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from jax_ssl.commands.evaluator import sample
from jax_ssl.commands.opening import METRICS
from jax_ssl.config import Checkup, Experiment
from jax_ssl.config.bind import bind
from jax_ssl.core.state import TrainState
from jax_ssl.evaluate.vitals import measure_of
from jax_ssl.parallel.mesh import row_sharding
from jax_ssl.parallel.processes import meet, of_first
from jax_ssl.train.doctor import KIND, Doctor, Facts
from jax_ssl.train.loop import Evaluation
from jax_ssl.train.metrics import read_metrics
from jax_ssl.train.program import Program
from jax_ssl.train.report import Reporter


def doctor(
    experiment: Experiment, made: Program, workdir: pathlib.Path, reporter: Reporter
) -> list[Evaluation]:
    """The doctor's looks at the run, [] if `run.doctor` is None.

    It has looked at the untrained network when this returns, while that is alone in
    device memory; in a run that is continued it knows the looks before.

    Raises:
        ValueError: if the interval is not positive, or the views hold no images.
    """
    if experiment.run.doctor is None:
        return []
    settings = bind(Checkup, {}, experiment.run.doctor)
    plan, method = experiment.plan, experiment.method
    every = settings.interval(plan.num_steps, plan.log_every)
    measured = measure_of(method, seed=experiment.run.seed)
    mesh = experiment.mesh
    probe = _probe(experiment, settings.images)

    compiled: list[Any] = []

    def measure(train: TrainState) -> dict[str, float]:
        inputs = (train.params, train.state, probe)
        if not compiled:
            compiled.append(measured.lower(*inputs).compile())
            meet()
        signs = jax.device_get(compiled[0](*inputs))
        return {name: float(value) for name, value in signs.items()}

    batch_size = experiment.feeding.batch_size
    known = Doctor(
        measure,
        Facts(
            batch_size=batch_size,
            chance=None if method.chance is None else method.chance(batch_size),
            num_prototypes=_prototypes(experiment.config["method"]),
        ),
        stop=settings.stop,
        past=_past(workdir, reporter.run.restored_step),
    )
    if not any(record["step"] == 0 for record in known.history):
        with jax.set_mesh(mesh):
            meet()
            start = made.start(jax.random.key(experiment.run.seed))
            for record in known.run(start, {}):
                if reporter.run.restored_step == 0:
                    reporter.evaluation(0, record)
        known.history.sort(key=lambda record: record["step"])
    return [Evaluation(every, known.run)]


def _probe(experiment: Experiment, count: int) -> dict[str, jax.Array]:
    """Training images, as many as the devices can share, over the mesh."""
    rows = sample(experiment.source, count)
    mesh = experiment.mesh
    kept = max(len(rows["index"]) // mesh.size, 1) * mesh.size
    where = row_sharding(mesh)
    return {
        name: jax.make_array_from_callback(
            (kept, *leaf.shape[1:]), where, leaf[:kept].__getitem__
        )
        for name, leaf in rows.items()
    }


def _past(workdir: pathlib.Path, restored_step: int) -> list[dict[str, Any]]:
    """Records of earlier starts up to the step that this one begins at.

    The same in all processes, which must agree on where to stop.
    """
    found = [
        record
        for record in read_metrics(workdir / METRICS)
        if record.get("kind") == KIND and record.get("step", 0) <= restored_step
    ]
    return json.loads(of_first(KIND, json.dumps(found)))


def _prototypes(settings: Mapping[str, Any]) -> int | None:
    # DeepCluster's paper calls them clusters.
    names = ("num_prototypes", "num_clusters")
    counts = [settings[name] for name in names if name in settings]
    return counts[0] if counts else None
