"""`jax-ssl plan`: will it fit, and how fast can it be, before a device is paid for."""

import argparse
import json
import pathlib
from functools import partial

import jax

from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.config import load_page, override, resolved
from jax_ssl.plan.planner import plan as plan_step
from jax_ssl.plan.search import search
from jax_ssl.plan.table import format_table
from jax_ssl.plan.topology import open_slice
from jax_ssl.run.environment import command, versions


def plan(options: argparse.Namespace) -> int:
    """Compiles the train step for a slice and prints what it takes.

    Returns:
        0 if the step fits, 1 if it does not.
    """
    jax.config.update("jax_platforms", "cpu")  # Leaves alone a TPU that is here.
    config = resolved(override(load_page(options.config), options.overrides))
    where = open_slice(options.topology, options.chips)
    capacity = None if options.memory_gb is None else options.memory_gb * 1e9
    compile_one = partial(
        plan_step, where=where, num_examples=options.num_examples, capacity=capacity
    )
    planned = compile_one(config)
    tried: list[str] = []
    if options.search:
        planned, tried = search(planned, options.search, compile_one)
    text = "\n\n".join(filter(None, [format_table(planned), "\n".join(tried)]))
    values = {"command": command(), **planned.as_dict(), "versions": versions()}
    print(json.dumps(values, indent=2) if options.json else text)
    if options.output:
        path = pathlib.Path(options.output)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(path, values)
        path.with_suffix(".txt").write_text(f"$ {command()}\n\n{text}\n")
    return 0 if planned.fits else 1
