"""Trains what learns from geometry on rendered rooms, and what lacks one of its terms.

Run:   PYTHONPATH=. python experiments/rendered_scenes/run.py --workdir=DIR \
           [--runs=unflow,monodepth] [--seeds=0,1]

A run that has its results already is not repeated; one that was killed continues.
Writes results.json and prints the tables. Run one process for each core.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from experiments.runs import kept
from jax_ssl.train.metrics import read_metrics

HERE = pathlib.Path(__file__).parent
# Boxes that the camera carries along never move in the picture: what an automatic mask
# is for.
CARRIED = ("data.moving_boxes=2", "data.box_motion=camera")
# Twelve boxes, not four, and larger ways aside: a frame hides much that another shows,
# which is what the least error over sources is for.
CROWDED = (
    "data.num_boxes=12",
    "data.min_translation=(-0.4,-0.1,0.2)",
    "data.max_translation=(0.4,0.1,0.6)",
)
# Each frame has a brightness of its own: what census is for.
EXPOSED = (
    "views.shared=False",
    "views.in_losses=True",
    "views.jitter=(0.3,0.0,0.0,0.0)",
    "views.jitter_probability=1.0",
)
# By name: the page, and what differs from it.
RUNS = {
    "sfmlearner": ("sfmlearner_scenes",),
    "monodepth2": ("monodepth2_scenes",),
    "monodepth2, mean of sources": (
        "monodepth2_scenes",
        "method.reprojection=average",
    ),
    "monodepth2, crowded": ("monodepth2_scenes", *CROWDED),
    "monodepth2, crowded, mean of sources": (
        "monodepth2_scenes",
        *CROWDED,
        "method.reprojection=average",
    ),
    "monodepth2, carried boxes": ("monodepth2_scenes", *CARRIED),
    "monodepth2, carried boxes, no mask": (
        "monodepth2_scenes",
        *CARRIED,
        "method.auto_mask=False",
    ),
    "monodepth2, two cameras": ("monodepth2_scenes:stereo",),
    "monodepth2, both": ("monodepth2_scenes:both",),
    "monodepth": ("monodepth_scenes",),
    "monodepth, no left-right": ("monodepth_scenes", "method.left_right_weight=0.0"),
    "unflow": ("unflow_scenes",),
    "unflow, brightness": ("unflow_scenes:brightness",),
    "unflow, own exposures": ("unflow_scenes", *EXPOSED),
    "unflow, own exposures, brightness": ("unflow_scenes:brightness", *EXPOSED),
    "self_mono_sf": ("self_mono_sf_scenes",),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--runs", default=";".join(RUNS), help="names, ; between them")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--table", action="store_true", help="only the tables")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    runs = [(name, seed) for seed in seeds for name in options.runs.split(";")]
    for name, seed in [] if options.table else runs:
        train(name, seed, folder(options.workdir, name, seed))
    rows = [
        {"run": name, "seed": seed, **found}
        for name in RUNS
        for seed in seeds
        if (found := summary(folder(options.workdir, name, seed)))
    ]
    rows = kept(HERE / "results.json", rows, "run", "seed")
    print(tables(rows))


def folder(workdir, name, seed):
    return workdir / f"{name.replace(', ', '-').replace(' ', '_')}-{seed}"


def train(name, seed, where):
    if (where / "results.json").exists():
        return
    page, *settings = RUNS[name]
    file, _, argument = page.partition(":")
    config = f"configs/{file}.py" + (f":{argument}" if argument else "")
    command = [sys.executable, "-m", "jax_ssl", "train", f"--config={config}"]
    command += [f"--workdir={where}", f"--config.run.seed={seed}"]
    command += [f"--config.{setting}" for setting in settings]
    subprocess.run(command, check=False)


def summary(where):
    """Every metric of every protocol, by kind of prediction; None without results."""
    if not (where / "results.json").exists():
        return None
    results = json.loads((where / "results.json").read_text())
    told = read_metrics(where / "metrics.jsonl")
    records = [record for record in told if record["kind"] == "train"]
    row = {
        "steps": records[-1]["step"],
        "loss": round(records[-1]["loss"], 4),
        "commit": results["environment"]["commit"],
    }
    for evaluation in results["evaluations"]:
        names = [metric["name"] for metric in evaluation["metrics"]]
        row[evaluation["protocol"]] = {
            kind["features"]: {
                name: round(kind[name], 4) for name in names if kind[name] is not None
            }
            for kind in evaluation["rows"]
        }
    return row


def tables(rows):
    """A table for each protocol: the first metric of every seed, beside controls."""
    lines = []
    for protocol in dict.fromkeys(k for row in rows for k in row if k in KNOWN):
        mine = [row for row in rows if protocol in row]
        kinds = list(mine[0][protocol])
        for metric in KNOWN[protocol]:
            lines += ["", f"{protocol}, {metric}", ""]
            lines.append(f"| run | {' | '.join(kinds)} |")
            lines.append("| --- |" + " ---: |" * len(kinds))
            for name in dict.fromkeys(row["run"] for row in mine):
                own = [row[protocol] for row in mine if row["run"] == name]
                cells = [
                    " / ".join(f"{x[kind][metric]:.3f}" for x in own) for kind in kinds
                ]
                lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


KNOWN = {
    "depth": ("abs_rel", "delta_1"),
    "stereo": ("d1_all",),
    "ego_motion": ("snippet_ate", "trajectory_ate"),
    "optical_flow": ("epe", "f1_all"),
    "scene_flow": ("sf", "d1", "d2", "fl"),
}


if __name__ == "__main__":
    main()
