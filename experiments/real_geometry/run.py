"""Disparity, ego-motion and flow on real pictures, beside what needs no learning.

Run:   PYTHONPATH=. python experiments/real_geometry/run.py --data_dir=DIR \
           --workdir=DIR [--studies=aloe,kitti] [--seeds=0,1] [--only_score]

DIR holds middlebury_aloe/, middlebury_motorcycle/, kitti_odometry/ and
middlebury_rubberwhale/ as README.md says. A run that has its results already is not
repeated; one that was killed continues. Writes results.json and the pictures. Without
opencv-python-headless the rows of OpenCV are kept as they were.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import score
from matplotlib import pyplot as plt
from page import PAIRS, STUDIES
from PIL import Image

from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.data.geometry_files import read_kitti_flow, read_kitti_map, write_png
from jax_ssl.evaluate.ego_motion import (
    aligned,
    cut_snippets,
    positions,
    rmse,
    squared_distances,
)
from jax_ssl.report import tiles
from jax_ssl.train.metrics import read_metrics

HERE = pathlib.Path(__file__).parent
FOLDERS = {
    "aloe": "middlebury_aloe",
    "motorcycle": "middlebury_motorcycle",
    "kitti": "kitti_odometry",
    "rubberwhale": "middlebury_rubberwhale",
}
SNIPPET = 5  # Frames.
SMALL_BLOCK, WHOLE_BLOCK = 9, 15  # Sides of the blocks that are matched.


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=pathlib.Path, required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--studies", default=",".join(STUDIES))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--only_score", action="store_true", help="train nothing")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    studies = options.studies.split(",")
    file = HERE / "results.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    baselines = known.get("baselines", {})
    rows = {(row["study"], row["seed"]): row for row in known.get("runs", [])}
    for study in studies:
        data = options.data_dir / FOLDERS[study]
        measure = MEASURES[study](study, data)
        baselines[study] = baselines.get(study, {}) | measure.controls()
        for seed in seeds:
            where = options.workdir / f"{study}-{seed}"
            if not options.only_score:
                train(study, seed, data, where)
            if (where / "results.json").exists():
                reached = measure.reached(where)
                rows[study, seed] = {
                    "study": study,
                    "seed": seed,
                    **told(where),
                    **reached,
                }
                print(json.dumps(rows[study, seed]))
        # No truth is needed to choose among several starts.
        drawn = [
            (row["loss"], options.workdir / f"{study}-{seed}")
            for (name, seed), row in rows.items()
            if name == study and seed in seeds
        ]
        if drawn:
            measure.draw(min(drawn)[1])
    runs = [rows[key] for key in sorted(rows)]
    write_json_atomic(file, {"baselines": baselines, "runs": runs})
    for study, found in baselines.items():
        for name, values in found.items():
            print(study, name, values)


def train(study, seed, data, where):
    """A run, and what its last checkpoint predicts."""
    jax_ssl = [sys.executable, "-m", "jax_ssl"]
    if not (where / "results.json").exists():
        command = [*jax_ssl, "train", f"--config={HERE / 'page.py'}:{study}"]
        command += [f"--workdir={where}", f"--config.data.path={data}"]
        subprocess.run([*command, f"--config.run.seed={seed}"], check=True)
    if not (where / "predictions").exists():
        images = data
        if study in PAIRS:  # The left picture alone is read.
            images = where / "images"
            images.mkdir(exist_ok=True)
            shutil.copy(data / PAIRS[study][0]["left"], images)
        command = [*jax_ssl, "infer", f"--workdir={where}", f"--images={images}"]
        subprocess.run(command, check=True)


def told(where):
    """The last line of the log, and of which commit it is."""
    results = json.loads((where / "results.json").read_text())
    lines = [x for x in read_metrics(where / "metrics.jsonl") if x["kind"] == "train"]
    names = [name for name in lines[-1] if name.endswith("loss")]
    kept = {name: round(lines[-1][name], 4) for name in names}
    commit = results["environment"]["commit"]
    return {"steps": lines[-1]["step"], "commit": commit, **kept}


class Stereo:
    """Disparity of one pair."""

    def __init__(self, study, data):
        self.study, self.data = study, data
        self.files, self.size = PAIRS[study]

    def labels(self):
        """The left disparities [H, W], not above 0 or not finite where unknown."""
        if self.study == "aloe":
            return np.asarray(Image.open(self.data / "aloeGT.png")).astype(np.float32)
        with np.load(self.data / "motorcycle_disp.npz") as file:
            return file["arr_0"]

    def pictures(self, size=None):
        return [
            score.picture(self.data / self.files[side], size)
            for side in ("left", "right")
        ]

    def matched(self, size, semi_global):
        true = self.labels()
        left, right = self.pictures(size)
        most = true[np.isfinite(true)].max() * left.shape[1] / true.shape[1]
        block = SMALL_BLOCK if size is not None else WHOLE_BLOCK
        block = 5 if semi_global else block
        found, known = score.block_matching(left, right, most + 2, block, semi_global)
        return score.stretched(found, true.shape), known

    def controls(self):
        true, small = self.labels(), self.size
        found = {"best constant": score.best_constant(true, small[1])}
        if score.cv2 is None:
            return found
        for name, semi_global in (("block matching", False), ("semi-global", True)):
            for size in (small, None):
                values, known = self.matched(size, semi_global)
                said = f"{name}, {'small' if size else 'whole'} pictures"
                errors = score.of_disparity(values, true, small[1])
                found[said] = {**errors, "matched": round(known, 4)}
        return found

    def predicted(self, where):
        file = pathlib.Path(self.files["left"]).with_suffix(".png")
        return read_kitti_map(str(where / "predictions" / "disparity" / file))

    def reached(self, where):
        found, true = self.predicted(where), self.labels()
        return score.of_disparity(found, true, self.size[1])

    def draw(self, where):
        true = self.labels()
        true = np.where(np.isfinite(true), true, 0)
        maps = [self.predicted(where), true]
        if score.cv2 is not None:
            maps.insert(1, self.matched(self.size, False)[0])
        most = true.max()
        left, _ = self.pictures()
        colours = [tiles.colors("viridis", np.clip(x / most, 0, 1)) for x in maps]
        colours[-1] = np.where((true > 0)[..., None], colours[-1], 128)
        write(HERE / f"{self.study}.png", [[left, *colours]], 900)


class Motion:
    """Motion of the camera along ten frames."""

    def __init__(self, study, data):
        self.study, self.data = study, data

    def controls(self):
        """The errors of snippets of five frames, straight ahead at one speed."""
        true = np.loadtxt(self.data / "poses.txt").reshape(-1, 3, 4)
        true = np.concatenate([true, np.zeros_like(true[:, :1])], axis=1)
        true[:, 3, 3] = 1
        ahead = np.tile(np.eye(4), (len(true), 1, 1))
        ahead[:, 2, 3] = np.arange(len(true))
        pieces = cut_snippets([(ahead, true)], SNIPPET)
        squares = squared_distances(*pieces)
        way = rmse(*aligned(positions(ahead), positions(true), "similarity"))
        found = {
            "snippet_ate": np.sqrt(squares).mean() / SNIPPET,
            "snippet_rmse": np.sqrt(squares / SNIPPET).mean(),
            "trajectory_ate": way,
        }
        return {"straight ahead": {k: round(float(x), 5) for k, x in found.items()}}

    def reached(self, where):
        results = json.loads((where / "results.json").read_text())
        (found,) = (x for x in results["evaluations"] if x["protocol"] == "ego_motion")
        names = [metric["name"] for metric in found["metrics"]]
        return {
            row["features"]: {
                name: round(row[name], 5) for name in names if row[name] is not None
            }
            for row in found["rows"]
        }

    def draw(self, where):
        """Both ways from above, laid onto each other by a similarity."""
        ways = [
            np.loadtxt(path).reshape(-1, 3, 4)[..., 3]
            for path in (where / "predictions" / "poses.txt", self.data / "poses.txt")
        ]
        figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
        for axis, (alignment, title) in zip(
            axes,
            (("scale", "scaled alone"), ("similarity", "laid on by a similarity")),
            strict=True,
        ):
            found, true = aligned(*ways, alignment)
            straight = np.zeros_like(true)
            straight[:, 2] = np.linspace(0, 1, len(true))
            straight, _ = aligned(straight, true, alignment)
            for name, way, marker in (
                ("measured", true, "o-"),
                ("Monodepth2", found, "s-"),
                ("straight ahead", straight, "--"),
            ):
                axis.plot(way[:, 2], way[:, 0], marker, label=name, markersize=4)
            axis.set(xlabel="forward, m", ylabel="to the right, m", title=title)
        axes[0].legend()
        figure.savefig(HERE / "trajectory.png", dpi=110)


class Flow:
    """Flow of one pair of frames."""

    def __init__(self, study, data):
        self.study, self.data = study, data

    def frames(self):
        return [score.picture(self.data / f"rubberwhale{i}.png") for i in (1, 2)]

    def predicted(self, where):
        file = where / "predictions" / "flow" / "rubberwhale1.png"
        return read_kitti_flow(str(file))[..., :2]

    def controls(self):
        first, second = self.frames()
        still = np.zeros((*first.shape[:2], 2))
        found = {"zero flow": score.of_flow(first, second, still)}
        if score.cv2 is not None:
            search = score.dense_search(first, second)
            found["dense inverse search"] = score.of_flow(first, second, search)
        return found

    def reached(self, where):
        first, second = self.frames()
        flow = self.predicted(where)
        found = score.of_flow(first, second, flow)
        if score.cv2 is not None:
            apart = flow - score.dense_search(first, second)
            from_search = np.hypot(apart[..., 0], apart[..., 1]).mean()
            found["mean_distance_from_search"] = round(float(from_search), 3)
        return found

    def draw(self, where):
        first, second = self.frames()
        flow = self.predicted(where)
        differences = [
            np.abs(x.astype(np.float64) - first).mean(-1)
            for x in (second, score.fetched(second, flow))
        ]
        grey = [tiles.colors("inferno", np.clip(x / 60, 0, 1)) for x in differences]
        rows = [[first, tiles.flow(flow)], grey]
        if score.cv2 is not None:
            rows[0].append(tiles.flow(score.dense_search(first, second)))
            rows[1].append(np.full_like(first, 255))
        write(HERE / "rubberwhale.png", rows, 1100)


MEASURES = {"aloe": Stereo, "motorcycle": Stereo, "kitti": Motion, "rubberwhale": Flow}


def write(path, rows, width):
    """Pictures of one size, in rows, as one file that is `width` pixels wide."""
    whole = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    height = round(whole.shape[0] * width / whole.shape[1])
    image = Image.fromarray(np.uint8(whole)).resize((width, height))
    write_png(str(path), np.asarray(image))


if __name__ == "__main__":
    mpl.use("agg")
    main()
