"""Replays the steps of a judge with the library, and tells how far they are apart.

    python experiments/trajectories/replay.py [--wrong] [METHOD ...]

`--wrong` changes one setting at a time as well, which the comparison must notice.
"""

import argparse
import functools
import pathlib

import given
import jax
import jax.numpy as jnp
import numpy as np
from ours import CASES
from settings import SETTINGS

from jax_ssl.core.compiling import HURRIED
from jax_ssl.core.paths import leaf_names, map_named
from jax_ssl.core.state import TrainState
from jax_ssl.train.step import init, train_step

RECORDS = pathlib.Path(__file__).parent / "records"


def first_value(name, leaf):
    """What a leaf of params or of a method's state begins with."""
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return np.zeros(leaf.shape, leaf.dtype)
    part, last = name.split("/")[0], name.split("/")[-1]
    if "stats" in name.split("/")[:2]:
        return np.full(leaf.shape, last == "var", np.float32)
    if part in ("queue", "bank", "banks"):
        rows = given.NUM_EXAMPLES if part != "queue" else len(leaf)
        values = np.zeros(leaf.shape, np.float32)
        values[:rows] = given.unit_rows(name, (rows, *leaf.shape[1:]))
        return values
    if part in ("center", "patch_center", "partition"):
        return np.zeros(leaf.shape, np.float32)
    return given.weight(name.removeprefix("teacher/params/"), leaf.shape)


def first_state(method, tx, batch):
    """The state before the first step, whose numbers are those that are given."""
    start = functools.partial(init, method, tx)
    shapes = jax.eval_shape(start, jax.random.key(0), batch)
    params, state = (
        map_named(first_value, tree) for tree in (shapes.params, shapes.state)
    )
    return TrainState(
        step=np.zeros((), np.int32),
        params=params,
        opt_state=tx.init(jax.tree.map(jnp.asarray, params)),
        state=state,
        key=jax.random.key(0),
    )


def run(name, record, **changes):
    """Losses of all steps [STEPS] and {name: array} after the last, with our code.

    Args:
        name: of the case.
        record: what the judge said.
        **changes: settings with other values.
    """
    case = CASES[name]
    method, tx = case.build({**SETTINGS[name], **changes})
    batches = case.batches()
    first = {key: values[0] for key, values in batches.items()}
    train, losses = first_state(method, tx, first), []
    step = jax.jit(functools.partial(train_step, method, tx))
    step = step.lower(train, first).compile(compiler_options=dict(HURRIED))
    for i in range(given.STEPS):
        batch = {key: values[i] for key, values in batches.items()}
        train = case.before(i, train, record) if case.before else train
        train, metrics = step(train, batch)
        losses.append(metrics["loss"])
    return np.array(losses, np.float64), kept_leaves(case, train)


def named_leaves(tree):
    return zip(leaf_names(tree), jax.tree.leaves(tree), strict=True)


def kept_leaves(case, train):
    """Params, and of the method's state what the case keeps, by name."""
    leaves = dict(named_leaves(train.params))
    for name, leaf in named_leaves(train.state):
        name = name.replace("teacher/params/", "teacher/")
        if name.startswith(case.kept) and not name.startswith("teacher/stats"):
            leaves[name] = leaf[: given.NUM_EXAMPLES] if "bank" in name else leaf
    return leaves


def apart(name, **changes):
    """Largest difference of a loss, relative, and of a parameter, absolute.

    Raises:
        AssertionError: if our parameters are not those of the judge.
    """
    with np.load(RECORDS / f"{name}.npz") as file:
        record = dict(file)
    losses, leaves = run(name, record, **changes)
    assert sorted(leaves) == list(record["names"]), (sorted(leaves), record["names"])
    scale = np.maximum(1, np.abs(record["losses"]))
    of_losses = np.abs(losses - record["losses"]) / scale
    of_parameters = np.abs(given.sampled(leaves) - record["parameters"])
    of_norms = np.abs(given.norms(leaves) - record["norms"]) / record["norms"]
    return float(of_losses.max()), float(max(of_parameters.max(), of_norms.max()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", help="all unless given")
    parser.add_argument("--wrong", action="store_true")
    options = parser.parse_args()
    names = options.methods or sorted(path.stem for path in RECORDS.glob("*.npz"))
    print("| method | setting | loss | parameters |\n| --- | --- | ---: | ---: |")
    for name in names:
        changes = [{}]
        if options.wrong:
            changes += [{key: value} for key, value in CASES[name].wrong.items()]
        for change in changes:
            said = (
                ", ".join(f"{k} = {v}" for k, v in change.items()) or "as the judge's"
            )
            loss, parameters = apart(name, **change)
            print(f"| {name} | {said} | {loss:.1e} | {parameters:.1e} |", flush=True)


if __name__ == "__main__":
    main()
