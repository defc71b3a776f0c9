"""Predictions against labels, one example at a time on the devices that hold them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.fields import Kind
from jax_ssl.core.method import Method, encoder_input
from jax_ssl.core.types import Array, Batch, Params, PyTree, State, Views
from jax_ssl.evaluate.kinds import Read
from jax_ssl.evaluate.part import Part, on_host
from jax_ssl.evaluate.protocol import (
    Baseline,
    Measure,
    Measured,
    Metric,
    Outcome,
    Protocol,
    Skipped,
)
from jax_ssl.parallel.rows import map_shards

AT_ONCE = 8  # Examples that a device measures at a time; memory grows with it.
# The numbers [n, M] of the examples in data-set order to the outcomes.
Outcomes = Callable[[np.ndarray], Iterable[Outcome | Skipped]]


def predicting(
    name: str,
    predictions: tuple[str, ...],
    measure: Measure,
    outcomes: Outcomes,
    *,
    needs: Mapping[str, Kind],
    metrics: tuple[Metric, ...],
    baselines: Mapping[str, Baseline],
    alone: bool = False,
    **measured: Any,
) -> Protocol:
    """A protocol that measures predictions.

    Args:
        name: the key of `PROTOCOLS`.
        predictions: see `Measured`.
        measure: see `Measured`.
        outcomes: of the numbers of all examples, float64.
        needs: kinds of the fields that the test part must have.
        metrics: the first is the headline.
        baselines: see `Measured`.
        alone: whether the numbers are so many that the data are swept for them alone.
        **measured: the other attributes of `Measured`.
    """

    def run(same: Part, test: Part) -> Iterable[Outcome | Skipped]:
        del same
        return outcomes(values_of(test))

    return Protocol(
        name=name,
        needs=tuple(needs),
        kind=tuple(needs.values()),
        metrics=metrics,
        run=run,
        alone=alone,
        learns=False,
        measured=Measured(
            predictions=predictions, measure=measure, baselines=baselines, **measured
        ),
    )


def values_of(part: Part) -> np.ndarray:
    """The numbers of a part's examples [n, M] float64, in data-set order."""
    order = np.argsort(part.rows[part.counts], kind="stable")
    return on_host(part.values)[part.counts][order].astype(np.float64)


def unpredicted(protocol: Protocol, method: Method) -> str:
    """Which predictions of a protocol a method does not make, in words; "" if none."""
    asked = () if protocol.measured is None else protocol.measured.predictions
    lacks = [name for name in asked if name not in method.predicts]
    return f"the method predicts no {' and no '.join(lacks)}" if lacks else ""


def measured_by(
    read: Read, method: Method, whole: PyTree, seen: Views, batch: Batch
) -> Array:
    """The numbers [B, M] of a batch.

    Args:
        read: a protocol, and "network" or the name of one of its baselines.
        method: which predicts.
        whole: its params and state; not read for a baseline.
        seen: what the evaluation's view makes of the batch.
        batch: the examples.

    Raises:
        ValueError: if the view lacks a field that it must carry.
    """
    protocol, word = read
    assert isinstance(protocol, Protocol)
    assert protocol.measured is not None
    own, given = protocol.measured, seen if isinstance(seen, Mapping) else {}
    if lacks := [name for name in own.carried if name not in given]:
        raise ValueError(
            f"the protocol {protocol.name!r} compares {lacks[0]} in pixels of the "
            f"view, which must carry them; choose name = '{protocol.name}_whole'."
        )
    fields = fields_of(protocol.needs, protocol.fields, seen, batch)
    if word != "network":

        def one(row: PyTree) -> Array:
            return own.measure(own.baselines[word](*row), row[1])

        return _by_row(one, (seen, fields))
    params, state = whole
    said = predictions_of(own, method, params, state, seen)
    return _by_row(lambda row: own.measure(*row), (said, fields))


def predictions_of(
    measured: Measured, method: Method, params: Params, state: State, seen: Views
) -> dict[str, Array]:
    """What is measured of a method's predictions, [B, ...] float32 by name."""
    found = {}
    for name in measured.predictions:
        predict = method.predicts[name]
        if measured.around is not None:
            predict = measured.around(predict)
        found[name] = predict(params, state, seen).astype(jnp.float32)
    return found


def fields_of(
    needs: Iterable[str], names: Iterable[str], seen: Views, batch: Batch
) -> dict[str, Array]:
    """Some fields of a batch, those that are there, as the view shows them if it does.

    Where it shows one of those that protocols need, the size of the canvas is no longer
    theirs: there is a "size" only if the view carries it too.
    """
    given = seen if isinstance(seen, Mapping) else {}
    found = {n: given.get(n, batch[n]) for n in names if n in batch}
    if any(name in given for name in needs) and "size" not in given:
        found.pop("size", None)
    return found


def image_sides(seen: Views) -> tuple[int, int]:
    """(height, width) of the view of one example, which predictions have too."""
    *_, height, width, _ = encoder_input(seen).shape
    return height, width


def _by_row(one: Callable[[PyTree], Array], rows: PyTree) -> Array:
    def mine(rows: PyTree, whole: PyTree) -> Array:
        del whole
        return jax.lax.map(one, rows, batch_size=AT_ONCE)

    return map_shards(mine, rows)
