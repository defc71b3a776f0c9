"""U-Net on membranes and on road scenes, small enough for a laptop.

Run:   PYTHONPATH=. python experiments/segmentation/run.py --isbi=FILE --camvid=FILE \
           --workdir=DIR [--seeds=0,1]

The files are those of prepare.py beside this. A run that has its results already is not
repeated; one that was killed continues. Writes results.json and prints the tables.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np

from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.core.fields import VOID

HERE = pathlib.Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"
SHORT = "--config.run.num_steps=300"
PLAIN = "--config.method.class_weights=None"
# By name, the word before "-" being that of the data: a page and changes.
STUDIES = {
    "isbi": ("unet_isbi.py:laptop", ()),
    "camvid": ("segmenter_camvid.py", (SHORT, PLAIN)),
    "camvid-weighted": ("segmenter_camvid.py", (SHORT,)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("isbi", "camvid"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0,1")
    options = vars(parser.parse_args())
    rows = []
    for seed in [int(seed) for seed in options["seeds"].split(",")]:
        for name, (page, changes) in STUDIES.items():
            folder = options["workdir"] / f"{name}-{seed}"
            if not (folder / "results.json").exists():
                command = [sys.executable, "-m", "jax_ssl", "train"]
                command += [f"--config={CONFIGS / page}", f"--workdir={folder}"]
                command += [f"--config.data.path={options[name.split('-')[0]]}"]
                command += [f"--config.run.seed={seed}", "--config.run.report=False"]
                subprocess.run([*command, *changes], check=False)
            rows.append({"study": name, "seed": seed, **summary(folder)})
    baselines = {name: commonest(options[name]) for name in ("isbi", "camvid")}
    write_json_atomic(HERE / "results.json", {"runs": rows, "commonest": baselines})
    for row in rows:
        print(row["study"], row["seed"], row["segmentation"]["trained"])
    print("the commonest class of the training part everywhere:", baselines)


def summary(folder):
    """What each protocol says of trained and untrained network and of baselines."""
    results = json.loads((folder / "results.json").read_text())
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    last = [json.loads(line) for line in lines if '"train"' in line][-1]
    found = {
        name: last[name] for name in ("step", "loss", "mean_iou", "pixel_accuracy")
    }
    for evaluation in results["evaluations"]:
        metrics = [metric["name"] for metric in evaluation["metrics"]]
        found[evaluation["title"]] = {
            row["features"]: {name: round(row[name], 4) for name in metrics}
            | {k: rounded(v) for k, v in row["detail"].items()}
            for row in evaluation["rows"]
        }
    made = results["evaluations"][0]["made"]
    return {**found, "commit": made["commit"], "date": made["date"]}


def rounded(value):
    if isinstance(value, dict):
        return {name: round(number, 4) for name, number in value.items()}
    return value


def commonest(file):
    """Test mean IoU and pixel accuracy of the class that most training pixels have."""
    with np.load(file) as stored:
        names, train, test = (
            stored[key] for key in ("mask_names", "train_mask", "test_mask")
        )
    counts = np.bincount(train[train != VOID], minlength=len(names))
    known = test[test != VOID]
    share = float((known == counts.argmax()).mean())
    occurring = len(np.unique(known))
    return {
        "class": str(names[counts.argmax()]),
        "miou": round(share / occurring, 4),
        "pixel_accuracy": round(share, 4),
    }


if __name__ == "__main__":
    main()
