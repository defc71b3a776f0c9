"""`jax-ssl train --seeds=0,1,2`: runs that differ in their seeds, as one program.

Each run has a folder of its own in that of the command, seed-0 and so on, with all that
a run alone would have; there each of them can be continued and judged alone as well.
"""

import argparse
import copy
import dataclasses
import logging
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.checkpoint.run_folder import CONFIG, read_json
from jax_ssl.core.state import TrainState
from jax_ssl.evaluate.judge import Record
from jax_ssl.report import ReportInputs, write_report
from jax_ssl.report.intervals import over_seeds
from jax_ssl.report.table import format_table
from jax_ssl.run.results import merge, recorded
from jax_ssl.run.run import CHECKPOINTS, REPORT, Run
from jax_ssl.train.doctor import CollapseError
from jax_ssl.train.loop import Evaluation
from jax_ssl.train.seeds import OF_SEED, ONE, check_together, member

FOLDER = "seed-{}"
MOST = 2**32 - 1

log = logging.getLogger(__name__)


def seeds_of(options: argparse.Namespace) -> list[int] | None:
    """The seeds of the command; None where it trains one run as ever.

    Raises:
        ValueError: for what are not different seeds, for a seed given twice over, and
            where one program cannot train several.
    """
    text = getattr(options, "seeds", None)
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    seeds = [int(word) for word in words if word.isdecimal() and int(word) <= MOST]
    if len(seeds) < len(words) or len({*seeds}) < len(words):
        raise ValueError(
            f"--seeds={text}: must be different whole numbers from 0 to {MOST} with "
            "commas between them, such as --seeds=0,1,2."
        )
    if any(each.startswith("run.seed=") for each in options.overrides):
        raise ValueError(f"--seeds={text} says the seeds; leave --config.run.seed out.")
    if jax.process_count() > 1:
        raise ValueError(f"--seeds={text} trains in one process alone. {ONE}")
    folder = pathlib.Path(options.workdir)
    if (folder / CONFIG).exists():
        raise ValueError(
            f"{folder} holds a run of one seed; --seeds makes a folder for each seed, "
            "so name another --workdir."
        )
    return seeds


def seed_folders(folder: pathlib.Path, seeds: Sequence[int]) -> list[pathlib.Path]:
    """The folder of each seed's run."""
    return [folder / FOLDER.format(seed) for seed in seeds]


def seed_runs(folder: pathlib.Path) -> list[pathlib.Path]:
    """Folders of runs by `--seeds` in a folder, by rising seed."""
    found = [path.parent for path in folder.glob(FOLDER.format(f"*/{CONFIG}"))]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def siblings(
    run: Run, seeds: Sequence[int], folders: Sequence[pathlib.Path]
) -> list[Run]:
    """A run for each seed; what does not depend on the seed is shared with `run`.

    Raises:
        ValueError: if the method cannot train several seeds as one program.
    """
    check_together(run.experiment.method)
    runs = []
    for seed, folder in zip(seeds, folders, strict=True):
        other = Run(run.experiment.with_seed(seed), folder, training=True)
        other.feed = run.feed.with_seed(seed)
        other.program = dataclasses.replace(run.program, feed=other.feed)
        other.train, other.test, other.seen = run.train, run.test, run.seen
        # A copy has the compiled sweeps of the first.
        other.judge = copy.copy(run.judge)
        other.judge.fresh = other.fresh
        runs.append(other)
    return runs


def groups(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs by the step at which they stand, the last first.

    They differ after a kill between two saves, or where single runs went on alone.
    """
    found: dict[int, list[Run]] = {}
    for run in runs:
        step = 0
        if (folder := run.workdir / CHECKPOINTS).exists():
            with open_checkpoints(folder, writable=False) as checkpoints:
                step = checkpoints.latest_step() or 0
        found.setdefault(step, []).append(run)
    if len(found) > 1:
        said = [
            f"{', '.join(str(r.experiment.run.seed) for r in mine)} at step {step}"
            for step, mine in sorted(found.items())
        ]
        log.info("seeds do not stand at one step: %s; in turn", "; ".join(said))
    return [mine for _, mine in sorted(found.items(), reverse=True)]


def of_each(
    asked: Sequence[Sequence[Evaluation]], seeds: Sequence[int]
) -> list[Evaluation]:
    """Evaluations of each run as evaluations of their stacked state."""

    def together(mine: Sequence[Evaluation]) -> Evaluation:
        def run(
            trains: TrainState, means: Mapping[str, Any]
        ) -> Iterator[Mapping[str, Any]]:
            for number, evaluation in enumerate(mine):
                own = {name: values[number] for name, values in means.items()}
                try:
                    for record in evaluation.run(member(trains, number), own):
                        yield {**record, OF_SEED: number}
                except CollapseError:
                    log.warning(
                        "seed %d has collapsed, which ends the others too; --seeds "
                        "without it goes on with them",
                        seeds[number],
                    )
                    raise

        return dataclasses.replace(mine[0], run=run)

    return [together(mine) for mine in zip(*asked, strict=True)]


def conclude(
    folder: pathlib.Path,
    seeds: Sequence[int],
    results: Sequence[Record],
    ran: dict[str, Any],
) -> None:
    """Means and intervals over the seeds: a table, results.json and a page."""
    merge(folder, over_seeds(results, seeds), ran)
    config = read_json(folder / FOLDER.format(seeds[0]) / CONFIG, "train again")
    method = config["method"]["name"]
    print(format_table(recorded(folder), method=f"{method}, {len(seeds)} seeds"))
    if config["run"]["report"]:
        log.info("report: %s", write_seeds_page(folder))


def write_seeds_page(folder: pathlib.Path) -> pathlib.Path:
    """The page of several seeds, from what their folders hold.

    Raises:
        ValueError: if nothing has been concluded of them yet.
    """
    runs, results = seed_runs(folder), recorded(folder)
    if not results:
        raise ValueError(
            f"{folder} holds runs of several seeds that have not all ended; the same "
            "jax-ssl train --seeds=... again ends them."
        )
    config = read_json(runs[0] / CONFIG, "train again")
    names = ", ".join(path.name for path in runs)
    inputs = ReportInputs(
        title=f"{config['method']['name']} · {config['data']['name']} · seeds",
        config=config,
        results=results,
        environment=results.get("environment", {}),
        warnings=[f"This page has means over seeds; curves are in {names}."],
    )
    return write_report(folder / REPORT, inputs)
