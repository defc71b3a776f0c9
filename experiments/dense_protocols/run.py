"""SimCLR on CamVid's training images, and what its frozen cells say of their classes.

Run:   PYTHONPATH=. python experiments/dense_protocols/run.py --camvid=FILE \
           --workdir=DIR [--seeds=0,1] [--heads=linear,unet] \
           [--steps=500] [--head_steps=200] [--rates=3e-3,1e-2]

FILE is made by experiments/segmentation/prepare.py. A linear head of the last stage, or
U-Net's expanding path on all stages, or both learn the classes on the frozen encoder. A
run that has its results already is not repeated; one that was killed continues. Writes
results.json, in which rows of other settings stay, and prints the table.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from jax_ssl.checkpoint.run_folder import write_json_atomic

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results.json"
HEADS = {"linear": "linear_segmentation", "unet": "unet_segmentation"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--camvid", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--heads", default="linear", help="linear, unet, or both")
    parser.add_argument("--steps", type=int, default=500, help="of SimCLR")
    parser.add_argument("--head_steps", type=int, default=200)
    parser.add_argument("--rates", help="learning rates of the heads; else the page's")
    options = parser.parse_args()
    heads = options.heads.split(",")
    if strange := set(heads) - set(HEADS):
        parser.error(
            f"--heads={options.heads}: {strange.pop()} is none of linear, unet"
        )
    rows = []
    for seed in options.seeds.split(","):
        name = f"simclr-{options.steps}-{'-'.join(heads)}-{options.head_steps}-{seed}"
        folder = options.workdir / name
        if not (folder / "results.json").exists():
            command = [sys.executable, "-m", "jax_ssl", "train"]
            command += [f"--config={HERE / 'page.py'}", f"--workdir={folder}"]
            command += [f"--config.data.path={options.camvid}"]
            command += [f"--config.run.num_steps={options.steps}"]
            for head, protocol in HEADS.items():
                own = f"--config.evals.{protocol}"
                if head not in heads:
                    command += [f"{own}=None"]
                    continue
                command += [f"{own}.steps={options.head_steps}"]
                if options.rates:
                    command += [f"{own}.learning_rates=({options.rates},)"]
            subprocess.run([*command, f"--config.run.seed={seed}"], check=False)
        if not (folder / "results.json").exists():
            sys.exit(f"{folder} has no results; the same command continues its run.")
        rows += summary(folder, int(seed), options.steps)
    key = ("seed", "protocol", "features", "steps", "head_steps")
    old = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    new = [[row[name] for name in key] for row in rows]
    kept = [row for row in old if [row[name] for name in key] not in new]
    write_json_atomic(RESULTS, {"rows": [*kept, *rows]})
    for row in rows:
        print(row["seed"], row["protocol"], row["features"], row["miou"])


def summary(folder, seed, steps):
    """A row for each protocol and kind of features."""
    results = json.loads((folder / "results.json").read_text())
    return [
        {
            "seed": seed,
            "steps": steps,
            "head_steps": evaluation["settings"]["steps"],
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
