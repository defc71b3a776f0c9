"""`jax-ssl evaluate`: judge a run's checkpoint again, perhaps by other protocols."""

import argparse

import jax

from jax_ssl.report.table import format_table
from jax_ssl.run.environment import environment
from jax_ssl.run.results import merge
from jax_ssl.run.run import Run


def evaluate(options: argparse.Namespace) -> int:
    """Evaluates the last checkpoint, or `--step`, and adds to results.json."""
    run = Run.opened(options.workdir, options.overrides)
    with run.restored(options.step) as train:
        results = run.results(train)
    merge(run.workdir, results, environment())
    if jax.process_index() == 0:
        print(format_table(results, method=run.experiment.config["method"]["name"]))
    return 0
