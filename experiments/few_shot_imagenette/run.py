"""Few-shot episodes on Imagenette's validation images, by three classifiers.

Run:   PYTHONPATH=. python experiments/few_shot_imagenette/run.py --data_dir=DIR \
           --workdir=DIR [--seeds=0]

A run that has its results already is not repeated; one that was killed continues.
Writes results.json and prints the table.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from experiments.runs import kept, train

HERE = pathlib.Path(__file__).parent
CLASSIFIERS = ("nearest_centroid", "cosine_centroid", "logistic")
FEATURES = ("trained", "untrained", "pixels")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0")
    options = parser.parse_args()
    rows = []
    for seed in [int(seed) for seed in options.seeds.split(",")]:
        folder = options.workdir / f"simclr-{seed}"
        train(str(HERE / "page.py"), folder, options.data_dir, seed)
        if not (folder / "results.json").exists():
            continue
        for classifier in CLASSIFIERS:
            found = judged(folder, classifier)
            if not found:
                command = [sys.executable, "-m", "jax_ssl", "evaluate"]
                command += [f"--workdir={folder}", "--config.evals.knn=None"]
                command += [f"--config.evals.few_shot.classifier={classifier}"]
                subprocess.run(command, check=False)
                found = judged(folder, classifier)
            rows += [{"seed": seed, "classifier": classifier, **row} for row in found]
    names = "seed", "classifier", "shots"
    rows = kept(HERE / "results.json", rows, *names)
    print(table(rows))


def judged(folder, classifier):
    """Accuracy and half its 95 % interval in %, by shots and features."""
    results = json.loads((folder / "results.json").read_text())
    found = []
    for each in results["evaluations"]:
        settings = each["settings"]
        if each["protocol"] != "few_shot" or settings["classifier"] != classifier:
            continue
        found.append(
            {
                "shots": settings["shots"],
                "commit": results["environment"]["commit"],
                **{
                    row["features"]: (100 * row["accuracy"], 100 * row["std"])
                    for row in each["rows"]
                },
            }
        )
    return found


def table(rows):
    """A row for each classifier and number of shots, seeds side by side."""
    lines = ["| classifier | shots | SimCLR | untrained | raw pixels |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for classifier in CLASSIFIERS:
        mine = [row for row in rows if row["classifier"] == classifier]
        for shots in sorted({row["shots"] for row in mine}):
            cells = []
            for kind in FEATURES:
                found = [row[kind] for row in mine if row["shots"] == shots]
                cells.append(" / ".join(f"{a:.1f} ± {half:.1f}" for a, half in found))
            words = classifier.replace("_", " ")
            lines.append(f"| {words} | {shots} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
