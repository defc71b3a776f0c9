"""`jax-ssl train`: from a config page to a judged representation."""

import argparse
import contextlib
import functools
import logging
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import optax

from jax_ssl.checkpoint.lock import owned, refuse_owned
from jax_ssl.checkpoint.manager import Checkpoints, open_checkpoints
from jax_ssl.checkpoint.run_folder import (
    CONFIG,
    check_config,
    check_data,
    data_of,
)
from jax_ssl.config import (
    MAY_CHANGE,
    Experiment,
    completed,
    load_page,
    override,
    resolved,
)
from jax_ssl.core.compiling import once
from jax_ssl.core.signals import departure
from jax_ssl.core.trees import count
from jax_ssl.data.identity import identity
from jax_ssl.evaluate.judge import Record
from jax_ssl.parallel.processes import await_file
from jax_ssl.report.table import format_table
from jax_ssl.run.checkup import doctor
from jax_ssl.run.environment import environment
from jax_ssl.run.export import write_export
from jax_ssl.run.extend import LENGTHS, announce, extension
from jax_ssl.run.report import write_page
from jax_ssl.run.results import merge
from jax_ssl.run.run import CHECKPOINTS, METRICS, Run, check_same
from jax_ssl.run.seeds import (
    conclude,
    groups,
    of_each,
    seed_folders,
    seeds_of,
    siblings,
)
from jax_ssl.run.tracking import trackers_of
from jax_ssl.train.calls import Calls
from jax_ssl.train.flops import live_flops
from jax_ssl.train.loop import Outcome, fit
from jax_ssl.train.metrics import read_metrics
from jax_ssl.train.progress import RunFacts
from jax_ssl.train.record import Reporter, open_reporter
from jax_ssl.train.seeds import (
    SeedsCheckpoints,
    SeedsReporter,
    member,
    seeds_program,
)

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
    seeds = seeds_of(options)
    check_same(config)
    folder = pathlib.Path(options.workdir)
    folders = [folder] if seeds is None else seed_folders(folder, seeds)
    first = jax.process_index() == 0
    if first:
        for workdir in folders:
            refuse_file(workdir)
            refuse_owned(workdir)  # At once; it is taken when all is checked.
    classes = data_of(folders[0], CHECKPOINTS).get("classes")
    run = Run(Experiment(config, classes=classes), folders[0], training=True)
    runs = [run] if seeds is None else siblings(run, seeds, folders)
    if getattr(options, "extend", False):
        for each in runs:
            each.longer = extension(each.experiment, each.workdir)
    ran = environment()  # Now: a checkout may be another one when a long run ends.
    prepared(run)
    with contextlib.ExitStack() as owning:
        for workdir in folders if first else ():
            owning.enter_context(owned(workdir))
        status, results = 0, []
        parts = groups(runs) if seeds else [runs]
        for together in parts:
            status, found = _trained(together, ran)
            results += found
            if status:
                break
    if status == 0:
        if seeds is not None:
            order = [each.experiment.run.seed for part in parts for each in part]
            conclude(folder, order, results, ran)
        log.info("done in %.0f s", time.perf_counter() - begun)
    return status


def _trained(runs: Sequence[Run], ran: dict[str, Any]) -> tuple[int, list[Record]]:
    """Runs that are trained as one program: the exit status, and results of each."""
    outcome, skipped = train_runs(runs)
    if outcome.interrupted is not None:
        log.warning(
            "stopped by %s after step %d of %d; saved. The same command continues.",
            outcome.interrupted.name,
            outcome.step,
            runs[0].experiment.plan.num_steps,
        )
        return 128 + outcome.interrupted, []  # The shell's convention.
    departure.doing = "evaluating"
    found = []
    for number, run in enumerate(runs):
        state = outcome.train if len(runs) == 1 else member(outcome.train, number)
        with jax.set_mesh(run.experiment.mesh):
            results = run.results(state)
            results["skipped"] = [*skipped[number], *results["skipped"]]
            merge(run.workdir, results, ran)
            if jax.process_index() == 0:
                method = run.experiment.config["method"]["name"]
                print(format_table(results, method=method), flush=True)
            for what in ("encoder", "classifier"):
                if what in run.experiment.method.exports:
                    write_export(run, state, what)
            if run.experiment.run.report:
                log.info("report: %s", write_page(run, state))
        found.append(results)
    departure.doing = "ending"
    return 0, found


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


def train_runs(runs: Sequence[Run]) -> tuple[Outcome, list[list[Record]]]:
    """Trains a run from its last checkpoint, or from the start, to its end.

    Several runs that differ in their seeds alone, and stand at the same step, are
    trained as one program.

    Returns:
        How it ended, with their states `stacked` where there are several, and for each
        run what of the evaluation during training was skipped, and why.
    """
    run, several = runs[0], len(runs) > 1
    experiment, program = run.experiment, run.program
    plan = experiment.plan
    watched = [each.watch() for each in runs]
    for each in runs:
        begin(each, alone=not several)
    if several:
        program = seeds_program(program, [each.feed for each in runs])
    with contextlib.ExitStack() as stack:
        opened = [opened_run(each, stack, alone=not several) for each in runs]
        kept, reporters = zip(*opened, strict=True)
        if len({reporter.run.restored_step for reporter in reporters}) > 1:
            raise ValueError(
                "a damaged checkpoint of one of the seeds has been set aside; give the "
                "same command again, which goes on with each from where it stands."
            )
        seeds = [each.experiment.run.seed for each in runs]
        recorder: Any = SeedsReporter(reporters) if several else reporters[0]
        checkpoints: Any = SeedsCheckpoints(kept, seeds) if several else kept[0]

        def on_trace(traced: Any, steps: int) -> None:
            for reporter in reporters:
                reporter.flops = live_flops(traced.jaxpr) / steps / len(runs)

        calls = Calls(program, on_trace)
        asked = [
            [*evaluations, *doctor(each, reporter)]
            for each, reporter, (evaluations, _) in zip(
                runs, reporters, watched, strict=True
            )
        ]
        outcome = fit(
            program,
            seed=experiment.run.seed,
            plan=plan,
            recorder=recorder,
            checkpoints=checkpoints,
            evaluations=of_each(asked, seeds) if several else asked[0],
            compiled=calls,
            view=experiment.view,
            glance=recorder.glance,
        )
    return outcome, [skipped for _, skipped in watched]


def begin(run: Run, *, alone: bool = True) -> None:
    """Checks that the folder is this run's, and says what is trained on what.

    Args:
        run: which begins, or goes on.
        alone: whether no run of another seed is trained with it; else it is named.

    Raises:
        ValueError: if it holds another run, or other data.
    """
    experiment = run.experiment
    changes = check_config(
        run.workdir,
        experiment.config,
        may_change=(*MAY_CHANGE, *(LENGTHS if run.longer else ())),
        traces=(METRICS, CHECKPOINTS),
        completed=completed,
    )
    if run.longer:
        announce(run.longer, run.workdir)
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
        "%s%s on %s: %d examples, %d steps of %d, %s parameters, %d x %s",
        "" if alone else f"seed {experiment.run.seed}: ",
        experiment.config["method"]["name"],
        experiment.source.name,
        len(experiment.source),
        experiment.plan.num_steps,
        experiment.feeding.batch_size,
        f"{count(run.program.abstract.params):,}",
        experiment.mesh.size,
        experiment.mesh.devices.flat[0].device_kind,
    )
    fact, warnings = run.seen
    if fact is not None:
        log.info(fact)
    for warning in (*warnings, *run.shortages()):
        log.warning(warning)


def opened_run(
    run: Run, stack: contextlib.ExitStack, *, alone: bool
) -> tuple[Checkpoints, Reporter]:
    """The checkpoints and the reporter of a run, closed with the stack."""
    experiment, settings = run.experiment, run.experiment.run
    keep = settings.keep_checkpoints
    opened = open_checkpoints(run.workdir / CHECKPOINTS, keep=keep)
    checkpoints = stack.enter_context(opened)
    restored_step = 0
    if checkpoints.steps():
        with jax.set_mesh(experiment.mesh):
            # Read once now: where the last one is damaged, another one counts.
            restored_step = int(checkpoints.restore(run.program.abstract).step)
    elif past := [r["step"] for r in read_metrics(run.workdir / METRICS)]:
        log.warning(
            "%s holds no checkpoint, though %s tells of step %d; the run starts "
            "again from step 0",
            *(checkpoints.folder, METRICS, max(past)),
        )
    facts = RunFacts(
        num_steps=experiment.plan.num_steps,
        steps_per_epoch=experiment.steps_per_epoch,
        batch_size=experiment.feeding.batch_size,
        devices=list(experiment.mesh.devices.flat),
        restored_step=restored_step,
        name="" if alone else f"seed {settings.seed}",
        extra=functools.partial(_extra, run, once(experiment.learning_rate)),
    )
    reporter = open_reporter(
        run.workdir, facts, trackers=trackers_of(run), config=experiment.config
    )
    return checkpoints, stack.enter_context(contextlib.closing(reporter))


def _extra(run: Run, rate: optax.Schedule, step: int) -> dict[str, float]:
    """What a train record says beside the loop's metrics."""
    # The rate that the last step used; schedules count completed steps.
    found = {"learning_rate": float(rate(step - 1))}
    if corrupt := run.feed.corrupt():
        found["corrupt_examples"] = corrupt
    if (read_ms := run.feed.read_ms()) is not None:
        found["read_ms_per_example"] = read_ms
    return found
