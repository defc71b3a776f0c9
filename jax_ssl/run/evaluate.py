"""`jax-ssl evaluate`: judge a run's checkpoint again, or by a suite of data sets."""

import argparse

import jax

from jax_ssl.evaluate.judge import Record
from jax_ssl.report.table import format_table
from jax_ssl.run.environment import environment
from jax_ssl.run.results import merge
from jax_ssl.run.run import Run
from jax_ssl.run.suite import suited


def evaluate(options: argparse.Namespace) -> int:
    """Evaluates the last checkpoint, or `--step`, and adds to results.json."""
    keys = "data_dir", "sets", "features", "baseline"
    own = {key: getattr(options, key) for key in keys}
    if options.suite is None and any(own.values()):
        given = next(key for key, value in own.items() if value)
        raise ValueError(f"--{given} belongs to a suite; name one, --suite=transfer.")
    run = Run.opened(options.workdir, options.overrides)
    where = environment()

    def save(found: Record) -> None:
        merge(run.workdir, found, where)

    with run.restored(options.step) as train:
        if options.suite is None:
            results = run.results(train)
        else:
            results = suited(run, train, options.suite, **own, save=save)
    save(results)
    if jax.process_index() == 0:
        print(format_table(results, method=run.experiment.config["method"]["name"]))
    return 0
