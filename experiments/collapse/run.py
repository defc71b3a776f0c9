"""What the doctor says of every method, whole and broken, within 200 steps.

    PYTHONPATH=. JAX_PLATFORMS=cpu python experiments/collapse/run.py [NAME ...]

Writes results.json and prints the table of README.md. The judge is independent of the
doctor: how many of 64 images find their own second view among those of all 64, by the
cosine of their embeddings (of their representations, where there are none); by chance
1.6 %.
"""

import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_ssl.evaluate.vitals import first_views
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.parallel.rows import map_examples
from jax_ssl.run.environment import environment
from tests.cases import METHODS_UNDER_TEST
from tests.collapsing import COLLAPSING
from tests.images import examples
from tests.looks import IMAGES, names, watched

HERE = pathlib.Path(__file__).parent


def retrieval(method, train):
    """Share of images whose own other view is the nearest."""
    rows = jax.tree.map(jnp.asarray, examples(IMAGES))

    @jax.jit
    def features(key):
        images = first_views(map_examples(method.views, key, rows), rank=3)
        if (project := method.health.project) is not None:
            return l2_normalize(project(train.params, train.state, images))
        variables = method.exports["encoder"](train.params, train.state)
        pooled = method.encoder.apply(variables, images, train=False).pooled
        return l2_normalize(pooled)

    a, b = (np.float64(features(jax.random.key(seed))) for seed in (5, 6))
    return float(np.mean((a @ b.T).argmax(1) == np.arange(IMAGES)))


def run(build, learning_rate, num_prototypes=None):
    method = build()
    tx = optax.sgd(learning_rate, momentum=0.9)
    train, records = watched(method, tx, num_prototypes=num_prototypes)
    found = {}
    for record in records:
        for each in record["diagnoses"]:
            found.setdefault(each["name"], record["step"])
    space = "embedding" if method.health.project is not None else "representation"
    signs = {
        name: [records[0][f"{space}_{name}"], records[-1][f"{space}_{name}"]]
        for name in ("std", "rank", "directions", "length", "dim")
    }
    assert list(found) == names(records)
    return {
        "learning_rate": learning_rate,
        "found": found,
        "loss": records[-1]["loss"],
        "chance": records[-1].get("chance"),
        "space": space,
        **signs,
        "retrieval": retrieval(method, train),
    }


def line(name, result):
    start, end = result["std"]
    said = ", ".join(f"{what} ({step})" for what, step in result["found"].items())
    chance = "" if result["chance"] is None else f" of {result['chance']:.3g}"
    return (
        f"| {name} | {result['loss']:.3g}{chance} | {start:.2f} → {end:.2f} "
        f"| {result['rank'][1]:.1f} | {result['directions'][1]:.2f} "
        f"of {result['dim'][1]:.0f} | {100 * result['retrieval']:.0f} % "
        f"| {said or '–'} |"
    )


def main(wanted):
    jobs = {
        name: (case.build, case.learning_rate, case.settings.get("num_prototypes"))
        for name, case in METHODS_UNDER_TEST.items()
        if case.build().refresh is None
    }
    for name, broken in COLLAPSING.items():
        jobs[name] = (broken.build, broken.learning_rate, broken.num_prototypes)
    results = {}
    for name, job in jobs.items():
        if wanted and not any(part in name for part in wanted):
            continue
        results[name] = run(*job)
        print(line(name, results[name]), flush=True)
    if not wanted:
        found = {"environment": environment(), "runs": results}
        (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
