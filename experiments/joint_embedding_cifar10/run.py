"""Trains the methods of page.py one after the other, and makes the table of them.

Run:   PYTHONPATH=. python experiments/joint_embedding_cifar10/run.py --data_dir=DIR \
           --workdir=DIR [--methods=simclr,byol] [--seeds=0,1]

A run that has its results already is not repeated; one that was killed continues.
Writes results.json and prints the table.
"""

import argparse
import pathlib

from page import METHODS

from experiments.runs import kept, leads, summaries, train

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
            folder = options.workdir / f"{name}-{seed}"
            train(f"{HERE / 'page.py'}:{name}", folder, options.data_dir, seed)
    rows = summaries(options.workdir, names, seeds)
    rows = kept(HERE / "results.json", rows, "method", "seed")
    print(leads(rows, MEASURES))


if __name__ == "__main__":
    main()
