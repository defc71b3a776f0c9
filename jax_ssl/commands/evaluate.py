"""`jax-ssl evaluate`: judge a run's checkpoint again, perhaps by other protocols."""

import argparse
import pathlib

import jax

from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.commands.evaluator import Evaluator
from jax_ssl.commands.opening import RESULTS, environment, read_experiment, restored
from jax_ssl.evaluate.table import format_table


def evaluate(options: argparse.Namespace) -> int:
    """Evaluates the last checkpoint, or `--step`, and replaces results.json."""
    workdir = pathlib.Path(options.workdir)
    experiment = read_experiment(workdir, options.overrides)
    with restored(workdir, experiment, options.step) as (train, made):
        evaluator = Evaluator(experiment, made)
        results = evaluator.final(train)
    results["environment"] = environment()
    if jax.process_index() == 0:
        write_json_atomic(workdir / RESULTS, results)
        print(format_table(results, method=experiment.config["method"]["name"]))
    return 0
