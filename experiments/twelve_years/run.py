"""Trains the methods of page.py one after the other, and makes the table of them.

Run:   PYTHONPATH=. python experiments/twelve_years/run.py --data_dir=DIR \
           --workdir=DIR [--methods=simclr,byol] [--seeds=0,1]

A run that has its results already is not repeated; one that was killed continues.
Writes results.json and prints the table.
"""

import argparse
import pathlib

from page import METHODS, YEARS

from experiments.runs import summary, train
from jax_ssl.checkpoint.run_folder import write_json_atomic

HERE = pathlib.Path(__file__).parent
MEASURES = ("20-NN", "linear", "10 labels")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--table", action="store_true", help="only the table")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for seed in [] if options.table else seeds:
        for name in options.methods.split(","):
            more = []
            if name == "clusterfit":
                source = options.workdir / f"rotation-{seed}/export/encoder.npz"
                more = [f"--config.run.init_from.teacher={source.absolute()}"]
            folder = options.workdir / f"{name}-{seed}"
            train(f"{HERE / 'page.py'}:{name}", folder, options.data_dir, seed, *more)
    rows = [
        {"method": name, "year": YEARS[name], "seed": seed, **found}
        for name in METHODS
        for seed in seeds
        if (found := summary(options.workdir / f"{name}-{seed}"))
    ]
    write_json_atomic(HERE / "results.json", {"runs": rows})
    print(table(rows))


def table(rows):
    """Accuracy of every seed, and the least lead over the better of the controls."""
    lines = [
        "| year | method | " + " | ".join(f"{m} | lead" for m in MEASURES) + " |",
        "| --- | --- |" + " ---: |" * (2 * len(MEASURES)),
    ]
    for name in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == name]
        cells = []
        for measure in MEASURES:
            found = [row[measure] for row in mine if measure in row]
            leads = [x["trained"] - max(x["untrained"], x["pixels"]) for x in found]
            shown = " / ".join(f"{x['trained']:.1f}" for x in found)
            cells += [shown, f"{min(leads):+.1f}" if leads else ""]
        lines.append(f"| {YEARS[name]} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
