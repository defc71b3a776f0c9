"""Runs that differ in nothing but their seed, as one program.

Every array of the train state has the seeds as axis 0, but for the step, which they
share. One `vmap` of the call of one run trains them all. What a run reads and writes
stays its own: batches in its own order, metrics, checkpoints.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.checkpoint.manager import Checkpoints
from jax_ssl.core.compiling import jit
from jax_ssl.core.method import Method
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Array, Metrics, PyTree
from jax_ssl.ops.conv import kernels_in_turn
from jax_ssl.parallel.feed import Prefetch
from jax_ssl.parallel.mesh import replicated
from jax_ssl.train.feeds import Feed
from jax_ssl.train.program import Program
from jax_ssl.train.record import Reporter

# Of a TrainState: the axis of the seeds.
AXES = TrainState(step=None, params=0, opt_state=0, state=0, key=0)  # type: ignore[arg-type]
# Where the record of an evaluation says whose it is, on its way through the loop.
OF_SEED = "of_seed"
ONE = (
    "Train the seeds one after another: leave --seeds out, and give "
    "--config.run.seed=SEED and a --workdir to each."
)


def check_together(method: Method) -> None:
    """Refuses a method of which several seeds cannot be one program.

    Raises:
        ValueError: if it has a stage between epochs.
    """
    if method.refresh is not None:
        raise ValueError(
            "this method has a stage between epochs that goes through the whole data "
            "set (clustering), which several seeds cannot share in one program. " + ONE
        )


def seeds_program(made: Program, feeds: Sequence[Feed]) -> Program:
    """One program for several seeds; nothing is compiled yet.

    Args:
        made: of one of the runs.
        feeds: of each run, equal but for their seeds, which are also those of the
            first states; what they keep in device memory is that of the first.

    Returns:
        A program whose states are `stacked`, and whose metrics are [steps, seeds].

    Raises:
        ValueError: if the method has a stage between epochs, which reads all data for
            one state, or cannot be mapped over seeds.
    """
    check_together(made.method)
    mesh, count = made.mesh, len(feeds)

    def call(
        trains: TrainState, data: PyTree, payloads: Sequence[PyTree]
    ) -> tuple[TrainState, Metrics]:
        payload = jax.tree.map(lambda *leaves: jnp.stack(leaves), *payloads)
        mapped = jax.vmap(made.steps, in_axes=(AXES, None, 0), out_axes=(AXES, 1))
        with kernels_in_turn():
            return mapped(trains, data, payload)

    def one_more(leaf: Any) -> Any:
        where = NamedSharding(mesh, P(None, *leaf.sharding.spec))
        return leaf.update(shape=(count, *leaf.shape), sharding=where)

    step = made.abstract.step
    abstract = jax.tree.map(one_more, made.abstract).replace(step=step)
    feed = SeedsFeed(feeds)
    placed = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    pile = jit(lambda *trains: stacked(trains), mesh=mesh, out_shardings=placed)

    def start(key: Array) -> TrainState:
        del key  # Each has its own.
        return pile(*(made.start(jax.random.key(each.seed)) for each in feeds))

    with jax.set_mesh(mesh):
        try:
            jax.eval_shape(call, abstract, feed.data, feed.abstract(1))
        except Exception as error:
            said = str(error).partition("\n")[0]
            raise ValueError(
                f"this method cannot be mapped over seeds ({said}). {ONE}"
            ) from error
    return replace(
        made,
        feed=feed,
        abstract=abstract,
        start=start,
        fresh=start,
        call=jit(
            call,
            mesh=mesh,
            donate_argnums=0,
            out_shardings=(placed, replicated(mesh)),
        ),
    )


def stacked(trains: Sequence[TrainState]) -> TrainState:
    """States of one step as one state, seeds as axis 0; traced or not."""
    piled = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trains)
    return piled.replace(step=trains[0].step)


def member(trains: TrainState, number: int) -> TrainState:
    """The state of one of the seeds, as a run of it alone would have it."""
    one = jax.tree.map(lambda leaf: leaf[number], trains.replace(step=None))
    return one.replace(step=trains.step)


class _Pieces(Prefetch[PyTree]):
    """The payloads of each seed's feed, one call after the other, as tuples."""

    def __init__(self, feeds: Sequence[Prefetch[PyTree]]) -> None:
        self.feeds, self.waited = feeds, 0.0

    def __next__(self) -> PyTree:
        # A list: the end of a feed would be an error inside a generator.
        found = tuple([next(feed) for feed in self.feeds])
        self.waited = sum(feed.waited for feed in self.feeds)
        return found

    def close(self) -> None:
        """Closes all of them."""
        for feed in self.feeds:
            feed.close()


class SeedsFeed(Feed):
    """The feeds of several seeds, of which each has its own order of one data set."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        vars(self).update(vars(feeds[0]))
        self.feeds = feeds

    def pieces(
        self, steps: range, stop_after: Callable[[int], int] | None = None
    ) -> Prefetch[PyTree]:
        """A payload of each seed for every call."""
        return _Pieces([feed.pieces(steps, stop_after) for feed in self.feeds])

    def abstract(self, steps: int) -> PyTree:
        """The same as `ShapeDtypeStruct`s."""
        return tuple(feed.abstract(steps) for feed in self.feeds)


class SeedsReporter:
    """The reporters of several runs as the loop's one recorder.

    Attributes:
        evaluated: steps whose evaluations all of them have recorded.
    """

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self.reporters = reporters
        self.evaluated = set.intersection(*(each.evaluated for each in reporters))

    def train(
        self, step: int, metrics: Mapping[str, Sequence[float]], waited: float
    ) -> None:
        """Records the interval since the last call in each run's own file."""
        for number, reporter in enumerate(self.reporters):
            own = {name: values[number] for name, values in metrics.items()}
            reporter.train(step, own, waited)

    def note(self, step: int, record: Mapping[str, Any]) -> None:
        """Records what was found of the seed that the record names."""
        own = dict(record)
        reporter = self.reporters[own.pop(OF_SEED)]
        known = own.get("kind", "eval") == "eval" and step in reporter.evaluated
        if not known:
            reporter.note(step, own)

    def glance(self, step: int, metrics: Metrics) -> None:
        """Shows where the first of the runs is; records nothing."""
        own = {name: values[:, 0] for name, values in metrics.items()}
        self.reporters[0].glance(step, own)

    @contextlib.contextmanager
    def paused(self) -> Any:
        """What happens inside is not training."""
        with contextlib.ExitStack() as stack:
            for reporter in self.reporters:
                stack.enter_context(reporter.paused())
            yield


class SeedsCheckpoints:
    """The checkpoints of several runs that stand at the same step.

    Attributes:
        folder: of the first.
    """

    def __init__(self, each: Sequence[Checkpoints], seeds: Sequence[int]) -> None:
        self.each, self.seeds, self.folder = each, seeds, each[0].folder

    def latest_step(self) -> int | None:
        """The last step of all of them."""
        return self.each[0].latest_step()

    def restore(self, abstract: TrainState) -> TrainState:
        """The last state of each, as one."""

        def one_less(leaf: Any) -> Any:
            where = NamedSharding(leaf.sharding.mesh, P(*leaf.sharding.spec[1:]))
            return leaf.update(shape=leaf.shape[1:], sharding=where)

        single = jax.tree.map(one_less, abstract.replace(step=None))
        single = single.replace(step=abstract.step)
        placed = jax.tree.map(lambda leaf: leaf.sharding, abstract)
        pile = jit(lambda *trains: stacked(trains), out_shardings=placed)
        return pile(*(each.restore(single) for each in self.each))

    def save(self, trains: TrainState, host: Mapping[str, Any]) -> None:
        """Saves the state of each in its own folder."""
        for number, (each, seed) in enumerate(zip(self.each, self.seeds, strict=True)):
            each.save(member(trains, number), {**host, "seed": seed})

    def wait(self) -> None:
        """Blocks until all are complete."""
        for each in self.each:
            each.wait()
