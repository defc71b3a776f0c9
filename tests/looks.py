"""Short runs that the doctor looks at, on the few images of the tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_ssl.core.method import Method
from jax_ssl.evaluate.vitals import measure_of
from jax_ssl.train.doctor import CollapseError, Doctor, Facts
from jax_ssl.train.step import NONFINITE_LEAF, init, train_step
from tests.images import BATCH, examples

IMAGES = 64


def watched(
    method: Method,
    tx: optax.GradientTransformation,
    *,
    num_prototypes: int | None = None,
    steps: int = 200,
    every: int = 20,
    stop: bool = False,
):
    """Trains on the same few images; (last state, the doctor's records)."""
    rows = examples(IMAGES)
    probe = jax.tree.map(jnp.asarray, rows)

    def batch(step):
        at = np.arange(step * BATCH, (step + 1) * BATCH) % IMAGES
        return {name: jnp.asarray(leaf[at]) for name, leaf in rows.items()}

    measured = measure_of(method, 3)

    def measure(train):
        signs = jax.device_get(measured(train.params, train.state, probe))
        return {name: float(value) for name, value in signs.items()}

    chance = method.health.chance
    doctor = Doctor(
        measure,
        Facts(
            batch_size=BATCH,
            chance=chance and chance(BATCH),
            num_prototypes=num_prototypes,
        ),
        stop=stop,
    )
    train = jax.jit(functools.partial(init, method, tx))(jax.random.key(0), batch(0))
    step = jax.jit(functools.partial(train_step, method, tx))
    records, pending = list(doctor.run(train, {})), []
    for s in range(1, steps + 1):
        train, metrics = step(train, batch(s - 1))
        pending.append(metrics)
        if s % every == 0:
            host, pending = jax.device_get(pending), []
            names = host[0].keys() - {NONFINITE_LEAF}
            means = {n: float(np.mean([each[n] for each in host])) for n in names}
            try:
                records.extend(doctor.run(train, means))
            except CollapseError:
                break
    return train, records


def names(records):
    """Everything that was found, in order of its first appearance."""
    found = (each["name"] for record in records for each in record["diagnoses"])
    return list(dict.fromkeys(found))
