"""Trains CPC on spoken digits with two seeds, and makes the table of linear probes.

Run:   PYTHONPATH=. python experiments/spoken_digits/run.py --archive=fsdd.npz \
           --workdir=DIR [--seeds=0,1]

A run that has its results already is not repeated; one that was killed continues.
Writes results.json and prints the table.
"""

import argparse
import pathlib
import subprocess
import sys

from experiments.runs import kept, summary

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parents[1] / "configs" / "cpc_audio_digits.py"
MEASURES = {
    "speaker: linear, each frame": "speaker, of one frame",
    "linear, each frame": "digit, of one frame",
    "speaker: linear": "speaker, of the whole",
    "linear": "digit, of the whole",
}
KINDS = ("trained", "untrained", "mfcc", "samples")


def command(data, folder, seed):
    """The command of a run."""
    said = [sys.executable, "-m", "jax_ssl", "train", f"--config={PAGE}"]
    said += [f"--workdir={folder}", f"--config.data.path={data}"]
    return [*said, f"--config.run.seed={seed}"]


def table(rows):
    """Accuracy in % of every measure, by kind of features, a number for each seed."""
    heads = ["what is predicted", *KINDS, "least lead on untrained", "on MFCCs"]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for title, words in MEASURES.items():
        found = [row[title] for row in rows]
        cells = [
            " / ".join(f"{each[kind]:.1f}" for each in found if kind in each) or "–"
            for kind in KINDS
        ]
        leads = [
            f"{min(each['trained'] - each[kind] for each in found):+.1f}"
            for kind in ("untrained", "mfcc")
        ]
        lines.append([words, *cells, *leads])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    options.workdir.mkdir(parents=True, exist_ok=True)
    data = options.workdir / "spoken_digits.npz"
    if not data.exists():
        script = [sys.executable, HERE / "convert.py", options.archive, data]
        subprocess.run(script, check=True)
    rows = []
    for seed in options.seeds.split(","):
        folder = options.workdir / f"cpc_audio-{seed}"
        if not (folder / "results.json").exists():
            subprocess.run(command(data, folder, seed), check=False)
        if found := summary(folder):
            rows.append({"method": "cpc_audio", "seed": int(seed), **found})
    rows = kept(HERE / "results.json", rows, "method", "seed")
    print(table(rows))


if __name__ == "__main__":
    main()
