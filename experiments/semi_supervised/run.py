"""CIFAR-10 with few labels: fine-tuned from SimCLR beside the same from scratch.

Run:   PYTHONPATH=. python experiments/semi_supervised/run.py --data_dir=DIR \
           --workdir=DIR [--seeds=0,1] [--rates=0.03,0.1]

Of each kind the rate is chosen by seed 0 on validation images; the test part is read
once by each run of the table. A run that has its results already is not repeated; one
that was killed continues. Writes results.json and prints the table.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from experiments.runs import kept, summary, train

HERE = pathlib.Path(__file__).parent
KINDS = {"fine_tuned": "fine-tuned from SimCLR", "scratch": "from scratch"}
PERCENT = ("1", "10")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--rates", default="0.03,0.1")
    options = parser.parse_args()
    rates = options.rates.split(",")
    rows, chosen = [], {}
    for seed in [int(seed) for seed in options.seeds.split(",")]:
        pretext = options.workdir / f"pretext-{seed}"
        train(f"{HERE / 'page.py'}:pretext", pretext, options.data_dir, seed)
        if found := summary(pretext):
            rows.append({"kind": "pretext", "seed": seed, **found})
        for percent in PERCENT:
            for kind in KINDS:
                own = kind, percent
                tried = rates if own not in chosen else [chosen[own]]
                folders = {}
                for rate in tried:
                    folders[rate] = options.workdir / f"{kind}-{percent}-{rate}-{seed}"
                    # Both kinds learn from the same labels.
                    changes = [f"--config.feed.labels_seed={seed}"]
                    place = "--config.optimizer.learning_rate.init_value"
                    changes.append(f"{place}={rate}")
                    if kind == "fine_tuned":
                        file = pretext / "export" / "encoder.npz"
                        changes.append(f"--config.run.init_from={file}")
                    page = f"{HERE / 'page.py'}:labels-{percent}"
                    train(page, folders[rate], options.data_dir, seed, *changes)
                scores = {rate: on(folders[rate], "train[45000:]") for rate in tried}
                if None in scores.values():
                    continue
                best = chosen.setdefault(own, max(scores, key=scores.get))
                rows.append(
                    {
                        "kind": kind,
                        "percent": percent,
                        "seed": seed,
                        "rate": best,
                        "validation": scores,
                        "test": tested(folders[best], options.data_dir),
                        **summary(folders[best]),
                    }
                )
                kept(HERE / "results.json", rows, "kind", "percent", "seed")
    print(table(rows))


def on(folder, split):
    """Accuracy of a run's classifier on one part, in %; None before there is one."""
    if not (folder / "results.json").exists():
        return None
    for each in json.loads((folder / "results.json").read_text())["evaluations"]:
        if each["protocol"] == "classification" and each["split"] == split:
            return round(100 * each["rows"][0]["accuracy"], 2)
    return None


def tested(folder, data_dir):
    """Accuracy on the test part, which is read if it has not been."""
    if on(folder, "test") is None:
        command = [sys.executable, "-m", "jax_ssl", "evaluate", f"--workdir={folder}"]
        command += [f"--config.data.data_dir={data_dir}"]
        subprocess.run([*command, "--config.evals.test.split=test"], check=False)
    return on(folder, "test")


def table(rows):
    """Test accuracy in % of every seed, a row for each kind."""
    lines = [
        "| labels | " + " | ".join(KINDS.values()) + " |",
        "| ---: | ---: | ---: |",
    ]
    for percent in PERCENT:
        cells = []
        for kind in KINDS:
            mine = [
                row
                for row in rows
                if row["kind"] == kind and row.get("percent") == percent
            ]
            cells.append(" / ".join(f"{row['test']:.1f}" for row in mine))
        lines.append(f"| {percent} % | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
