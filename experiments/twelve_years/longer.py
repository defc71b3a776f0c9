"""Five times the steps for methods that had not begun to learn in the table.

Run:   PYTHONPATH=. python experiments/twelve_years/longer.py --data_dir=DIR \
           --workdir=DIR [--methods=exemplar,relative_patch] [--seeds=0,1]

The pages of run.py for 1,560 steps in the place of 312. Exemplar has the first 500
images as its classes, and sees each of them 400 times; the other methods have all
5,000. Puts its runs into longer.json beside those of other methods, and prints the
table of all.
"""

import argparse
import pathlib

from page import EPOCHS, YEARS

from experiments.runs import kept, leads, summaries, train

HERE = pathlib.Path(__file__).parent
MEASURES = ("20-NN", "linear", "10 labels")
LONGER = 5
EXEMPLAR = (
    "--config.data.split=train[:500]",
    f"--config.run.num_epochs={10 * LONGER * EPOCHS}",
)
OTHERS = (f"--config.run.num_epochs={LONGER * EPOCHS}",)
METHODS = (
    "exemplar",
    "relative_patch",
    "context_encoder",
    "jigsaw",
    "npid",
    "cpc_vision",
    "moco_v1",
    "pirl_jigsaw",
    "pirl_rotation",
    "byol",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    names = options.methods.split(",")
    for seed in seeds:
        for name in names:
            folder = options.workdir / f"{name}-{seed}"
            page = f"{HERE / 'page.py'}:{name}"
            settings = EXEMPLAR if name == "exemplar" else OTHERS
            train(page, folder, options.data_dir, seed, *settings)
    rows = [
        {"method": row["method"], "year": YEARS[row["method"]], **row}
        for row in summaries(options.workdir, names, seeds)
    ]
    rows = kept(HERE / "longer.json", rows, "method", "seed")
    rows.sort(key=lambda row: (row["year"], row["method"], row["seed"]))
    print(leads(rows, MEASURES))


if __name__ == "__main__":
    main()
