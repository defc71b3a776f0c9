"""Trains the runs of page.py one after the other, and makes the tables of them.

Run:   PYTHONPATH=. python experiments/vit_cifar10/run.py --data_dir=DIR \
           --workdir=DIR [--parts=mae,scratch,fine_tuned,dino] [--seeds=0,1]

"fine_tuned" starts from what "mae" of its seed has exported. A run that has its results
already is not repeated; one that was killed continues. Writes results.json, copies the
pictures of the first seed, and prints the tables.
"""

import argparse
import pathlib
import shutil

from experiments.runs import kept, summaries, train

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
            train_part(part, seed, options)
    rows = summaries(options.workdir, parts, seeds, "run")
    rows = kept(HERE / "results.json", rows, "run", "seed")
    for part, name in PICTURES.items():
        picture = options.workdir / f"{part}-{seeds[0]}" / "report" / f"{name}.png"
        if picture.exists():
            shutil.copy(picture, HERE / f"{name}.png")
    print(tables(rows))


def train_part(part, seed, options):
    """One run, from what "mae" of its seed has exported if it is "fine_tuned"."""
    start = []
    if part == "fine_tuned":
        encoder = options.workdir / f"mae-{seed}" / "export" / "encoder.npz"
        start = [f"--config.run.init_from={encoder}"]
    train(
        f"{HERE / 'page.py'}:{PAGES.get(part, part)}",
        options.workdir / f"{part}-{seed}",
        options.data_dir,
        seed,
        *start,
    )


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
