"""The curve of accuracy by labels a class: frozen first layers beside labels alone.

Run:   PYTHONPATH=. python experiments/frozen_first_layers/run.py --data_dir=DIR \
           --workdir=DIR [--labels=10,100,500] [--seeds=0]

A run that has its results already is not repeated; one that was killed continues.
Writes results.json and curve.png, and prints the table.
"""

import argparse
import pathlib

from experiments.runs import kept, summary, train

HERE = pathlib.Path(__file__).parent
KINDS = {"frozen": "first layers of RotNet, frozen", "labels": "labels alone"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--labels", default="10,100,500")
    parser.add_argument("--seeds", default="0")
    options = parser.parse_args()
    labels = [int(n) for n in options.labels.split(",")]
    rows = []
    for seed in [int(seed) for seed in options.seeds.split(",")]:
        pretext = options.workdir / f"pretext-{seed}"
        train(f"{HERE / 'page.py'}:pretext", pretext, options.data_dir, seed)
        for n in labels:
            for kind in KINDS:
                # Both learn from the same labels.
                changes = [f"--config.feed.labels_seed={seed}"]
                if kind == "frozen":
                    file = pretext / "export" / "encoder.npz"
                    changes.append(f"--config.run.init_from={file}")
                folder = options.workdir / f"{kind}-{n}-{seed}"
                page = f"{HERE / 'page.py'}:{kind}-{n}"
                train(page, folder, options.data_dir, seed, *changes)
                if found := summary(folder):
                    rows.append({"kind": kind, "labels": n, "seed": seed, **found})
    rows = kept(HERE / "results.json", rows, "kind", "labels", "seed")
    print(table(rows))
    draw(rows)


def means(rows):
    """{kind: {labels a class: mean accuracy over seeds in %}}."""
    found = {}
    for row in rows:
        points = found.setdefault(row["kind"], {})
        points.setdefault(row["labels"], []).append(row["classifier"]["trained"])
    return {
        kind: {n: sum(values) / len(values) for n, values in points.items()}
        for kind, points in found.items()
    }


def table(rows):
    """A row for each number of labels."""
    found = means(rows)
    numbers = sorted({row["labels"] for row in rows})
    lines = ["| labels a class | " + " | ".join(KINDS.values()) + " |"]
    lines.append("| ---: |" + " ---: |" * len(KINDS))
    for n in numbers:
        cells = [f"{found.get(kind, {}).get(n, float('nan')):.1f}" for kind in KINDS]
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(rows):
    """curve.png, accuracy over labels a class on a logarithmic axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for kind, points in means(rows).items():
        axes.plot(*zip(*sorted(points.items()), strict=True), "o-", label=KINDS[kind])
    axes.set(xscale="log", xlabel="labels a class", ylabel="test accuracy, %")
    axes.legend()
    figure.savefig(HERE / "curve.png", dpi=150)


if __name__ == "__main__":
    main()
