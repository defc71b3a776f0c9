"""Trains the methods of page.py one after the other, and makes the table of them.

Run:   python experiments/joint_embedding_cifar10/run.py --data_dir=DIR --workdir=DIR
       [--methods=simclr,byol] [--seeds=0,1]

A run that has its results already is not repeated; one that was killed continues.
Writes results.json and prints the table.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from page import METHODS

from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.train.metrics import read_metrics

HERE = pathlib.Path(__file__).parent
MEASURES = ("200-NN", "10 labels")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--table", action="store_true", help="only the table")
    options = parser.parse_args()
    names = options.methods.split(",")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for seed in [] if options.table else seeds:
        for name in names:
            train(name, seed, options)
    rows = [
        found
        for name in names
        for seed in seeds
        if (found := summary(options.workdir / f"{name}-{seed}", name, seed))
    ]
    write_json_atomic(HERE / "results.json", {"runs": rows})
    print(table(rows))


def train(name, seed, options):
    """One run of `jax-ssl train`, unless it is there."""
    folder = options.workdir / f"{name}-{seed}"
    if (folder / "results.json").exists():
        return
    subprocess.run(
        [
            sys.executable,
            "-m",
            "jax_ssl",
            "train",
            f"--config={HERE / 'page.py'}:{name}",
            f"--workdir={folder}",
            f"--config.data.data_dir={options.data_dir}",
            f"--config.run.seed={seed}",
        ],
        check=False,  # One that fails is missing from the table.
    )


def summary(folder, name, seed):
    """What a run has shown: accuracy in % of each measure and kind of features."""
    if not (folder / "results.json").exists():
        return None
    results = json.loads((folder / "results.json").read_text())
    told = read_metrics(folder / "metrics.jsonl")
    records = [record for record in told if record["kind"] == "train"]
    looks = [record for record in told if record["kind"] == "doctor"]
    row = {
        "method": name,
        "seed": seed,
        "steps": records[-1]["step"],
        "seconds": round(records[-1]["seconds"]),
        "doctor_looks": len(looks),
        "diagnoses": [named for look in looks for named in look["diagnoses"]],
        "commit": results["environment"]["commit"],
    }
    for evaluation in results["evaluations"]:
        settings = evaluation["settings"]
        if evaluation["protocol"] == "few_label":
            measure = f"{settings['labels_per_class']} labels"
        else:
            measure = f"{settings['k']}-NN"
        row[measure] = {
            kind["features"]: round(100 * kind["accuracy"], 2)
            for kind in evaluation["rows"]
        }
    return row


def table(rows):
    """Accuracy of every seed, and the least lead over the better of the controls."""
    lines = [
        "| method | " + " | ".join(f"{m} | lead" for m in MEASURES) + " | seconds |",
        "| --- |" + " ---: |" * (2 * len(MEASURES) + 1),
    ]
    for name in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == name]
        cells = []
        for measure in MEASURES:
            trained = [row[measure]["trained"] for row in mine]
            leads = [
                row[measure]["trained"]
                - max(row[measure]["untrained"], row[measure]["pixels"])
                for row in mine
            ]
            cells += [" / ".join(f"{x:.1f}" for x in trained), f"{min(leads):+.1f}"]
        seconds = " / ".join(str(row["seconds"]) for row in mine)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {seconds} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
