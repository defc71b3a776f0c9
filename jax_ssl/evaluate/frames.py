"""Linear probes of single frames: each place of the grid is an example of its own.

Van den Oord et al. (2018, arXiv:1807.03748) classify every frame of an
utterance by itself, without pooling: what is said, or who speaks, must be known from
the representation at one moment.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.types import Array, Variables
from jax_ssl.evaluate.linear import LEARNING_RATES, linear
from jax_ssl.evaluate.mfcc import at_places
from jax_ssl.evaluate.part import Part, Split
from jax_ssl.evaluate.protocol import Outcome, Protocol, Skipped


def frames(
    encoder: Any,
    *,
    places: int = 8,
    learning_rates: Sequence[float] = LEARNING_RATES,
    weight_decays: Sequence[float] = (0.0,),
    epochs: int = 20,
    batch_size: int = 1024,
    scaling: Literal["standardize", "none"] = "standardize",
    held_out: float = 0.1,
    seed: int = 0,
    label: str = "label",
) -> Protocol:
    """Accuracy of a linear classifier on single frames, by the label of the whole.

    The share that is held out to choose by is one of whole examples: no example has
    frames on both sides.

    Args:
        encoder: whose grid is read.
        places: frames of each example, evenly spread.
        learning_rates: see `linear`.
        weight_decays: see `linear`.
        epochs: see `linear`.
        batch_size: frames, else as for `linear`.
        scaling: see `linear`.
        held_out: see `linear`.
        seed: see `linear`.
        label: see `linear`.

    Returns:
        A protocol whose controls are the untrained encoder's frames and, of waves,
        MFCCs of as many.

    Raises:
        ValueError: if a setting is out of range.
    """
    checks.at_least(1, places=places)
    probe = linear(
        learning_rates=learning_rates,
        weight_decays=weight_decays,
        epochs=epochs,
        batch_size=batch_size,
        scaling=scaling,
        held_out=held_out,
        seed=seed,
        label=label,
    )

    def read(variables: Variables, x: Array) -> Array:
        return at_places(encoder.apply(variables, x, train=False).grid, places)

    def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
        for outcome in probe.run(split(train), split(test)):
            if isinstance(outcome, Outcome):
                outcome = dataclasses.replace(
                    outcome,
                    title="linear, each frame",
                    settings={"places": places, **outcome.settings},
                    remark=f"each frame: {places} frames of each example, "
                    f"{outcome.remark.removeprefix('linear: ')}",
                )
            yield outcome

    return dataclasses.replace(
        probe, name="frames", reads="grid", reader=read, places=places, run=run
    )


def split(part: Part) -> Part:
    """Features [n, F, D] as n F examples, those of one example side by side."""
    assert not isinstance(part.values, Split)
    count = part.values.shape[1]
    return dataclasses.replace(
        part,
        values=Split(part.values),
        fields={name: np.repeat(x, count, 0) for name, x in part.fields.items()},
        rows=np.repeat(part.rows, count),
        of_one=count,
    )
