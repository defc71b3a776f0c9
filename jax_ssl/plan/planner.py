"""The true train step of a config, compiled for devices that are not here.

Nothing is allocated: the step is traced on shapes, lowered and compiled, and the
compiled program is read.
"""

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.config import Experiment
from jax_ssl.core.fields import spec_of
from jax_ssl.core.trees import count
from jax_ssl.core.types import PyTree
from jax_ssl.parallel.mesh import BATCH_AXES, replicated, row_sharding
from jax_ssl.plan.collectives import Collective, collectives
from jax_ssl.plan.hlo import Computation, read
from jax_ssl.plan.roofline import roofline
from jax_ssl.plan.sizes import Array, largest_temporaries, program_sizes, refused_sizes
from jax_ssl.plan.source import StandIn, stand_in
from jax_ssl.plan.topology import Slice
from jax_ssl.plan.traffic import memory_bytes
from jax_ssl.train.feeds import Feed, ResidentFeed
from jax_ssl.train.flops import live_flops


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What is known of a step before it runs; made by `plan`.

    Attributes:
        experiment: that was planned.
        where: the slice.
        parameters: how many numbers are trained.
        sizes: bytes on each device by kind, `sizes.KINDS`.
        capacity: bytes that a device has; infinite where no figure is known.
        compiled: False if XLA refused: `sizes` then lacks outputs and code.
        flops: of matrix products and convolutions, one step, all devices.
        memory_bytes: that each device moves to and from its memory (a model).
        collectives: of one step.
        largest: the largest arrays that the step makes.
        loops_unknown: loops of unknown length, counted as one turn.
        seconds: that tracing and compiling took here.
    """

    experiment: Experiment
    where: Slice
    parameters: int
    sizes: Mapping[str, float]
    capacity: float
    compiled: bool
    flops: float
    memory_bytes: float
    collectives: Sequence[Collective]
    largest: Sequence[Array]
    loops_unknown: int
    seconds: float

    @property
    def total(self) -> float:
        """Bytes on each device."""
        return sum(self.sizes.values())

    @property
    def fits(self) -> bool:
        """Whether a device holds it."""
        return self.compiled and self.total <= self.capacity

    @property
    def roofline(self) -> dict[str, Any] | None:
        """What `roofline` knows of a step, examples per second and hours of the run."""
        experiment = self.experiment
        bounds = roofline(self.where, self.flops, self.memory_bytes, self.collectives)
        if bounds is None or not self.compiled:
            return None
        step = bounds["step_seconds"]
        bounds["examples_per_second"] = experiment.feeding.batch_size / step
        bounds["hours"] = experiment.plan.num_steps * step / 3600
        return bounds

    @property
    def epochs(self) -> float:
        """Passes over the data in the run."""
        return self.experiment.plan.num_steps / self.experiment.steps_per_epoch

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        experiment, chip = self.experiment, self.where.chip
        source = experiment.source
        return {
            "fits": self.fits,
            "topology": self.where.name,
            "chip": chip.name if chip else None,
            "devices": len(self.where.devices),
            "data": {
                "name": source.name,
                "num_examples": len(source),
                "here": not isinstance(source, StandIn),
            },
            "batch_size": experiment.feeding.batch_size,
            "chunks": experiment.run.chunks,
            "parameters": self.parameters,
            "bytes_per_device": {
                **self.sizes,
                "total": self.total,
                "capacity": self.capacity if math.isfinite(self.capacity) else None,
            },
            "compiled": self.compiled,
            "flops_per_step": self.flops,
            "memory_bytes_per_step": self.memory_bytes if self.compiled else None,
            "collectives": [asdict(one) for one in self.collectives],
            "largest_temporaries": [asdict(one) for one in self.largest],
            "loops_of_unknown_length": self.loops_unknown,
            "roofline": self.roofline,
            "num_steps": experiment.plan.num_steps,
            "epochs": self.epochs,
            "compile_seconds": self.seconds,
            "config": experiment.config,
        }


def plan(
    config: Mapping[str, Any],
    where: Slice,
    *,
    num_examples: int | None = None,
    capacity: float | None = None,
) -> Planned:
    """Compiles a config's train step for a slice and reads the result.

    Args:
        config: resolved.
        where: from `open_slice`.
        num_examples: of the data set, which is then not looked for.
        capacity: bytes of a device's memory, instead of the known figure.

    Raises:
        ValueError: for what cannot work, as `build` does, and for a data set that is
            neither here nor known.
    """
    begun = time.perf_counter()
    experiment = _built(config, where, num_examples)
    feed, payload = _feed(experiment)
    made = experiment.program(feed)
    arguments = made.abstract, feed.data, payload
    with jax.set_mesh(experiment.mesh):
        traced = made.call.trace(*arguments)
        try:
            compiled = traced.lower().compile()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            compiled, program = None, Computation("", {})
            sizes = refused_sizes(str(error), *arguments)
        else:
            program = read(compiled.as_text())
            sizes = program_sizes(compiled, program, *arguments)
    if capacity is None:
        capacity = where.chip.memory if where.chip else math.inf
    return Planned(
        experiment=experiment,
        where=where,
        parameters=count(made.abstract.params),
        sizes=sizes,
        capacity=capacity,
        compiled=compiled is not None,
        flops=live_flops(traced.jaxpr),
        memory_bytes=memory_bytes(program),
        collectives=collectives(program, experiment.mesh.size),
        largest=largest_temporaries(program),
        loops_unknown=len({one for one, _ in program.steps() if one.turns is None}),
        seconds=time.perf_counter() - begun,
    )


def _built(
    config: Mapping[str, Any], where: Slice, num_examples: int | None
) -> Experiment:
    if num_examples is None:
        # Where the data set is not here, a plan needs only its shapes.
        with contextlib.suppress(FileNotFoundError):
            return Experiment(config, devices=where.devices)
    source = stand_in(config["data"], num_examples)
    return Experiment(config, source, devices=where.devices)


def _feed(experiment: Experiment) -> tuple[Feed, PyTree]:
    """The run's feed without its images, and the shapes of one step's payload."""
    size, mesh = experiment.feeding.batch_size, experiment.mesh
    kind = _ResidentShapes if experiment.feeding.resident else Feed
    feed = kind(experiment.source, mesh=mesh, seed=experiment.run.seed, batch_size=size)
    if experiment.feeding.resident:
        rows = NamedSharding(mesh, P(None, BATCH_AXES))
        return feed, jax.ShapeDtypeStruct((1, size), "int32", sharding=rows)
    return feed, (spec_of(feed.fields, size, row_sharding(mesh)),)


class _ResidentShapes(ResidentFeed):
    """A `ResidentFeed` of shapes: nothing is loaded."""

    def _loaded(self) -> PyTree:
        return spec_of(self.fields, self.num_examples, replicated(self.mesh))
