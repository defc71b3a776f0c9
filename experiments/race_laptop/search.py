"""Candidates for the laptop race, each for the same seconds of one core.

Run:   PYTHONPATH=. python experiments/race_laptop/search.py --data_dir=DIR \
           --workdir=DIR --torch_python=PYTHON [--minutes=5] [--core=0] \
           ["--only=NAME;NAME"]

All learn from 45,000 training images and are judged on the other 5,000. A candidate
that has its results is not repeated. Two searches may run at a time, on two cores, with
other names each. What stands beside a name is where it differs from "ours", or from
"lightly". Writes search.json beside this file and prints its table.
"""

import argparse
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
FILE = HERE / "search.json"
PATCHES_OF_4 = ("encoder.patch=4", "encoder.channels=128", "encoder.stage_sizes=(1,1)")
# What all candidates begin with, whatever the page and the entrant say today.
FIRST = ("feed.batch_size=256", "views.size=24", "method.temperature=0.3")
FIRST_OF_LIGHTLY = ("--batch_size=256", "--size=24", "--temperature=0.3")
# Batches of 128 pairs of 16 pixels.
SMALL = ("feed.batch_size=128", "views.size=16")
OURS = {
    "ours": (),
    "ours, 48 channels": ("encoder.channels=48",),
    "ours, patches of 4, 128 channels, two stages": PATCHES_OF_4,
    "ours, two blocks a stage, 48 channels": (
        "encoder.channels=48",
        "encoder.stage_sizes=(2,2,2)",
    ),
    "ours, views of 32": ("views.size=32",),
    "ours, views of 20": ("views.size=20",),
    "ours, views of 16": ("views.size=16",),
    "ours, temperature 0.2": ("method.temperature=0.2",),
    "ours, temperature 0.5": ("method.temperature=0.5",),
    "ours, batch 128": ("feed.batch_size=128",),
    "ours, batch 512": ("feed.batch_size=512",),
    "ours, batch 128, temperature 0.2": (
        "feed.batch_size=128",
        "method.temperature=0.2",
    ),
    "ours, batch 128, DCL, temperature 0.2": (
        "feed.batch_size=128",
        "method.temperature=0.2",
        "method.decoupled=True",
    ),
    "ours, batch 128, views of 16": ("feed.batch_size=128", "views.size=16"),
    "ours, batch 128, views of 12": ("feed.batch_size=128", "views.size=12"),
    "ours, views of 16, temperature 0.2": (*SMALL, "method.temperature=0.2"),
    "ours, views of 16, DCL, temperature 0.2": (
        *SMALL,
        "method.temperature=0.2",
        "method.decoupled=True",
    ),
    "ours, views of 16, crops from 0.1": (*SMALL, "views.min_scale=0.1"),
    "ours, views of 16, MoCo v3": (*SMALL, "method.name=moco_v3"),
    "ours, views of 16, 96 channels": (*SMALL, "encoder.channels=96"),
    "ours, views of 16, two blocks a stage": (*SMALL, "encoder.stage_sizes=(2,2,2)"),
    "ours, views of 16, batch 64": ("feed.batch_size=64", "views.size=16"),
    "ours, views of 16, rate 0.001": (
        *SMALL,
        "optimizer.learning_rate.peak_value=0.001",
    ),
    "ours, views of 16, rate 0.004": (
        *SMALL,
        "optimizer.learning_rate.peak_value=0.004",
    ),
    "ours, views of 16, jitter 1": (*SMALL, "views.strength=1.0"),
    "ours, views of 16, temperature 0.15": (*SMALL, "method.temperature=0.15"),
    "ours, views of 20, temperature 0.2": (
        "feed.batch_size=128",
        "views.size=20",
        "method.temperature=0.2",
    ),
    "ours, views of 16, temperature 0.2, two blocks a stage": (
        *SMALL,
        "method.temperature=0.2",
        "encoder.stage_sizes=(2,2,2)",
    ),
    "ours, views of 16, 48 channels": (*SMALL, "encoder.channels=48"),
    "ours, batch 128, crops from 0.1": ("feed.batch_size=128", "views.min_scale=0.1"),
    "ours, batch 128, MoCo v3": ("feed.batch_size=128", "method.name=moco_v3"),
    "ours, batch 128, 48 channels": ("feed.batch_size=128", "encoder.channels=48"),
    "ours, rate 0.001": ("optimizer.learning_rate.peak_value=0.001",),
    "ours, rate 0.004": ("optimizer.learning_rate.peak_value=0.004",),
    "ours, crops from 0.1": ("views.min_scale=0.1",),
    "ours, crops from 0.35": ("views.min_scale=0.35",),
    "ours, jitter 0.35": ("views.strength=0.35",),
    # Settings that the other method has as well stay.
    "ours, MoCo v3": ("method.name=moco_v3",),
    "ours, VICReg": ("method.name=vicreg", "method.output_dim=512"),
    "ours, Barlow Twins": ("method.name=barlow_twins", "method.output_dim=512"),
    "ours, W-MSE": ("method.name=w_mse", "method.output_dim=64"),
    "ours, rotation": ("method.name=rotation", "views.name=mae", "views.size=32"),
}
TENSOR = ("--views=tensor", "--batch_size=128", "--size=16")
LIGHTLY = {
    "lightly": (),
    "lightly, tensor views": ("--views=tensor",),
    "lightly, tensor views, compiled": ("--views=tensor", "--compile"),
    "lightly, tensor views, DCL": ("--views=tensor", "--loss=dcl"),
    "lightly, tensor views, DCL, temperature 0.2": (
        "--views=tensor",
        "--loss=dcl",
        "--temperature=0.2",
    ),
    "lightly, tensor views, 80 channels": ("--views=tensor", "--channels=80"),
    "lightly, tensor views, batch 128, DCL, temperature 0.2": (
        "--views=tensor",
        "--batch_size=128",
        "--loss=dcl",
        "--temperature=0.2",
    ),
    "lightly, tensor views of 16": TENSOR,
    "lightly, tensor views of 16, temperature 0.2": (*TENSOR, "--temperature=0.2"),
    "lightly, tensor views of 16, DCL, temperature 0.2": (
        *TENSOR,
        "--loss=dcl",
        "--temperature=0.2",
    ),
    "lightly, tensor views of 16, 96 channels": (*TENSOR, "--channels=96"),
    "lightly, tensor views, batch 128": ("--views=tensor", "--batch_size=128"),
    "lightly, tensor views, 48 channels": ("--views=tensor", "--channels=48"),
}


def found():
    """The rows of search.json."""
    return json.loads(FILE.read_text()) if FILE.exists() else []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--only", default="", help="names, between semicolons")
    parser.add_argument("--core", default="0")
    options = parser.parse_args()
    options.workdir.mkdir(parents=True, exist_ok=True)
    candidates = {
        **{
            name: ("ours", [f"--config.{change}" for change in (*FIRST, *changes)])
            for name, changes in OURS.items()
        },
        # One core makes the views too.
        **{
            name: ("lightly_same", ["--workers=0", *FIRST_OF_LIGHTLY, *changes])
            for name, changes in LIGHTLY.items()
        },
    }
    for name, (entrant, changes) in candidates.items():
        if options.only and name not in options.only.split(";"):
            continue
        if (name, options.minutes) in [
            (row["name"], row["minutes"]) for row in found()
        ]:
            continue
        place = f"{name}, {options.minutes:g}".replace(", ", "-").replace(" ", "_")
        folder = options.workdir / place
        command = [sys.executable, str(HERE / "run.py"), f"--entrant={entrant}"]
        command += [f"--data_dir={options.data_dir}", f"--workdir={folder}"]
        command += [f"--torch_python={options.torch_python}", "--part=held_out"]
        command += [f"--images={options.workdir / 'images.npz'}", "--clock=cpu"]
        command += [f"--minutes={options.minutes}", f"--cores={options.core}"]
        if subprocess.run([*command, *changes]).returncode:
            continue  # It has said why.
        result = json.loads((folder / "results.json").read_text())
        kept = ("minutes", "knn", "steps", "trained_until", "seed", "commit", "date")
        rows = [*found(), {"name": name, **{key: result[key] for key in kept}}]
        FILE.write_text(json.dumps(rows, indent=1) + "\n")
    print("| candidate | CPU minutes | steps | held-out k-NN | commit |")
    print("| --- | ---: | ---: | ---: | --- |")
    for row in sorted(found(), key=lambda row: -row["knn"]):
        cells = (row["name"], row["minutes"], row["steps"], f"{100 * row['knn']:.1f}")
        print(f"| {' | '.join(map(str, cells))} | {row['commit']} |")


if __name__ == "__main__":
    main()
