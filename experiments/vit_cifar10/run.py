"""Trains the runs of page.py one after the other, and makes the tables of them.

Run:   python experiments/vit_cifar10/run.py --data_dir=DIR --workdir=DIR
       [--parts=mae,scratch,fine_tuned,dino] [--seeds=0,1]

"fine_tuned" starts from what "mae" of its seed has exported. A run that has its results
already is not repeated; one that was killed continues. Writes results.json, copies the
pictures of the first seed, and prints the tables.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.train.metrics import read_metrics

HERE = pathlib.Path(__file__).parent
PARTS = ("mae", "scratch", "fine_tuned", "dino")
PAGES = {"scratch": "fine_tune", "fine_tuned": "fine_tune"}
PICTURES = {"mae": "reconstructions", "dino": "attention"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--table", action="store_true", help="only the tables")
    options = parser.parse_args()
    parts = options.parts.split(",")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for seed in [] if options.table else seeds:
        for part in parts:
            train(part, seed, options)
    rows = [
        found
        for part in parts
        for seed in seeds
        if (found := summary(options.workdir / f"{part}-{seed}", part, seed))
    ]
    write_json_atomic(HERE / "results.json", {"runs": rows})
    for part, name in PICTURES.items():
        picture = options.workdir / f"{part}-{seeds[0]}" / "report" / f"{name}.png"
        if picture.exists():
            shutil.copy(picture, HERE / f"{name}.png")
    print(tables(rows))


def train(part, seed, options):
    """One run of `jax-ssl train`, unless it is there."""
    folder = options.workdir / f"{part}-{seed}"
    if (folder / "results.json").exists():
        return
    start = []
    if part == "fine_tuned":
        encoder = options.workdir / f"mae-{seed}" / "export" / "encoder.npz"
        start = [f"--config.run.init_from={encoder}"]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "jax_ssl",
            "train",
            f"--config={HERE / 'page.py'}:{PAGES.get(part, part)}",
            f"--workdir={folder}",
            f"--config.data.data_dir={options.data_dir}",
            f"--config.run.seed={seed}",
            *start,
        ],
        check=False,  # One that fails is missing from the table.
    )


def summary(folder, part, seed):
    """What a run has shown: accuracy in % of each measure and kind of features."""
    if not (folder / "results.json").exists():
        return None
    results = json.loads((folder / "results.json").read_text())
    told = read_metrics(folder / "metrics.jsonl")
    records = [record for record in told if record["kind"] == "train"]
    looks = [record for record in told if record["kind"] == "doctor"]
    row = {
        "run": part,
        "seed": seed,
        "steps": records[-1]["step"],
        "seconds": round(records[-1]["seconds"]),
        "loss": round(records[-1]["loss"], 4),
        "diagnoses": [named for look in looks for named in look["diagnoses"]],
        "commit": results["environment"]["commit"],
    }
    for evaluation in results["evaluations"]:
        settings, measure = evaluation["settings"], evaluation["protocol"]
        if measure == "few_label":
            measure = f"{settings['labels_per_class']} labels"
        elif measure == "knn":
            measure = f"{settings['k']}-NN"
        row[measure] = {
            kind["features"]: round(100 * kind["accuracy"], 2)
            for kind in evaluation["rows"]
        }
    return row


def tables(rows):
    """Fine-tuning beside training from scratch, then frozen features."""
    lines = ["| from | fine-tuned, seed by seed |", "| --- | ---: |"]
    for part in ("fine_tuned", "scratch"):
        found = [r["classifier"]["trained"] for r in rows if r["run"] == part]
        lines.append(f"| {part} | {' / '.join(f'{x:.1f}' for x in found)} |")
    measures = ("linear", "200-NN", "10 labels")
    lines += ["", "| features | " + " | ".join(measures) + " |"]
    lines.append("| --- |" + " ---: |" * len(measures))
    for part in ("mae", "dino"):
        mine = [r for r in rows if r["run"] == part]
        for kind in ("trained", "untrained", "pixels"):
            cells = [
                " / ".join(f"{r[m][kind]:.1f}" for r in mine if m in r)
                for m in measures
            ]
            lines.append(f"| {part}, {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
