"""`jax-ssl train`: from a config page to a judged representation."""

import argparse
import contextlib
import logging
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax

from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.checkpoint.run_folder import CONFIG, check_config, write_json_atomic
from jax_ssl.commands.doctor import doctor
from jax_ssl.commands.evaluator import Evaluator
from jax_ssl.commands.export import write_encoder
from jax_ssl.commands.opening import (
    CHECKPOINTS,
    ENCODER,
    RESULTS,
    check_same,
    environment,
    make_feed,
)
from jax_ssl.commands.report import write_page
from jax_ssl.config import MAY_CHANGE, Experiment, build, load_page, override, resolved
from jax_ssl.core.trees import count
from jax_ssl.evaluate.table import format_table
from jax_ssl.parallel.processes import await_file
from jax_ssl.train.feeds import Feed
from jax_ssl.train.flops import live_flops
from jax_ssl.train.loop import Outcome, fit
from jax_ssl.train.progress import RunFacts
from jax_ssl.train.report import open_reporter

log = logging.getLogger(__name__)


def train(options: argparse.Namespace) -> int:
    """Trains, or continues; then evaluates, exports the encoder and reports.

    Among several processes each calls it with the same options, and process 0 alone
    writes into the folder, checkpoints apart.

    Returns:
        0, or 128 + signal number if a signal ended the run early, its state saved.
    """
    begun = time.perf_counter()
    page = override(load_page(options.config), options.overrides)
    config = resolved(page)
    workdir = pathlib.Path(options.workdir)
    check_same(config)
    experiment = build(config)
    ran = environment()  # Now: a checkout may be another one when a long run ends.
    feed = make_feed(experiment)
    made = experiment.program(feed)
    evaluator = Evaluator(experiment, made)
    evaluator.open()
    for line in check_config(workdir, config, may_change=MAY_CHANGE):
        log.info("config changed: %s", line)
    await_file(workdir / CONFIG)
    plan = experiment.plan
    log.info(
        "%s on %s: %d images, %d steps of %d, %s parameters, %d x %s",
        config["method"]["name"],
        experiment.source.name,
        len(experiment.source),
        plan.num_steps,
        experiment.feeding.batch_size,
        f"{count(made.abstract.params):,}",
        experiment.mesh.size,
        experiment.mesh.devices.flat[0].device_kind,
    )

    evaluations, skipped = evaluator.online()
    with open_checkpoints(
        workdir / CHECKPOINTS, keep=experiment.run.keep_checkpoints
    ) as checkpoints:
        facts = RunFacts(
            num_steps=plan.num_steps,
            steps_per_epoch=experiment.steps_per_epoch,
            batch_size=experiment.feeding.batch_size,
            devices=list(experiment.mesh.devices.flat),
            restored_step=checkpoints.latest_step() or 0,
            extra=_extra(experiment, feed),
        )
        with contextlib.closing(
            open_reporter(workdir, facts, tensorboard=experiment.run.tensorboard)
        ) as reporter:
            evaluations += doctor(experiment, made, workdir, reporter)

            def on_trace(traced: Any, steps: int) -> None:
                reporter.flops = live_flops(traced.jaxpr) / steps

            outcome = fit(
                experiment.method,
                experiment.tx,
                feed,
                mesh=experiment.mesh,
                seed=experiment.run.seed,
                plan=plan,
                recorder=reporter,
                checkpoints=checkpoints,
                evaluations=evaluations,
                on_trace=on_trace,
                made=made,
                view=experiment.view,
            )
    if outcome.interrupted is not None:
        log.warning(
            "stopped by %s after step %d of %d; saved. The same command continues.",
            outcome.interrupted,
            outcome.step,
            plan.num_steps,
        )
        return outcome.code
    _conclude(workdir, evaluator, outcome, skipped, ran)
    log.info("done in %.0f s", time.perf_counter() - begun)
    return 0


def _extra(experiment: Experiment, feed: Feed) -> Callable[[int], dict[str, float]]:
    """What a train record says beside the loop's metrics."""

    def extra(step: int) -> dict[str, float]:
        # The rate that the last step used; schedules count completed steps.
        rate = float(experiment.learning_rate(step - 1))
        corrupt = feed.corrupt()
        found: dict[str, float] = {"corrupt_images": corrupt} if corrupt else {}
        read_ms = feed.read_ms()
        if read_ms is not None:
            found["read_ms_per_image"] = read_ms
        return {"learning_rate": rate, **found}

    return extra


def _conclude(
    workdir: pathlib.Path,
    evaluator: Evaluator,
    outcome: Outcome,
    skipped: list[dict],
    ran: dict[str, Any],
) -> None:
    """The final evaluation, the exported encoder and the report."""
    experiment = evaluator.experiment
    log.info("evaluating")
    with jax.set_mesh(experiment.mesh):
        state = outcome.train
        results = evaluator.final(state)
        results["skipped"] = [*skipped, *results["skipped"]]
        results["environment"] = ran
        write_encoder(workdir / ENCODER, experiment, state)
        if jax.process_index() == 0:
            write_json_atomic(workdir / RESULTS, results)
            print(format_table(results, method=experiment.config["method"]["name"]))
        if experiment.run.report:
            page = write_page(workdir, experiment, evaluator, state)
            log.info("report: %s", page)
