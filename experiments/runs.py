"""Runs of `jax-ssl train` for the studies of this folder, and what they have shown.

Imported as `experiments.runs`: with PYTHONPATH=. from the root of the project.
"""

import json
import pathlib
import subprocess
import sys

from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.train.metrics import read_metrics


def train(page, folder, data_dir, seed, *settings):
    """Trains `page` ("page.py:part") into `folder`, unless its results are there.

    A run that was killed continues; one that fails is missing from the tables.
    """
    if (folder / "results.json").exists():
        return
    command = [sys.executable, "-m", "jax_ssl", "train"]
    command += [f"--config={page}", f"--workdir={folder}"]
    command += [f"--config.data.data_dir={data_dir}", f"--config.run.seed={seed}"]
    subprocess.run([*command, *settings], check=False)


def summary(folder: pathlib.Path):
    """Length, doctor and accuracy in % of each measure and kind of features, or None.

    Measures are "linear", "classifier", "200-NN", "10 labels" and the like.
    """
    if not (folder / "results.json").exists():
        return None
    results = json.loads((folder / "results.json").read_text())
    told = read_metrics(folder / "metrics.jsonl")
    records = [record for record in told if record["kind"] == "train"]
    looks = [record for record in told if record["kind"] == "doctor"]
    row = {
        "steps": records[-1]["step"],
        "seconds": round(records[-1]["seconds"]),
        "loss": round(records[-1]["loss"], 4),
        "doctor_looks": len(looks),
        "diagnoses": [named for look in looks for named in look["diagnoses"]],
        "commit": results["environment"]["commit"],
    }
    for evaluation in results["evaluations"]:
        row[evaluation["title"]] = {
            kind["features"]: round(100 * kind["accuracy"], 2)
            for kind in evaluation["rows"]
        }
    return row


def summaries(workdir: pathlib.Path, names, seeds, word="method"):
    """Rows of `summary` for the folders NAME-SEED that have results, under `word`."""
    return [
        {word: name, "seed": seed, **found}
        for name in names
        for seed in seeds
        if (found := summary(workdir / f"{name}-{seed}"))
    ]


def kept(file: pathlib.Path, rows, *names):
    """Writes {"runs": [...]} with `rows` in the place of those before them; all rows.

    Args:
        file: "results.json" or the like; runs in it that are not repeated stay.
        rows: plain values.
        *names: keys of a row that tell one run from another.
    """

    def key(row):
        return tuple(row[name] for name in names)

    before = json.loads(file.read_text())["runs"] if file.exists() else []
    own = {key(row): row for row in rows}
    merged = [own.pop(key(row), row) for row in before] + list(own.values())
    write_json_atomic(file, {"runs": merged})
    return merged


def leads(rows, measures):
    """A table: accuracy of every seed, and the least lead over the better control.

    Args:
        rows: of `summary`, with "method", "seed" and, if it counts, "year".
        measures: the titles to show.
    """
    years = any("year" in row for row in rows)
    heads = ["year"] * years + ["method"]
    heads += [head for measure in measures for head in (measure, "lead")] + ["seconds"]
    marks = ["---"] * (1 + years) + ["---:"] * (2 * len(measures) + 1)
    lines = [heads, marks]
    for name in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == name]
        cells = [str(row["year"]) for row in mine[:years]] + [name]
        for measure in measures:
            found = [row[measure] for row in mine]
            cells.append(" / ".join(f"{x['trained']:.1f}" for x in found))
            ahead = [x["trained"] - max(x["untrained"], x["pixels"]) for x in found]
            cells.append(f"{min(ahead):+.1f}")
        lines.append([*cells, " / ".join(str(row["seconds"]) for row in mine)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
