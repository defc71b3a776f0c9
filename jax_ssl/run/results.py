"""results.json of a run, which keeps every evaluation that was ever made of it."""

import json
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
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

    An evaluation takes the place of one with the same protocol, settings, split, step
    and data. Those that differ in their data alone stay beside each other, and their
    titles say where the data are. Process 0 writes.

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
        "evaluations": apart(list(found.values())),
        "skipped": [*results["skipped"], *skipped],
        "environment": old.get("environment", environment),
    }
    if jax.process_index() == 0:
        write_json_atomic(workdir / RESULTS, merged)


def apart(evaluations: Sequence[Record]) -> list[Record]:
    """The same evaluations; where some differ in their data alone, titles say it."""
    alike = Counter(_identity({**each, "data": None}) for each in evaluations)

    def titled(each: Record) -> Record:
        where = (each.get("data") or {}).get("where")
        if not where or "title" not in each:
            return each
        own = f" ({where})"
        title = each["title"].removesuffix(own)
        several = alike[_identity({**each, "data": None})] > 1
        return {**each, "title": title + own * several}

    return [titled(each) for each in evaluations]


def _identity(evaluation: Mapping[str, Any]) -> str:
    keys = ("protocol", "settings", "split", "step")
    data = (evaluation.get("data") or {}).get("digest")
    return json.dumps([*(evaluation.get(key) for key in keys), data], sort_keys=True)
