"""Trains the runs of page.py one after the other, and draws accuracy by mask ratio.

Run:   PYTHONPATH=. python experiments/mask_ratio/run.py --data_dir=DIR --workdir=DIR \
           [--runs=visible-0.75,all-0.15] [--seeds=0]

A run that has its results already is not repeated; one that was killed continues.
Writes results.json and accuracy.png, and prints the table.
"""

import argparse
import pathlib

import matplotlib as mpl

from experiments.runs import kept, summary, train

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = pathlib.Path(__file__).parent
MEASURES = ("linear", "20-NN")
# In the order in which they are trained: the papers' own two first.
RUNS = (
    *("visible-0.75", "all-0.15", "visible-0.15", "all-0.75"),
    *("visible-0.9", "visible-0.5", "all-0.5", "all-0.9"),
)
NAMES = {
    "visible": "encoder of the visible patches, decoder (MAE)",
    "all": "mask tokens in the encoder, no decoder (BERT)",
}
COLOURS = {"visible": "C0", "all": "C1"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--runs", default=",".join(RUNS))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--table", action="store_true", help="only table and curve")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    runs = [(run, seed) for seed in seeds for run in options.runs.split(",")]
    for run, seed in [] if options.table else runs:
        folder = options.workdir / f"{run}-{seed}"
        train(f"{HERE / 'page.py'}:{run}", folder, options.data_dir, seed)
    rows = []
    for run, seed in runs:
        encode, _, ratio = run.partition("-")
        if found := summary(options.workdir / f"{run}-{seed}"):
            rows.append({"encode": encode, "mask_ratio": float(ratio), "seed": seed})
            rows[-1] |= found
    names = "encode", "mask_ratio", "seed"
    rows = kept(HERE / "results.json", rows, *names)
    rows.sort(key=lambda row: [row[name] for name in names])
    draw(rows, HERE / "accuracy.png")
    print(table(rows))


def table(rows):
    """Accuracy of each run beside the two controls, in %."""
    heads = ["the encoder sees", "hidden"]
    for measure in MEASURES:
        heads += [measure, "untrained", "pixels"]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for row in rows:
        cells = [row["encode"], f"{row['mask_ratio']:.0%}"]
        for measure in MEASURES:
            kinds = ("trained", "untrained", "pixels")
            cells += [f"{row[measure][kind]:.1f}" for kind in kinds]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def draw(rows, path):
    """One panel for each measure: a curve for each encoder, and lines of the controls.

    With several seeds the curve goes through their means.
    """
    figure, panels = plt.subplots(1, len(MEASURES), figsize=(9, 3.6))
    for panel, measure in zip(panels, MEASURES, strict=True):
        for encode, name in NAMES.items():
            mine = [row for row in rows if row["encode"] == encode]
            ratios = sorted({row["mask_ratio"] for row in mine})
            means = []
            for ratio in ratios:
                own = [r[measure]["trained"] for r in mine if r["mask_ratio"] == ratio]
                means.append(sum(own) / len(own))
                panel.plot([100 * ratio] * len(own), own, "o", color=COLOURS[encode])
            ratios = [100 * ratio for ratio in ratios]
            panel.plot(ratios, means, color=COLOURS[encode], label=name)
        for kind, style in (("untrained", "--"), ("pixels", ":")):
            own = [row[measure][kind] for row in rows]
            if own:
                label = {"untrained": "untrained encoder", "pixels": "raw pixels"}[kind]
                level = sum(own) / len(own)
                panel.axhline(level, color="0.4", linestyle=style, label=label)
        panel.set(title=measure, xlabel="patches hidden, %", xlim=(0, 100))
        panel.set_ylabel("accuracy, %")
        panel.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, frameon=False)
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
