"""`jax-ssl train --extend`: a finished run goes on for longer than it was made for."""

import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from jax_ssl.checkpoint.run_folder import (
    CONFIG,
    config_differences,
    read_json,
    write_json_atomic,
)
from jax_ssl.config import Experiment, completed
from jax_ssl.run.run import CHECKPOINTS

log = logging.getLogger(__name__)

LENGTHS = ("run.num_epochs", "run.num_steps")
EXTENDED = "extended.json"


def extension(experiment: Experiment, workdir: pathlib.Path) -> dict[str, Any] | None:
    """What a longer run changes, checked; nothing is written.

    Args:
        experiment: of the config that is longer.
        workdir: the folder of the run as it is.

    Returns:
        Steps and learning rates before and after; None where the run has this length
        already, because it was extended before and goes on.

    Raises:
        ValueError: if it has not finished, or would be no longer.
    """
    old = config_of(workdir)
    lines = config_differences(completed(old), experiment.config)
    if not any(line.split(":")[0] in LENGTHS for line in lines):
        return None
    before = Experiment({**experiment.config, "run": old["run"]})
    ends, now = before.plan.num_steps, experiment.plan.num_steps
    last = max(_saved(workdir / CHECKPOINTS), default=0)
    if last < ends:
        raise ValueError(
            f"--extend: the run in {workdir} has made {last} of its {ends} steps. "
            "Finish it first, by the command that began it, or start in a new folder."
        )
    if now <= ends:
        raise ValueError(
            f"--extend: {now} steps are no more than the {ends} that the run in "
            f"{workdir} has made; name a larger --config.run.num_epochs, or num_steps."
        )
    rates = [float(x.learning_rate(ends - 1)) for x in (before, experiment)]
    rates.append(float(experiment.learning_rate(ends)))
    names = ("rate_of_last_step", "rate_of_that_step_now", "rate_of_next_step")
    found = {"from_steps": ends, "to_steps": now}
    return found | dict(zip(names, rates, strict=True))


def announce(found: Mapping[str, Any], workdir: pathlib.Path) -> None:
    """Says what goes on how, and writes it down beside the config."""
    last, same, following = (found[name] for name in list(found)[2:])
    log.info("extended from %d to %d steps", found["from_steps"], found["to_steps"])
    if abs(same - last) > 1e-6 * max(abs(last), abs(same)):
        log.warning(
            "schedules that span the run span all %d steps now: the learning rate, "
            "%.3g at the last step, is %.3g at the next one. That is not the run that "
            "%d steps would have been from the start.",
            *(found["to_steps"], last, following, found["to_steps"]),
        )
    else:
        log.info(
            "the learning rate goes on at %.3g, as in a run of this length from the "
            "start",
            following,
        )
    if jax.process_index() == 0:
        path = workdir / EXTENDED
        earlier = read_json(path, "delete it") if path.exists() else []
        write_json_atomic(path, [*earlier, dict(found)])


def config_of(workdir: pathlib.Path) -> dict[str, Any]:
    """The config in a run's folder.

    Raises:
        ValueError: if there is none.
    """
    path = workdir / CONFIG
    if not path.is_file():
        raise ValueError(
            f"--extend: {workdir} holds no run; leave --extend out to begin one."
        )
    return dict(read_json(path, "restore it, or start in a new folder"))


def _saved(checkpoints: pathlib.Path) -> list[int]:
    """Steps whose checkpoints a folder holds."""
    return [int(p.name) for p in checkpoints.glob("*") if p.name.isdigit()]
