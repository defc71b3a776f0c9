"""`jax-ssl train`: from a config page to a judged representation."""

import argparse
import contextlib
import functools
import logging
import pathlib
import time
from typing import Any

import jax
import optax

from jax_ssl.checkpoint.lock import owned, refuse_owned
from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.checkpoint.run_folder import (
    CONFIG,
    check_config,
    check_data,
    data_of,
)
from jax_ssl.config import MAY_CHANGE, Experiment, load_page, override, resolved
from jax_ssl.core.compiling import once
from jax_ssl.core.signals import departure
from jax_ssl.core.telling import telling
from jax_ssl.core.trees import count
from jax_ssl.data.identity import identity
from jax_ssl.parallel.processes import await_file
from jax_ssl.report.table import format_table
from jax_ssl.run.checkup import doctor
from jax_ssl.run.environment import environment
from jax_ssl.run.export import write_export
from jax_ssl.run.report import write_page
from jax_ssl.run.results import merge
from jax_ssl.run.run import CHECKPOINTS, METRICS, Run, check_same
from jax_ssl.train.calls import Calls
from jax_ssl.train.flops import live_flops
from jax_ssl.train.loop import COMPILING, Outcome, fit
from jax_ssl.train.metrics import read_metrics
from jax_ssl.train.progress import RunFacts
from jax_ssl.train.record import open_reporter

log = logging.getLogger(__name__)


def train(options: argparse.Namespace) -> int:
    """Trains, or continues; then evaluates, exports the encoder and reports.

    Among several processes each calls it with the same options, and process 0 alone
    writes into the folder, checkpoints apart.

    Returns:
        0, or 128 + signal number if a signal ended the run early, its state saved.
    """
    begun = time.perf_counter()
    config = resolved(override(load_page(options.config), options.overrides))
    check_same(config)
    workdir = pathlib.Path(options.workdir)
    first = jax.process_index() == 0
    if first:
        refuse_file(workdir)
        refuse_owned(workdir)  # At once; it is taken when all is checked.
    classes = data_of(workdir, CHECKPOINTS).get("classes")
    run = Run(Experiment(config, classes=classes), workdir, training=True)
    ran = environment()  # Now: a checkout may be another one when a long run ends.
    prepared(run)
    with owned(run.workdir) if first else contextlib.nullcontext():
        status = _trained(run, ran)
    if status == 0:
        log.info("done in %.0f s", time.perf_counter() - begun)
    return status


def _trained(run: Run, ran: dict[str, Any]) -> int:
    outcome, skipped = train_run(run)
    if outcome.interrupted is not None:
        log.warning(
            "stopped by %s after step %d of %d; saved. The same command continues.",
            outcome.interrupted.name,
            outcome.step,
            run.experiment.plan.num_steps,
        )
        return 128 + outcome.interrupted  # The shell's convention.
    departure.doing = "evaluating"
    with jax.set_mesh(run.experiment.mesh):
        results = run.results(outcome.train)
        results["skipped"] = [*skipped, *results["skipped"]]
        merge(run.workdir, results, ran)
        if jax.process_index() == 0:
            method = run.experiment.config["method"]["name"]
            print(format_table(results, method=method), flush=True)
        for what in ("encoder", "classifier"):
            if what in run.experiment.method.exports:
                write_export(run, outcome.train, what)
        if run.experiment.run.report:
            log.info("report: %s", write_page(run, outcome.train))
    departure.doing = "ending"
    return 0


def refuse_file(workdir: pathlib.Path) -> None:
    """Refuses a path at which no folder can be made.

    Raises:
        ValueError: naming the file that is there.
    """
    for path in (workdir, *workdir.parents):
        if path.exists() and not path.is_dir():
            raise ValueError(
                f"--workdir={workdir}: {path} is a file, not a folder; name another "
                "path, or move that file away."
            )


def prepared(run: Run) -> None:
    """Makes what can be wrong with a run, so that it is said before a file is written.

    Raises:
        ValueError: for a combination that cannot work, the evaluations' included.
    """
    _ = run.program
    run.rehearse()


def train_run(run: Run) -> tuple[Outcome, list[dict[str, Any]]]:
    """Trains a run from its last checkpoint, or from the start, to its end.

    Returns:
        How it ended, and what of the evaluation during training was skipped, and why.
    """
    experiment, plan = run.experiment, run.experiment.plan
    program, feeding = run.program, experiment.feeding
    evaluations, skipped = run.watch()
    changes = check_config(
        run.workdir,
        experiment.config,
        may_change=MAY_CHANGE,
        traces=(METRICS, CHECKPOINTS),
    )
    for line in changes:
        log.info("config changed: %s", line)
    found = identity(experiment.everything)
    check_same(found, "data", "data")
    began = data_of(run.workdir, CHECKPOINTS)
    accept = experiment.run.accept_changed_data
    if said := check_data(run.workdir, began, found, accept=accept):
        log.warning("%s; it goes on with the data as they are.", said)
    await_file(run.workdir / CONFIG)
    log.info(
        "%s on %s: %d examples, %d steps of %d, %s parameters, %d x %s",
        experiment.config["method"]["name"],
        experiment.source.name,
        len(experiment.source),
        plan.num_steps,
        feeding.batch_size,
        f"{count(program.abstract.params):,}",
        experiment.mesh.size,
        experiment.mesh.devices.flat[0].device_kind,
    )
    fact, warnings = run.seen
    if fact is not None:
        log.info(fact)
    for warning in (*warnings, *run.shortages()):
        log.warning(warning)
    folder, settings = run.workdir / CHECKPOINTS, experiment.run
    with open_checkpoints(folder, keep=settings.keep_checkpoints) as checkpoints:
        restored_step = 0
        if checkpoints.steps():
            with jax.set_mesh(experiment.mesh):
                # Read once now: where the last one is damaged, another one counts.
                restored_step = int(checkpoints.restore(program.abstract).step)
        elif past := [r["step"] for r in read_metrics(run.workdir / METRICS)]:
            log.warning(
                "%s holds no checkpoint, though %s tells of step %d; the run starts "
                "again from step 0",
                *(checkpoints.folder, METRICS, max(past)),
            )
        facts = RunFacts(
            num_steps=plan.num_steps,
            steps_per_epoch=experiment.steps_per_epoch,
            batch_size=feeding.batch_size,
            devices=list(experiment.mesh.devices.flat),
            restored_step=restored_step,
            extra=functools.partial(_extra, run, once(experiment.learning_rate)),
        )
        opened = open_reporter(run.workdir, facts, tensorboard=settings.tensorboard)
        with contextlib.closing(opened) as reporter:

            def on_trace(traced: Any, steps: int) -> None:
                reporter.flops = live_flops(traced.jaxpr) / steps

            calls = Calls(program, on_trace)
            checkup = experiment.checkup
            others = [evaluation.every_steps for evaluation in evaluations]
            others += [checkup.interval(plan)] if checkup else []
            steps = plan.stop_after(restored_step, others) - restored_step
            if steps > 0 and program.method.refresh is None:
                with jax.set_mesh(experiment.mesh), telling(COMPILING):
                    calls.begin(steps)  # While the doctor looks at the first state.
            outcome = fit(
                program,
                seed=settings.seed,
                plan=plan,
                recorder=reporter,
                checkpoints=checkpoints,
                evaluations=[*evaluations, *doctor(run, reporter)],
                compiled=calls,
                view=experiment.view,
                glance=reporter.glance,
            )
    return outcome, skipped


def _extra(run: Run, rate: optax.Schedule, step: int) -> dict[str, float]:
    """What a train record says beside the loop's metrics."""
    # The rate that the last step used; schedules count completed steps.
    found = {"learning_rate": float(rate(step - 1))}
    if corrupt := run.feed.corrupt():
        found["corrupt_examples"] = corrupt
    if (read_ms := run.feed.read_ms()) is not None:
        found["read_ms_per_example"] = read_ms
    return found
