"""SimCLR on CamVid's training images, and what its frozen cells say of their classes.

Run:   PYTHONPATH=. python experiments/dense_protocols/run.py --camvid=FILE \
           --workdir=DIR [--seeds=0,1]

FILE is made by experiments/segmentation/prepare.py. A run that has its results already
is not repeated; one that was killed continues. Writes results.json and prints the
table.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from jax_ssl.checkpoint.run_folder import write_json_atomic

HERE = pathlib.Path(__file__).parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--camvid", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    rows = []
    for seed in options.seeds.split(","):
        folder = options.workdir / f"simclr-{seed}"
        if not (folder / "results.json").exists():
            command = [sys.executable, "-m", "jax_ssl", "train"]
            command += [f"--config={HERE / 'page.py'}", f"--workdir={folder}"]
            command += [f"--config.data.path={options.camvid}"]
            subprocess.run([*command, f"--config.run.seed={seed}"], check=False)
        rows += summary(folder, int(seed))
    write_json_atomic(HERE / "results.json", {"rows": rows})
    for row in rows:
        print(row["seed"], row["protocol"], row["features"], row["miou"])


def summary(folder, seed):
    """A row for each protocol and kind of features."""
    results = json.loads((folder / "results.json").read_text())
    return [
        {
            "seed": seed,
            "protocol": evaluation["protocol"],
            "features": row["features"],
            "miou": round(row["miou"], 4),
            "pixel_accuracy": round(row["pixel_accuracy"], 4),
            "learning_rate": row["detail"]["learning_rate"],
            "iou": {name: round(x, 4) for name, x in row["detail"]["iou"].items()},
            "commit": evaluation["made"]["commit"],
            "date": evaluation["made"]["date"],
        }
        for evaluation in results["evaluations"]
        for row in evaluation["rows"]
    ]


if __name__ == "__main__":
    main()
