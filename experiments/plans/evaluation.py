"""Evaluation at the size of ImageNet, compiled for TPU slices that are not here.

Run:   PYTHONPATH=. python experiments/plans/evaluation.py \
           [--topologies=v5e:1x1,v5e:4x8] [--page=configs/simclr_imagenet.py]

Needs libtpu, and no TPU. The programs are those of `jax-ssl evaluate`: one batch of the
sweep that makes features, neighbours (k = 20) and the linear probe's 32 heads, with
shapes that 1,281,167 training and 50,000 test images give them. Where a device can
hold its share of the features (evals.device_gib), the protocols read them there;
elsewhere they come from the hosts, a block of them at a time.
Prints a table, and writes evaluation.json.
"""

import argparse
import pathlib
import time
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.core import compiling
from jax_ssl.core.fields import spec_of
from jax_ssl.evaluate import heads
from jax_ssl.evaluate.knn import _nearest
from jax_ssl.evaluate.linear import LEARNING_RATES, WEIGHT_DECAYS
from jax_ssl.evaluate.part import BLOCK
from jax_ssl.evaluate.reading import features_of
from jax_ssl.parallel.mesh import BATCH_AXES, replicated, row_sharding
from jax_ssl.parallel.rows import map_examples
from jax_ssl.plan.collectives import collectives
from jax_ssl.plan.hlo import read
from jax_ssl.plan.roofline import roofline
from jax_ssl.plan.source import stand_in
from jax_ssl.plan.topology import open_slice
from jax_ssl.plan.traffic import memory_bytes
from jax_ssl.run.environment import versions
from jax_ssl.train.flops import live_flops

HERE = pathlib.Path(__file__).parent
TRAIN, TEST, CLASSES = 1_281_167, 50_000, 1000
NEIGHBOURS, EPOCHS, BATCH = 20, 100, 256


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topologies", default="v5e:1x1,v5e:4x8")
    parser.add_argument("--page", default="configs/simclr_imagenet.py")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    compiling.FAST = {}  # A TPU's programs have none of the options of this machine's.
    rows = []
    for name in options.topologies.split(","):
        rows += planned(options.page, open_slice(name))
        write_json_atomic(HERE / "evaluation.json", {"rows": rows, **versions()})
    print(table(rows))


def planned(page, where):
    """A row for each program of the evaluation on a slice."""
    config = resolved(override(load_page(page), []))
    source = stand_in(config["data"], None)
    experiment = Experiment(config, source, devices=where.devices)
    mesh, each = experiment.mesh, experiment.mesh.size
    with jax.set_mesh(mesh):
        at_once = max(1, experiment.evals.batch_size // each)
        images = spec_of(source.fields, at_once * each, row_sharding(mesh))
        whole = jax.tree.map(
            lambda leaf: leaf.update(sharding=replicated(mesh)),
            jax.eval_shape(partial(started, experiment), images),
        )
        sweep = jax.jit(partial(features, experiment))
        width = jax.eval_shape(sweep, whole, images).shape[-1]
        train, test = (-(-n // each) * each for n in (TRAIN, TEST))
        here = train * width * 4 / each <= experiment.evals.device_gib * 2**30
        share = (lambda n: n) if here else (lambda n: min(n, BLOCK * each))
        found = {
            "features of a batch of images": (
                *(sweep, (whole, images)),
                (TRAIN + TEST) / (at_once * each),
            ),
            f"{NEIGHBOURS} neighbours": (
                *(_nearest, asked(mesh, share(test), share(train), width)),
                -(-test // share(test)) * -(-train // share(train)),
            ),
            "linear probe, 32 heads": fitted(mesh, train, width, here),
        }
        return [
            {
                "topology": where.name,
                "program": name,
                "features": "on the devices" if here else "on the hosts",
                **measured(where, *what),
            }
            for name, what in found.items()
        ]


def started(experiment, batch):
    """Params and state of the method."""
    key = jax.random.key(0)
    views = map_examples(experiment.method.views, key, batch)
    return experiment.method.init(key, views)


def features(experiment, whole, batch):
    """[B, D] float32, as the judge has them."""
    seen = map_examples(experiment.view, jax.random.key(0), batch)
    found = features_of(experiment.method, (None, "pooled"), whole, seen, batch)
    return found.astype(jnp.float32)


def asked(mesh, queries, bank, width):
    """Arguments of `knn`'s search."""
    rows = row_sharding(mesh)
    return (
        jax.ShapeDtypeStruct((queries, width), "float32", sharding=rows),
        jax.ShapeDtypeStruct((bank, width), "float32", sharding=rows),
        jax.ShapeDtypeStruct((bank,), "bool", sharding=rows),
        jax.ShapeDtypeStruct((bank,), "int32", sharding=replicated(mesh)),
        NEIGHBOURS,
    )


def fitted(mesh, train, width, here):
    """The program of some steps of the probe, its arguments, and how often it runs."""
    count = len(LEARNING_RATES) * len(WEIGHT_DECAYS)
    every = TRAIN // BATCH
    steps = every if here else heads.STEPS_AT_ONCE
    split = count % mesh.size == 0
    over = NamedSharding(mesh, P(BATCH_AXES) if split else P())
    spec = partial(jax.ShapeDtypeStruct, sharding=replicated(mesh))
    kernel = jax.ShapeDtypeStruct((count, width, CLASSES), "float32", sharding=over)
    bias = jax.ShapeDtypeStruct((count, CLASSES), "float32", sharding=over)
    slots = jax.eval_shape(heads.MOMENTUM.init, (kernel, bias))
    slots = jax.tree.map(lambda leaf: leaf.update(sharding=over), slots)
    shape = (train, width) if here else (steps * BATCH, width)
    kept = row_sharding(mesh) if here else replicated(mesh)
    arguments = (
        ((kernel, bias), slots),
        jax.ShapeDtypeStruct(shape, "float32", sharding=kept),
        heads.Heads((), spec((width,), "float32"), spec((width,), "float32")),
        (spec((count,), "float32"), spec((count,), "float32")),
        (
            spec((steps, BATCH), "int32"),
            spec((steps, BATCH), "int32"),
            spec((steps,), "float32"),
        ),
        here,
    )
    return heads._steps, arguments, EPOCHS * every / steps


def measured(where, program, arguments, times):
    """Memory of a device, and the least time that all calls take."""
    begun = time.perf_counter()
    arrays = [x for x in arguments if not isinstance(x, int)]  # The rest is static.
    static = arguments[len(arrays) :]
    compiled = program.lower(*arguments).compile()
    traced = jax.make_jaxpr(lambda *xs: program(*xs, *static))(*arrays)
    text, stats = read(compiled.as_text()), compiled.memory_analysis()
    sent = collectives(text, len(where.devices))
    bounds = roofline(where, live_flops(traced), memory_bytes(text), sent)
    held = stats.argument_size_in_bytes + stats.temp_size_in_bytes
    held += stats.output_size_in_bytes - stats.alias_size_in_bytes
    return {
        "gb": round(held / 1e9, 3),
        "temporaries_gb": round(stats.temp_size_in_bytes / 1e9, 3),
        "calls": round(times, 1),
        "least_seconds": round(bounds["step_seconds"] * times, 2),
        "bound": bounds["bound"],
        "compile_seconds": round(time.perf_counter() - begun),
    }


def table(rows):
    """One line for each program and slice."""
    heads = ["slice", "program", "features", "GB a device", "calls", "s at best", ""]
    lines = [heads, ["---"] * 3 + ["---:"] * 3 + ["---"]]
    for row in rows:
        cells = [row["topology"], row["program"], row["features"]]
        cells += [f"{row['gb']:.2f}", f"{row['calls']:,.0f}"]
        lines.append([*cells, f"{row['least_seconds']:,.1f}", row["bound"]])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
