"""How time and memory grow: of a step, of a start, of an evaluation, of a report.

Run:   PYTHONPATH=.:experiments/benchmarks python experiments/growth/run.py \
           [--axes=batch,views] [--repeats=3]

Every size is measured in a process of its own: seconds of processor time, of all
threads, the least of the repeats, and what the compiler says of memory (a step) or the
growth of the resident set (all else). An exponent is the slope between the two largest
sizes on logarithmic axes: 1 is linear. Writes results.json and growth.png.
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
# Axis: what grows, its sizes, and what is measured.
AXES = {
    "batch": ("rows of a batch", (256, 512, 1024, 2048, 4096), "a step of SimCLR"),
    "views": ("views of an image", (2, 4, 6, 8, 10), "a step of SwAV, batch 256"),
    "devices": ("devices", (1, 2, 4, 8), "a step of SimCLR, batch 1,024 over all"),
    "order": ("examples", (10**4, 10**5, 10**6, 10**7), "the order of an epoch"),
    "calls": ("steps", (10**4, 10**5, 10**6, 10**7), "all calls of a run, one by one"),
    "resident": ("examples", (10**3, 10**4, 10**5), "reading data of 32 x 32 pixels"),
    "knn": ("training examples", (10**3, 10**4, 10**5), "20-NN of 1,000 others"),
    "linear": ("training examples", (10**3, 10**4, 10**5), "a linear probe, 32 heads"),
    "records": ("records", (10**2, 10**3, 10**4, 10**5), "reading metrics, a report"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", default=",".join(AXES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("AXIS", "SIZE"))
    options = parser.parse_args()
    if options.one:
        axis, size = options.one
        print(json.dumps(measured(axis, int(size), options.repeats)))
        return
    from conditions import conditions

    path = HERE / "results.json"
    found = json.loads(path.read_text())["axes"] if path.exists() else {}
    for axis in options.axes.split(","):
        found[axis] = [one(axis, size, options.repeats) for size in AXES[axis][1]]
        path.write_text(
            json.dumps({"conditions": conditions(), "axes": found}, indent=1) + "\n"
        )
    print(table(found))
    draw(found, HERE / "growth.png")


def one(axis, size, repeats):
    """One size of an axis, in a process of its own."""
    flags = "--xla_force_host_platform_device_count=" + str(
        size if axis == "devices" else 1
    )
    command = [sys.executable, __file__, "--one", axis, str(size)]
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    said = subprocess.run(
        [*command, f"--repeats={repeats}"],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    record = {"size": size, **json.loads(said.splitlines()[-1])}
    print(axis, record, flush=True)
    return record


def measured(axis, size, repeats):
    """{"seconds", "bytes"} of one size."""
    if axis in ("batch", "views", "devices"):
        return step(axis, size, repeats)
    work = {
        "order": order,
        "calls": calls,
        "resident": resident,
        "knn": judged,
        "linear": judged,
        "records": records,
    }[axis]
    with contextlib.ExitStack() as stack:
        task = work(axis, size, stack)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = [timed(task) for _ in range(repeats)]
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": min(seconds), "bytes": 1024 * (after - before)}


def timed(task):
    start = time.process_time()
    task()
    return time.process_time() - start


def step(axis, size, repeats):
    """A compiled train step: its processor time, and temporaries of one device."""
    import functools

    import jax
    import jax.numpy as jnp
    import optax

    from jax_ssl.augment.recipes import swav
    from jax_ssl.augment.views import two_crops
    from jax_ssl.encoders import ENCODERS
    from jax_ssl.methods import METHODS
    from jax_ssl.parallel.mesh import make_mesh, row_sharding
    from jax_ssl.parallel.rules import shardings
    from jax_ssl.train.step import init, train_step

    rows = {"batch": size, "views": 256, "devices": 1024}[axis]
    encoder = ENCODERS["convnet"](widths=(8, 16))
    if axis == "views":
        stacks = 1 if size == 2 else 2  # Two global crops, the others local ones.
        views = swav(
            sizes=(16, 16)[:stacks],
            counts=(2, size - 2)[:stacks],
            min_scales=(0.1, 0.1)[:stacks],
            max_scales=(1.0, 1.0)[:stacks],
            blur_probability=0.0,
        )
        method = METHODS["swav"](encoder, views, steps_per_epoch=100, num_prototypes=32)
    else:
        method = METHODS["simclr"](encoder, two_crops(size=16, blur_probability=0.0))
    tx = optax.sgd(0.01)
    mesh = make_mesh(devices=jax.devices())
    with jax.set_mesh(mesh):
        batch = {
            "image": jnp.zeros((rows, 16, 16, 3), jnp.uint8),
            "index": jnp.arange(rows, dtype=jnp.int32),
        }
        batch = jax.device_put(batch, row_sharding(mesh))
        start = functools.partial(init, method, tx)
        placed = shardings(jax.eval_shape(start, jax.random.key(0), batch), mesh)
        train = jax.jit(start, out_shardings=placed)(jax.random.key(0), batch)
        program = (
            jax.jit(
                functools.partial(train_step, method, tx), out_shardings=(placed, None)
            )
            .lower(train, batch)
            .compile()
        )

        def task():
            jax.block_until_ready(program(train, batch))

        task()
        seconds = min(timed(task) for _ in range(repeats))
    return {
        "seconds": seconds,
        "bytes": program.memory_analysis().temp_size_in_bytes,
    }


def order(axis, size, stack):
    from jax_ssl.data.order import permutation

    return lambda: permutation.__wrapped__(0, 0, size)


def calls(axis, size, stack):
    from jax_ssl.train.feeds import calls
    from jax_ssl.train.loop import Plan

    plan = Plan(num_steps=size, log_every=50, steps_per_call=10)
    return lambda: sum(k for _, k in calls(range(size), plan.stop_after))


def resident(axis, size, stack):
    import numpy as np

    from jax_ssl.data.arrays import npz
    from jax_ssl.data.cache import load

    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    images = np.random.default_rng(0).integers(0, 256, (size, 32, 32, 3), np.uint8)
    np.savez(folder / "images.npz", image=images)
    del images
    return lambda: load(npz(path=str(folder / "images.npz")))


def judged(axis, size, stack):
    import numpy as np

    from jax_ssl.evaluate import PROTOCOLS
    from jax_ssl.evaluate.part import part_of

    rng = np.random.default_rng(0)

    def part(count):
        values = rng.normal(size=(count, 128)).astype(np.float32)
        return part_of(values, label=rng.integers(0, 10, count).astype(np.int32))

    train, test = part(size), part(1000)
    settings = {"knn": {"k": 20}, "linear": {}}[axis]
    protocol = PROTOCOLS[axis](**settings)
    list(protocol.run(train, test))  # Compiles.
    return lambda: list(protocol.run(train, test))


def records(axis, size, stack):
    import numpy as np

    from jax_ssl.report import ReportInputs, write_report
    from jax_ssl.train.metrics import MetricsFile, read_metrics

    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    noise = np.random.default_rng(0).normal(size=(size, 6))
    file = MetricsFile(folder / "metrics.jsonl")
    for number, row in enumerate(noise):
        names = ("loss", "learning_rate", "examples_per_second", "a", "b", "c")
        step = 50 * (number + 1)
        values = dict(zip(names, map(float, row), strict=True))
        file.write({"kind": "train", "step": step, "seconds": step / 9, **values})
    file.close()

    def task():
        found = read_metrics(folder / "metrics.jsonl")
        write_report(folder / "report", ReportInputs(title="growth", metrics=found))

    return task


def exponent(records, name):
    """Slope between the two largest sizes; None where there is nothing to measure."""
    (a, b) = records[-2:]
    if min(a[name], b[name]) <= 0:
        return None
    return math.log(b[name] / a[name]) / math.log(b["size"] / a["size"])


def table(found):
    lines = ["| what | grows with | from | to | seconds | exponent | MB | exponent |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for axis, records in found.items():
        grows, _, what = AXES[axis]
        first, last = records[0], records[-1]
        cells = [what, grows, f"{first['size']:,}", f"{last['size']:,}"]
        for name, unit in (("seconds", 1), ("bytes", 1e6)):
            cells.append(f"{first[name] / unit:.3g} to {last[name] / unit:.3g}")
            slope = exponent(records, name)
            cells.append("" if slope is None else f"{slope:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    columns = 3
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(11, 3 * rows), squeeze=False)
    for place in axes.flat[len(found) :]:
        place.axis("off")
    for place, (axis, records) in zip(axes.flat, found.items(), strict=False):
        grows, _, what = AXES[axis]
        sizes = [record["size"] for record in records]
        for name, unit, said in (("seconds", 1, "seconds"), ("bytes", 1e9, "GB")):
            values = [record[name] / unit for record in records]
            slope = exponent(records, name)
            label = said if slope is None else f"{said}, exponent {slope:.2f}"
            if min(values) > 0:
                place.loglog(sizes, values, "o-", label=label)
        place.set(title=what, xlabel=grows)
        place.xaxis.set_minor_formatter(NullFormatter())
        place.legend(fontsize=8)
        place.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
