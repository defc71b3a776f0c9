"""A method, an optimizer and a mesh as two functions ready to be compiled."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jax_ssl.checkpoint.names import by_name
from jax_ssl.core.compiling import jit
from jax_ssl.core.fields import spec_of
from jax_ssl.core.method import Method
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Array, Batch, Metrics, PyTree
from jax_ssl.parallel.mesh import check_batch_size, replicated, row_sharding
from jax_ssl.parallel.rules import shardings
from jax_ssl.train.feeds import Feed
from jax_ssl.train.step import checked_leaves, init, train_step


@dataclass(frozen=True)
class Program:
    """A method, an optimizer, a feed and a mesh, ready to be compiled.

    Attributes:
        method: what is learned.
        tx: the optimizer.
        feed: where batches come from; batch s is a function of (its seed, s).
        mesh: the devices.
        abstract: TrainState of `ShapeDtypeStruct`s with shardings.
        start: key -> first TrainState.
        fresh: the same, jitted, all of it drawn: `start` may hold another run's arrays.
        steps: (train, data, payload) -> (train, metrics [k]), a pure function.
        call: the same, jitted; donates `train`.
        checked_leaves: names that the metric "nonfinite_leaf" counts; () if no steps
            are made.
    """

    method: Method
    tx: optax.GradientTransformation
    feed: Feed
    mesh: Mesh
    abstract: TrainState
    start: Callable[[Array], TrainState]
    fresh: Callable[[Array], TrainState]
    steps: Callable[[TrainState, PyTree, PyTree], tuple[TrainState, Metrics]]
    call: Any
    checked_leaves: Sequence[str]


def program(
    method: Method,
    tx: optax.GradientTransformation,
    feed: Feed,
    mesh: Mesh,
    *,
    rules: Sequence[tuple[str, P]] = (),
    trains: bool = True,
    **step: Any,
) -> Program:
    """Builds the run's two compiled functions; nothing is compiled yet.

    Args:
        method: the method.
        tx: the optimizer.
        feed: where batches come from.
        mesh: the devices.
        rules: of `parallel.rules.shardings`: where leaves of the train state live that
            the shape rule should not place.
        trains: whether steps will be made, and are traced now to find what is wrong.
        **step: keywords of `train_step`, such as chunks.

    Raises:
        ValueError: if the devices of the mesh cannot share the batch, or chunks and
            batch-norm groups do not fit.
    """
    check_batch_size(feed.batch_size, mesh.size, step.get("chunks", 1))

    @functools.partial(jax.jit, inline=True)  # Traced once, to be checked and used.
    def one_step(train: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        return train_step(method, tx, train, batch, **step)

    rows = row_sharding(mesh)
    batch = spec_of(feed.fields, feed.batch_size, rows)

    @functools.partial(jax.jit, inline=True)  # It is traced once for both uses.
    def start(key: Array) -> TrainState:
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), batch)
        zeros = jax.lax.with_sharding_constraint(zeros, rows)
        return init(method, tx, key, zeros)

    def call(
        train: TrainState, data: PyTree, payload: PyTree
    ) -> tuple[TrainState, Metrics]:
        def one(train: TrainState, piece: PyTree) -> tuple[TrainState, Metrics]:
            return one_step(train, feed.batch(data, piece))

        stacked = feed.steps(payload)
        if jax.tree.leaves(stacked)[0].shape[0] > 1:
            return jax.lax.scan(one, train, stacked)
        # Not a loop of one turn: XLA:CPU runs convolutions in loops on a slow path (an
        # encoder of four stages took 17 times as long), and leaves such loops in.
        train, metrics = one(train, jax.tree.map(lambda leaf: leaf[0], stacked))
        return train, jax.tree.map(lambda value: value[None], metrics)

    # The types of what is passed say on which mesh it lies, and have to be those of the
    # later calls for these to find what is traced here.
    with jax.set_mesh(mesh):
        key = jax.eval_shape(lambda: jax.random.key(0))
        key = key.update(sharding=replicated(mesh))
        shapes = jax.eval_shape(start, key)
        placed = shardings(shapes, mesh, rules)
        abstract = jax.tree.map(
            lambda leaf, where: leaf.update(sharding=where), shapes, placed
        )
        names: Sequence[str] = ()
        if trains:
            names = checked_leaves(method, abstract, batch)
            # What cannot work is found here, before minutes of compilation.
            after, _ = jax.eval_shape(one_step, abstract, batch)
            check_closed(shapes, after)
    fresh = jit(start, mesh=mesh, out_shardings=placed)
    return Program(
        *(method, tx, feed, mesh),
        abstract=abstract,
        start=fresh,
        fresh=fresh,
        steps=call,
        call=jit(
            call,
            mesh=mesh,
            donate_argnums=0,
            out_shardings=(placed, replicated(mesh)),
        ),
        checked_leaves=names,
    )


def check_closed(before: TrainState, after: TrainState) -> None:
    """Refuses a method that changes the shape of its own state.

    Raises:
        ValueError: naming the leaves that differ.
    """
    old, new = (
        {name: (leaf.shape, leaf.dtype) for name, leaf in by_name(tree).items()}
        for tree in (before, after)
    )
    changed = sorted({name for name, _ in old.items() ^ new.items()})
    if changed:
        raise ValueError(
            "a method must return a state of the structure, shapes and dtypes it was "
            "given; it changes "
            + ", ".join(f"{n} ({old.get(n)} → {new.get(n)})" for n in changed[:5])
        )
