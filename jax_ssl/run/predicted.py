"""What a method predicts of a few examples, as pictures beside the labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.compiling import once
from jax_ssl.core.fields import names_of
from jax_ssl.core.method import encoder_input
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.data.corrupt import sample
from jax_ssl.evaluate import maps
from jax_ssl.evaluate.optical_flow import flow_error
from jax_ssl.evaluate.stereo import known_disparity
from jax_ssl.ops.warp import flow_pixels, warp
from jax_ssl.parallel.mesh import replicated
from jax_ssl.parallel.together import together
from jax_ssl.report.blocks import Column, Pictures
from jax_ssl.report.boxed import LEAST, boxed
from jax_ssl.run.run import Run

SHOWN = 6  # Examples.
DETECTIONS, BOXES = "detections", "boxes"
# Predictions that are maps: the field with the truth, and the kind that is drawn.
MAPS: Mapping[str, tuple[str, str]] = {
    "depth": ("depth", "depth"),
    "disparity": ("disparity", "disparity"),
    "disparity_next": ("disparity_next", "disparity"),
    "flow": ("flow", "flow"),
    "segmentation": ("mask", "mask"),
}
CAPTIONS = {
    "depth": "Errors are relative to the depth, after the scale of the medians.",
    "flow": "Errors are in pixels. Warped: the next frame, fetched along the flow; it "
    "should look like the target.",
    "segmentation": "Regions are the classes of the largest score.",
}
EACH = "Each map is shown over its own range, grey where it is unknown."


def predicted(
    run: Run, train: TrainState, plain: Any
) -> Iterator[tuple[str, Pictures | str]]:
    """A grid of each prediction, beside its label and its error where there is one.

    Args:
        run: with its mesh installed.
        train: params and state.
        plain: values in the units of the evaluation's view -> values to be shown.
    """
    experiment = run.experiment
    there = experiment.method.predicts
    names = [name for name in there if name in MAPS]
    detects = DETECTIONS in there
    if not (names or detects):
        return
    source, changes = experiment.everything, experiment.evals.test
    if changes is not None:
        truths = [truth for truth, _ in MAPS.values()]
        source = experiment.open(changes, also=[*truths, BOXES])
    batch = sample(source, SHOWN)
    seen = views_of(run, batch)
    found = predictions(run, train, seen, [*names, *[DETECTIONS] * detects])
    given = seen if isinstance(seen, Mapping) else {}
    batch = {n: np.asarray(given.get(n, x)) for n, x in batch.items()}
    if detects:
        classes = names_of(source.fields, BOXES)
        shown = plain(encoder_input(seen))
        drawn = [boxed("predicted", shown, found[DETECTIONS], classes, scored=True)]
        if BOXES in given:  # In pixels of the view, as the predictions are.
            drawn.append(boxed("true", shown, given[BOXES], classes, scored=False))
        words = f"Boxes with a score of {LEAST} and more, the best first; "
        words += "a colour is a class."
        yield "Predictions: detections", Pictures("predicted_detections", drawn, words)
    frames = next((given[n] for n in ("frames", "left_frames") if n in given), None)
    for name in names:
        truth, kind = MAPS[name]
        said = found[name].argmax(-1) if kind == "mask" else found[name]
        columns = [Column("target", plain(encoder_input(seen)))]
        columns.append(Column("predicted", said, kind))
        if truth in batch:
            columns.append(Column("true", batch[truth], kind))
            if kind != "mask":
                columns.append(Column("error", _errors(name, said, batch), "heat"))
        if name == "flow" and frames is not None and frames.shape[1] > 1:
            back = once(jax.vmap(_fetched))(frames, said)
            columns.append(Column("warped", np.asarray(back)))
        words = CAPTIONS.get(name, "Errors are in pixels.")
        title = f"Predictions: {name.replace('_', ' ')}"
        yield title, Pictures(f"predicted_{name}", columns, f"{words} {EACH}")


def views_of(run: Run, batch: Mapping[str, np.ndarray]) -> Any:
    """All that the evaluation's view makes of some examples, on one device."""
    view = run.experiment.view
    return once(jax.vmap(view, (None, 0)))(jax.random.key(0), batch)


def predictions(
    run: Run, train: TrainState, seen: Views, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """What the method says of some examples, [n, ...] float32 by name.

    Args:
        run: with its mesh installed.
        train: params and state.
        seen: what the evaluation's view makes of them.
        names: of the predictions.
    """
    predicts = run.experiment.method.predicts

    def said(params: Any, state: Any, seen: Views) -> dict[str, Array]:
        return {name: predicts[name](params, state, seen) for name in names}

    say = together(said, out_shardings=replicated(run.experiment.mesh))
    found = say(train.params, train.state, seen)
    return {name: np.asarray(x, np.float32) for name, x in found.items()}


def _errors(name: str, said: np.ndarray, batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """Errors [n, H, W] of a prediction at the pixels of its label, NaN if unknown."""
    truth, _ = MAPS[name]

    def one(said: Array, fields: Example) -> Array:
        true = fields[truth]
        if name == "flow":
            error, _, known = flow_error(said, fields)
        elif name == "depth":
            known = (true > 0) & maps.shown(fields, true)
            found = maps.depth_at_label(said, fields, true)
            ratio = maps.masked_median(true, known) / maps.masked_median(found, known)
            error = jnp.abs(ratio * found - true) / jnp.maximum(true, maps.TINY)
        else:
            known = known_disparity(true, fields)
            error = jnp.abs(maps.disparity_at_label(said, fields, true) - true)
        return jnp.where(known, error, jnp.nan)

    kept = {n: batch[n] for n in (truth, "size") if n in batch}
    return np.asarray(once(jax.vmap(one))(said, kept))


def _fetched(frames: Array, flow: Array) -> Array:
    """The frame after the target, at the places to which the target's pixels go."""
    target = (len(frames) - 1) // 2
    return jnp.clip(warp(frames[target + 1], flow_pixels(flow)).values, 0, 1)
