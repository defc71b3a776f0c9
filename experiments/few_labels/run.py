"""Four hundred labels: a mean teacher beside the labels alone, and a student of it.

Run:   PYTHONPATH=. taskset -c 0 nice python experiments/few_labels/run.py \
           --data_dir=DIR --workdir=DIR [--seeds=0,1]

A run that has its results already is not repeated; one that was killed continues.
Writes results.json and prints the table.
"""

import argparse
import pathlib
import subprocess
import sys

from experiments.runs import kept, summary, train

HERE = pathlib.Path(__file__).parent
PAIRS = {
    "mean_teacher": "the network, as a mean teacher",
    "labels": "the same network, labels alone",
    "student": "a narrower one, distilled from that teacher",
    "alone": "the same narrower one, labels alone",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    rows = []
    for seed in [int(seed) for seed in options.seeds.split(",")]:
        for part in PAIRS:
            folder = options.workdir / f"{part}-{seed}"
            # All learn from the same labels.
            changes = [f"--config.feed.labels_seed={seed}"]
            if part == "student":
                file = exported(options.workdir / f"mean_teacher-{seed}")
                changes.append(f"--config.run.init_from={ {'teacher': file} }")
            page = f"{HERE / 'page.py'}:{part}"
            train(page, folder, options.data_dir, seed, *changes)
            if found := summary(folder):
                rows.append({"part": part, "seed": seed, **found})
    rows = kept(HERE / "results.json", rows, "part", "seed")
    print(table(rows))


def exported(folder):
    """The file of a run's classifier, encoder and head."""
    file = folder / "export" / "classifier.npz"
    if not file.exists():
        command = [sys.executable, "-m", "jax_ssl", "export", f"--workdir={folder}"]
        subprocess.run([*command, "--what=classifier"], check=False)
    return str(file)


def table(rows):
    """Test accuracy in % and seconds of training of every seed."""
    lines = ["| | test accuracy, % | seconds |", "| --- | ---: | ---: |"]
    for part, words in PAIRS.items():
        mine = [row for row in rows if row["part"] == part]
        found = " / ".join(f"{row['classifier']['trained']:.1f}" for row in mine)
        seconds = " / ".join(str(row["seconds"]) for row in mine)
        lines.append(f"| {words} | {found} | {seconds} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
