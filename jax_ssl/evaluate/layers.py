"""Linear probes of every layer: the curve of accuracy by layer of the pretext papers.

Each stage of an encoder's pyramid is averaged to about 9,000 features and judged by a
linear classifier of its own (Zhang et al., 2016, arXiv:1603.08511, for conv1 to conv5
of AlexNet; Goyal et al., 2019, arXiv:1905.01235, for the stages of a ResNet).
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array, Variables
from jax_ssl.evaluate.linear import LEARNING_RATES, linear
from jax_ssl.evaluate.part import Part
from jax_ssl.evaluate.protocol import Outcome, Protocol, Reader, Skipped


def layers(
    encoder: Any,
    example_seen: Callable[[], Any],
    *,
    stages: tuple[int, ...] | None = None,
    features: int = 9000,
    learning_rates: Sequence[float] = LEARNING_RATES,
    weight_decays: Sequence[float] = (0.0,),
    epochs: int = 28,
    batch_size: int = 256,
    scaling: Literal["standardize", "none"] = "standardize",
    held_out: float = 0.1,
    seed: int = 0,
    label: str = "label",
) -> list[Protocol]:
    """Accuracy of a linear classifier on each stage of `Features.pyramid`.

    A grid [h, w, C] is averaged over the cells of a coarser one of s x s, whose side s
    is the largest with s² C <= `features`, but no finer than it is: 9,216 numbers of
    AlexNet's conv2 are 6 x 6 x 256. (Cells overlap where s divides no side, as in
    torch's adaptive pooling.) One stage is swept, judged and forgotten before the next.
    The probe is that of `linear`, and so are the settings that have its names.

    Args:
        encoder: whose pyramid is read; a ViT has none.
        example_seen: () -> shape and dtype of what it reads of an example.
        stages: which ones, from 1; all unless given.
        features: of each stage, at most; a stage of more channels keeps one cell.
        learning_rates: see `linear`.
        weight_decays: see `linear`.
        epochs: see `linear`.
        batch_size: see `linear`.
        scaling: see `linear`.
        held_out: see `linear`.
        seed: see `linear`.
        label: see `linear`.

    Returns:
        A protocol for each stage, of the same name, whose outcomes are the points of a
        curve. Their control is the untrained encoder's stage.

    Raises:
        ValueError: if the encoder has no pyramid, or not such a stage, or a setting is
            out of range.
    """
    checks.at_least(1, features=features)
    count = _stages(encoder, example_seen())
    asked = tuple(range(1, count + 1)) if stages is None else tuple(stages)
    checks.not_empty(stages=asked)
    checks.within(f"[1, {count}]", stages=asked)
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
    remark = (
        f"layers: a linear probe of each stage, averaged to {features:,} features at "
        f"most, {epochs} epochs"
    )

    def of_stage(stage: int) -> Protocol:
        def run(train: Part, test: Part) -> Iterator[Outcome | Skipped]:
            for outcome in probe.run(train, test):
                if isinstance(outcome, Outcome):
                    settings = {"layer": stage, "features": features}
                    outcome = dataclasses.replace(
                        outcome,
                        title=f"layer {stage}",
                        settings={**settings, **outcome.settings},
                        along=("layer", stage),
                        remark=remark,
                    )
                yield outcome

        return dataclasses.replace(
            probe,
            name="layers",
            reads="pyramid",
            reader=stage_reader(encoder, stage - 1, features),
            alone=True,
            run=run,
        )

    return [of_stage(stage) for stage in asked]


def stage_reader(encoder: Any, stage: int, features: int) -> Reader:
    """Maps an encoder's variables and examples to [B, D] of one stage, from 0."""

    def read(variables: Variables, x: Array) -> Array:
        grid = encoder.apply(variables, x, train=False).pyramid[stage]
        return averaged(grid, features)

    return read


def averaged(grid: Array, most: int) -> Array:
    """A grid averaged over the cells of a coarser one and laid out flat.

    Args:
        grid: [B, h, w, C], or [B, t, C] of waves.
        most: numbers to leave, at most, where C allows it.

    Returns:
        [B, D] float32.
    """
    *sides, channels = grid.shape[1:]
    side = max(1, int((most / channels) ** (1 / len(sides)) + 1e-9))
    grid = grid.astype(jnp.float32)
    for axis, cells in enumerate(sides, start=1):
        if side < cells:
            table = _windows(cells, side)
            moved = einsum("b...c,sc->b...s", jnp.moveaxis(grid, axis, -1), table)
            grid = jnp.moveaxis(moved, -1, axis)
    return grid.reshape(len(grid), -1)


def _windows(cells: int, side: int) -> np.ndarray:
    """[side, cells]: what each coarse cell is the mean of."""
    table = np.zeros((side, cells), np.float32)
    for i in range(side):
        first, behind = i * cells // side, -(-(i + 1) * cells // side)
        table[i, first:behind] = 1 / (behind - first)
    return table


def _stages(encoder: Any, seen: Any) -> int:
    """Stages of the encoder's pyramid.

    Raises:
        ValueError: if it has none.
    """
    x = jax.ShapeDtypeStruct((1, *seen.shape), seen.dtype)

    def pyramid(key: Array, x: Array) -> Any:
        return encoder.init_with_output(key, x, train=False)[0].pyramid

    count = len(jax.eval_shape(pyramid, jax.random.key(0), x))
    if not count:
        raise ValueError(
            f"a {type(encoder).__name__} has no pyramid of stages to probe; of a ViT, "
            "evals.linear with class_tokens probes the last blocks."
        )
    return count
