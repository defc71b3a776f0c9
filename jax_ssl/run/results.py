"""results.json of a run, which keeps every evaluation that was ever made of it."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from jax_ssl.checkpoint.run_folder import read_json, write_json_atomic
from jax_ssl.evaluate.judge import Record

RESULTS = "results.json"


def recorded(workdir: pathlib.Path) -> Record:
    """The content of results.json, empty before there is any."""
    path = workdir / RESULTS
    remedy = "move it away; jax-ssl evaluate writes a new one"
    return read_json(path, remedy) if path.is_file() else {}


def merge(workdir: pathlib.Path, results: Record, environment: Record) -> None:
    """Adds evaluations to results.json.

    An evaluation takes the place of one with the same protocol, settings, split and
    step. Process 0 writes.

    Args:
        workdir: the run's folder.
        results: from `Run.results`.
        environment: where they were made.
    """
    old = recorded(workdir)
    made = {key: environment[key] for key in ("command", "commit", "date")}
    found = {_identity(each): each for each in old.get("evaluations", ())}
    found |= {_identity(e): {**e, "made": made} for e in results["evaluations"]}
    new = {e["protocol"] for k in ("evaluations", "skipped") for e in results[k]}
    skipped = [e for e in old.get("skipped", ()) if e["protocol"] not in new]
    merged = {
        "evaluations": list(found.values()),
        "skipped": [*results["skipped"], *skipped],
        "environment": old.get("environment", environment),
    }
    if jax.process_index() == 0:
        write_json_atomic(workdir / RESULTS, merged)


def _identity(evaluation: Mapping[str, Any]) -> str:
    keys = ("protocol", "settings", "split", "step")
    return json.dumps([evaluation.get(key) for key in keys], sort_keys=True)
