"""The laptop race: k-NN on CIFAR-10 after so many minutes of two CPU cores.

Run:   PYTHONPATH=. python experiments/race_laptop/run.py --entrant=ours \
           --data_dir=DIR --workdir=DIR [--minutes=45] [--cores=0,1] [--seed=0] \
           [--part=held_out] [--torch_python=PYTHON]

DIR is a folder of prepared TFDS data sets, PYTHON an interpreter with torch and its
torchvision and lightly.
Entrants: "ours", the page race_laptop; "lightly_same", the same encoder, method and
views; "lightly_own", what was found best for lightly. With --part=held_out they learn
from 45,000 training images and are judged on the other 5,000, to choose settings; with
--part=smoke from 2,000, to see that all works.
Further arguments go to `jax-ssl train`, as --config.KEY=VALUE, or to the entrant of
lightly_entrant.py.

The clock of ours starts with this script, that of lightly's entrants when the images
have been written as arrays for them. It stops when the weights are final; features and
votes come after it. With --clock=cpu it counts the seconds of the processor, for
comparisons on a busy machine. Ours first measures its step in a short run that is on
the clock; then the number of steps follows, and the rate ends at 0 with them. If the
bell rings earlier, the weights of that moment count. Writes WORKDIR/results.json.
"""

import time

BEGAN = time.time()

import argparse  # noqa: E402
import datetime  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import pathlib  # noqa: E402
import platform  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402

import numpy as np  # noqa: E402
from judge import accuracy  # noqa: E402

from jax_ssl.core.allocator import HUGE, KEPT, tunables  # noqa: E402

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parents[1] / "configs" / "race_laptop.py"
# What was found best for lightly; README.md has what was tried.
LIGHTLY_OWN = ("--views=tensor",)
# One heap that keeps its memory, as `jax-ssl` starts itself.
TUNABLES = {"GLIBC_TUNABLES": tunables({**HUGE, **KEPT})}
LAP = 0.1  # Seconds between two looks at a run.
# The run that measures a step: its steps, and those of a log line. It is measured from
# the first line to the last.
PROBE, LINE = 120, 20
LOOKS = 4  # At a k-NN among training images, on the way.
SLACK = 0.04  # Of the time, for these looks and for slower steps.


class Child:
    """A process, what of the processor it used, and when its log lines came."""

    def __init__(self, command, clock):
        self.process = subprocess.Popen(command)
        self.clock, self.marks, self.used, self.epoch = clock, {}, 0.0, 0.0

    def cpu(self):
        """Seconds of the processor so far, of all of its threads."""
        try:
            text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
            fields = text.rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            self.used = max(self.used, ticks / os.sysconf("SC_CLK_TCK"))
        except OSError:
            pass  # It has ended.
        return self.used

    def follow(self, metrics, budget, last):
        """Waits for the end of training, the bell or the process; whether it rang.

        `marks` then says when each log line was seen, by its step, and `epoch` how far
        it has come.
        """
        place = 0
        while self.process.poll() is None:
            time.sleep(LAP)
            now = self.clock(self.cpu())
            if metrics.exists():
                with metrics.open() as file:
                    file.seek(place)
                    text = file.read()
                whole = text[: text.rfind("\n") + 1]
                place += len(whole.encode())
                for record in map(json.loads, whole.splitlines()):
                    if record["kind"] == "train":
                        self.marks.setdefault(record["step"], now)
                        self.epoch = record["epoch"]
            if last in self.marks:
                return False
            if now >= budget:
                self.process.send_signal(signal.SIGTERM)
                return True
        return False


def main():
    options, others = parsed()
    options.workdir.mkdir(parents=True, exist_ok=True)
    if (options.workdir / "results.json").exists():
        print((options.workdir / "results.json").read_text())
        return 0
    if any((options.workdir / name).exists() for name in ("probe", "run")):
        raise SystemExit(f"{options.workdir} has an unfinished race; name another.")
    os.sched_setaffinity(0, {int(core) for core in options.cores.split(",")})
    began = BEGAN
    images = images_of(options)
    if options.entrant != "ours" and not images.exists():
        # Lightly's entrant does not pay for making arrays of the images.
        write_images(images, options)
        began = time.time()
    if images.exists():
        with np.load(images) as data:
            held = str(data["part"])
        if held != options.part:
            raise SystemExit(f"{images} holds the part {held}; name another file.")
    told = {
        "entrant": options.entrant,
        "minutes": options.minutes,
        "clock": options.clock,
        "part": options.part,
        "seed": options.seed,
        "cores": options.cores,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": {"processor": processor(), "platform": platform.platform()},
        "load_before": os.getloadavg()[0],
        "arguments": others,
    }
    race = ours if options.entrant == "ours" else lightly
    found = race(options, others, began)
    data = np.load(images)
    features = np.load(options.workdir / "features.npz")
    vote = features["train"], data["y_train"], features["judged"], data["y_judged"]
    told |= {"knn": accuracy(*vote), **found, "load_after": os.getloadavg()[0]}
    text = json.dumps(told, indent=1)
    (options.workdir / "results.json").write_text(text + "\n")
    print(text)
    return 0


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("ours", "lightly_same", "lightly_own")
    parser.add_argument("--entrant", choices=names, required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--cores", default="0,1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", choices=("test", "held_out", "smoke"), default="test")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--images", type=pathlib.Path, help="the file, once made")
    return parser.parse_known_args()


def images_of(options):
    """The file of images as arrays, which may not be there yet."""
    return options.images or options.workdir / f"images_{options.part}.npz"


def write_images(path, options):
    """Writes x_train, y_train, x_judged, y_judged of the part, uint8 and int64."""
    from jax_ssl.config import load_page
    from jax_ssl.data import SOURCES

    evals = load_page(f"{PAGE}:{options.part}").evals
    splits = evals.train["split"], evals.test["split"]
    arrays = {"part": options.part}
    for name, split in zip(("train", "judged"), splits, strict=True):
        source = SOURCES["tfds"](
            dataset="cifar10", data_dir=options.data_dir, split=split
        )
        rows = source[np.arange(len(source))]
        arrays[f"x_{name}"] = np.asarray(rows["image"])
        arrays[f"y_{name}"] = np.asarray(rows["label"]).astype(np.int64)
    np.savez(path, **arrays)


def ours(options, others, began):
    """Trains the page for the time, and writes its features."""
    budget = 60 * options.minutes
    past = 0.0  # Of the processor, by children that have ended.

    def clock(cpu):
        return past + cpu if options.clock == "cpu" else time.time() - began

    page = f"--config={PAGE}:{options.part}"
    common = [f"--config.data.data_dir={options.data_dir}"]
    common += [f"--config.run.seed={options.seed}", "--config.run.num_epochs=None"]

    def start(folder, steps, *more):
        command = [sys.executable, "-m", "jax_ssl", "train", page]
        command += [f"--workdir={folder}", f"--config.run.num_steps={steps}"]
        return Child([*command, *common, *others, *more], clock)

    folder = options.workdir / "probe"
    probe = start(
        *(folder, PROBE, f"--config.run.log_every_steps={LINE}"),
        "--config.evals.knn=None",
        "--config.evals.online=None",
        "--config.evals.test=None",
        "--config.optimizer.learning_rate.warmup_steps=1",
    )
    probe.follow(folder / "metrics.jsonl", budget, PROBE)
    if PROBE not in probe.marks:
        raise SystemExit(f"the run that measures a step, {folder}, made none in time.")
    second = (probe.marks[PROBE] - probe.marks[LINE]) / (PROBE - LINE)
    startup = probe.marks[LINE] - LINE * second
    probe.process.kill()  # Nothing of it is needed.
    probe.process.wait()
    past += probe.cpu()

    left = (1 - SLACK) * budget - clock(0.0) - startup
    steps = int(left / second)
    if steps < PROBE:
        raise SystemExit(
            f"{options.minutes} minutes leave {left:.0f} s after two starts of "
            f"{startup:.0f} s, and a step takes {second:.2f}; give more."
        )
    folder, more = options.workdir / "run", ()
    if options.part == "held_out":  # The judge is enough to choose by.
        more = "--config.evals.knn=None", "--config.evals.test=None"
    looks = probe.epoch / PROBE * steps / (LOOKS + 1)
    run = start(folder, steps, f"--config.evals.online.every_epochs={looks}", *more)
    rang = run.follow(folder / "metrics.jsonl", budget, steps)
    ended = clock(run.cpu())
    code = run.process.wait()
    if code and not rang:
        raise SystemExit(f"jax-ssl train ended with {code}.")
    if rang:
        for verb in ("export",) if more else ("evaluate", "export"):
            command = [sys.executable, "-m", "jax_ssl", verb, f"--workdir={folder}"]
            subprocess.run(command, check=True)
    records = [json.loads(s) for s in (folder / "metrics.jsonl").open()]
    lines = [r for r in records if r["kind"] == "train"]
    write_features(options, folder)
    return {
        "steps": lines[-1]["step"],
        "steps_planned": steps,
        "seconds_a_step_measured": round(second, 4),
        "seconds_of_a_start": round(startup, 1),
        "trained_until": round(ended, 1),
        "bell_rang_before_the_end": rang,
        "last_rate": lines[-1]["learning_rate"],
        **({} if more else told_by_the_library(folder)),
        "curve": [
            {"step": r["step"], "seconds": round(r["seconds"], 1), "loss": r["loss"]}
            for r in lines[:: max(1, len(lines) // 20)]
        ],
        "looks": [r for r in records if r["kind"] == "eval"],
    }


def told_by_the_library(folder):
    """Its own k-NN, and versions."""
    results = json.loads((folder / "results.json").read_text())
    (accuracy,) = [
        row["accuracy"]
        for evaluation in results["evaluations"]
        if evaluation["settings"].get("k") == 200
        for row in evaluation["rows"]
        if row["features"] == "trained"
    ]
    return {"library_knn": accuracy, "versions": results["environment"]["versions"]}


def write_features(options, folder):
    """What the library's exported encoder makes of the images, for the judge."""
    import jax_ssl

    images = images_of(options)
    if not images.exists():
        write_images(images, options)
    data = np.load(images)
    encoder = jax_ssl.load(folder)
    found = {
        name: encoder(data[f"x_{name}"], batch_size=512) for name in ("train", "judged")
    }
    np.savez(options.workdir / "features.npz", **found)


def lightly(options, others, began):
    """Starts the other entrant, which keeps its own time."""
    images = images_of(options)
    own = LIGHTLY_OWN if options.entrant == "lightly_own" else ()
    command = [options.torch_python, str(HERE / "lightly_entrant.py")]
    command += [f"--images={images}", f"--output={options.workdir}"]
    command += [f"--minutes={options.minutes}", f"--began={began}"]
    command += [f"--clock={options.clock}", f"--seed={options.seed}"]
    command += [f"--threads={len(options.cores.split(','))}", *own, *others]
    subprocess.run(command, check=True, env={**TUNABLES, **os.environ})
    return json.loads((options.workdir / "entrant.json").read_text())


def processor():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    lines = [s for s in text.splitlines() if s.startswith("model name")]
    return f"{len(lines)} x {lines[0].partition(': ')[2]}"


def commit():
    where = ["git", "-C", str(HERE), "describe", "--always", "--dirty=+"]
    said = subprocess.run([*where, "--abbrev=12"], capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
