"""One small run of a method, on whatever devices there are, and what is left of it."""

import contextlib
import dataclasses
import functools

import jax
import numpy as np
import optax
from jax.sharding import PartitionSpec as P

from jax_ssl.checkpoint.export import _on_host
from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.checkpoint.names import by_name, is_key
from jax_ssl.data.synthetic import synthetic
from jax_ssl.evaluate.part import gathered
from jax_ssl.parallel.mesh import make_mesh
from jax_ssl.parallel.rows import map_examples
from jax_ssl.train.feeds import Feed
from jax_ssl.train.loop import Plan, fit
from jax_ssl.train.program import program
from jax_ssl.train.sweep import Sweep
from tests.cases import METHODS_UNDER_TEST
from tests.images import plain_views

STEPS, MIDDLE = 6, 3
SEED, BATCH = 2, 16
# Splits the weights of projectors and of transformers' blocks over "fsdp".
RULES = (("params/(projector|encoder/block).*kernel$", P(None, "fsdp")),)


class Silent:
    """A recorder that says nothing."""

    def train(self, step, metrics, waited):
        pass

    def paused(self):
        return contextlib.nullcontext()


def source(num_examples=40):
    return synthetic(num_examples=num_examples, size=8)


def view(key, example):
    del key
    return example["image"].astype(np.float32) / 255


@functools.cache
def method(name):
    case = METHODS_UNDER_TEST[name]
    # Processes compile with less optimization, which views amplify.
    case = dataclasses.replace(case, views=plain_views) if name == "simclr" else case
    return case.build()


@functools.cache
def prepared(name, devices, fsdp):
    """The program, compiled once for both halves."""
    mesh = make_mesh(fsdp=fsdp, devices=jax.devices()[:devices])
    feed = Feed(source(), mesh=mesh, seed=SEED, batch_size=BATCH, workers=1)
    tx = optax.sgd(0.02, momentum=0.9)
    return program(method(name), tx, feed, mesh, rules=RULES)


def train(name, folder, *, devices=8, fsdp=1, steps=STEPS):
    """Trains to `steps`, from the last checkpoint in `folder` or from the start."""
    with open_checkpoints(folder) as checkpoints:
        outcome = fit(
            prepared(name, devices, fsdp),
            seed=SEED,
            plan=Plan(num_steps=steps, log_every=MIDDLE, checkpoint_every=MIDDLE),
            recorder=Silent(),
            checkpoints=checkpoints,
        )
    return outcome.train


def leaves(train):
    """{name: array on the host} of a state, the same in every process."""
    return {
        name: _on_host(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        for name, leaf in by_name(train).items()
    }


def features(name, train, *, devices=8):
    """Features of images that no number of devices divides, by the trained encoder."""
    made, mesh = method(name), make_mesh(devices=jax.devices()[:devices])
    feed = Feed(source(21), mesh=mesh, seed=SEED, batch_size=BATCH, workers=1)
    variables = made.exports["encoder"](train.params, train.state)

    def embed(variables, batch):
        images = map_examples(view, jax.random.key(0), batch)
        return made.encoder.apply(variables, images, train=False).pooled

    sweep = Sweep(embed, variables, feed, mesh, at_once=1)
    with jax.set_mesh(mesh):
        found = gathered(sweep(variables))
    kept = sweep.rows >= 0
    return {"features": found[kept], "rows": sweep.rows[kept]}
