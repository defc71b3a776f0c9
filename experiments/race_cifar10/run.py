"""The race: how long until k-NN on CIFAR-10's test part is right in 90 of 100.

Run:   python experiments/race_cifar10/run.py --data=DIR --workdir=DIR [--epochs=500]

DIR is a folder of prepared TFDS data sets, or an .npz file with x_train, y_train,
x_test, y_test. Further --config.KEY=VALUE go to `jax-ssl train`.

The clock starts with this script and counts everything: compilation, evaluations,
checkpoints, and the time lost by whoever kills it. The same command goes on. Training
ends after its epochs, or once the k-NN among training images, some of them held out, is
`--margin` above the target; then the test part is looked at, once. Writes race.json.
"""

import time

BEGAN = time.time()

import argparse  # noqa: E402
import json  # noqa: E402
import pathlib  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402

from jax_ssl.checkpoint.run_folder import write_json_atomic  # noqa: E402
from jax_ssl.train.metrics import read_metrics  # noqa: E402

HERE = pathlib.Path(__file__).parent
LAP = 0.5  # Seconds between two looks at the run.


class Clock:
    """Seconds since the race began, over all starts of this script.

    A start that was killed counts up to its last `save`.
    """

    def __init__(self, path):
        self.path = path
        self.past = json.loads(path.read_text())["seconds"] if path.exists() else 0.0

    def read(self):
        return self.past + time.time() - BEGAN

    def save(self):
        write_json_atomic(self.path, {"seconds": self.read()})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--target", type=float, default=0.90)
    parser.add_argument("--margin", type=float, default=0.005)
    options, others = parser.parse_known_args()
    options.workdir.mkdir(parents=True, exist_ok=True)
    done = options.workdir / "race.json"
    if done.exists():
        print(done.read_text())
        return 0
    clock = Clock(options.workdir / "clock.json")
    code, stopped = follow(options, others, clock)
    if stopped:
        code = command("evaluate", options, []).wait()
    clock.save()
    if code:
        return code
    write_json_atomic(done, outcome(options, clock, stopped))
    print(done.read_text())
    return 0


def follow(options, others, clock):
    """Runs the training to its end or the target; (exit status, was it stopped)."""
    data = [f"--config.data.data_dir={options.data}"]
    if options.data.endswith(".npz"):
        data = ["--config.data.name=npz", f"--config.data.path={options.data}"]
    page = f"--config={HERE / 'page.py'}:{options.epochs}"
    process = command("train", options, [page, *data, *others])

    def passed_on(number, frame):
        process.send_signal(number)

    signal.signal(signal.SIGTERM, passed_on)
    signal.signal(signal.SIGINT, passed_on)
    while process.poll() is None:
        time.sleep(LAP)
        clock.save()
        best = max((r["accuracy"] for r in looks(options)), default=0.0)
        if best >= options.target + options.margin:
            process.send_signal(signal.SIGTERM)
            process.wait()
            # One that had ended by itself has been evaluated by itself.
            return 0, not (options.workdir / "results.json").exists()
    return process.returncode, False


def command(name, options, arguments):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "jax_ssl", name),
            f"--workdir={options.workdir}",
            *arguments,
        ]
    )


def looks(options):
    """The evaluations so far, all on held-out training images."""
    records = read_metrics(options.workdir / "metrics.jsonl")
    return [record for record in records if record["kind"] == "eval"]


def outcome(options, clock, stopped):
    results = json.loads((options.workdir / "results.json").read_text())
    (test,) = [
        kind["accuracy"]
        for evaluation in results["evaluations"]
        if evaluation["settings"].get("k") == 10
        for kind in evaluation["rows"]
        if kind["features"] == "trained"
    ]
    return {
        "target": options.target,
        "reached": test >= options.target,
        "test_knn": test,
        "seconds": round(clock.read(), 1),
        "stopped_at_target": stopped,
        "held_out": [
            {name: record[name] for name in ("epoch", "seconds", "accuracy")}
            for record in looks(options)
        ],
        "environment": results["environment"],
    }


if __name__ == "__main__":
    sys.exit(main())
