"""A run's collapse doctor: its probe examples, its past, and the untrained control."""

import json
from typing import Any

import jax

from jax_ssl.core.state import TrainState
from jax_ssl.core.telling import telling
from jax_ssl.data.corrupt import sample
from jax_ssl.data.source import Rows
from jax_ssl.evaluate.part import on_mesh
from jax_ssl.evaluate.vitals import measure_of
from jax_ssl.parallel.processes import meet, of_first
from jax_ssl.parallel.together import together
from jax_ssl.run.run import METRICS, Run
from jax_ssl.train.doctor import KIND, Doctor, Facts, alike
from jax_ssl.train.loop import Evaluation
from jax_ssl.train.metrics import read_metrics
from jax_ssl.train.record import Reporter


def doctor(run: Run, reporter: Reporter) -> list[Evaluation]:
    """The doctor's looks at the run, [] if the config has none.

    It has looked at the untrained network when this returns, while that is alone in
    device memory; in a run that is continued it knows the looks before.

    Raises:
        ValueError: if the views hold nothing that the encoder reads.
    """
    experiment = run.experiment
    settings, method = experiment.checkup, experiment.method
    if settings is None:
        return []
    seed, restored = experiment.run.seed, reporter.run.restored_step
    rank = len(run.judge.seen(run.train).shape)
    measured = together(measure_of(method, rank, seed=seed), seldom=True)
    rows = sample(run.experiment.source, settings.images)
    probe = _probe(run, rows)

    def measure(train: TrainState) -> dict[str, float]:
        signs = jax.device_get(measured(train.params, train.state, probe))
        return {name: float(value) for name, value in signs.items()}

    size, health = experiment.feeding.batch_size, method.health
    chance = None if health.chance is None else health.chance(size)
    facts = Facts(batch_size=size, chance=chance, num_prototypes=health.prototypes)
    past = _past(run, restored)
    fields = run.experiment.source.fields
    kinds = {name: fields[name].kind for name in rows}
    seen = {n: rows[n] for n, k in kinds.items() if k in ("image", "frames", "wave")}
    known = Doctor(measure, facts, settings.stop, past, at_start=alike(seen))
    if not any(record["step"] == 0 for record in known.history):
        looking = "compiling, and looking at the untrained network"
        with jax.set_mesh(experiment.mesh), telling(looking):
            meet()
            for record in known.run(run.program.start(jax.random.key(seed)), {}):
                if restored == 0:
                    reporter.note(0, record)
        known.history.sort(key=lambda record: record["step"])
    return [Evaluation(settings.interval(experiment.plan), known.run, guards=True)]


def _probe(run: Run, rows: Rows) -> dict[str, jax.Array]:
    """As many of the examples as the devices can share, over the mesh."""
    mesh = run.experiment.mesh
    kept = max(len(rows["index"]) // mesh.size, 1) * mesh.size
    with jax.set_mesh(mesh):
        return {name: on_mesh(leaf[:kept]) for name, leaf in rows.items()}


def _past(run: Run, restored_step: int) -> list[dict[str, Any]]:
    """Records of earlier starts up to the step that this one begins at.

    The same in all processes, which must agree on where to stop.
    """
    found = [
        record
        for record in read_metrics(run.workdir / METRICS)
        if record.get("kind") == KIND and record.get("step", 0) <= restored_step
    ]
    return json.loads(of_first(KIND, json.dumps(found)))
