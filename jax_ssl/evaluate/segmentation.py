"""The overlap of predicted regions with the classes of a mask."""

from collections.abc import Iterator, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from jax_ssl.core.fields import VOID, Fields, names_of
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.evaluate import maps
from jax_ssl.evaluate.measured import predicting
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped

METRICS = (Metric("miou"), Metric("pixel_accuracy"))
NO_CLASS = Skipped("no pixel has a class")
ONE_CLASS = Skipped(
    "all pixels that have a class are of the same one, and an overlap of one class "
    "says nothing, for a constant answer is right; give masks of two classes or more"
)


def segmentation(fields: Fields) -> Protocol:
    """Mean intersection over union of the classes, and the share of right pixels.

    Scores are resized to the mask, where the largest wins. Pixels of the class 255,
    void, do not count. Intersections and unions are pooled over all pictures before
    they are divided; a class that neither occurs nor is predicted is left out of the
    mean.

    The baseline "commonest" knows the labels: all of a picture is the class that most
    of its pixels have.

    Args:
        fields: of the examples, for the names of the classes.
    """
    names = names_of(fields, "mask")

    def known(fields: Example) -> Array:
        return (fields["mask"] != VOID) & maps.shown(fields, fields["mask"])

    def measure(said: Mapping[str, Array], fields: Example) -> Array:
        true, mask = fields["mask"].astype(jnp.int32), known(fields)
        found = said.get("classes")
        if found is None:
            scores = maps.at_label(said["segmentation"], fields, true)
            found = scores.argmax(axis=-1)
        counts = [
            _histogram(jnp.where(there, classes, VOID))
            for classes, there in (
                (true, mask & (found == true)),
                (found, mask),
                (true, mask),
            )
        ]
        return jnp.concatenate(counts)

    def commonest(seen: Views, fields: Example) -> Mapping[str, Array]:
        del seen
        true = fields["mask"].astype(jnp.int32)
        most = _histogram(jnp.where(known(fields), true, VOID)).argmax()
        return {"classes": jnp.full(true.shape, most)}

    def outcomes(numbers: np.ndarray) -> Iterator[Outcome | Skipped]:
        counts = numbers.sum(axis=0).reshape(3, VOID)
        if not counts[2].any():
            yield NO_CLASS
            return
        if np.count_nonzero(counts[2]) == 1:
            yield ONE_CLASS
            return
        values, iou = overlaps(counts, names)
        yield Outcome(
            title="segmentation",
            settings={},
            values=values,
            detail={"iou": iou},
            remark="segmentation: regions of all pictures pooled, class by class",
        )

    return predicting(
        "segmentation",
        ("segmentation",),
        measure,
        outcomes,
        needs={"mask": "mask"},
        metrics=METRICS,
        baselines={"commonest": commonest},
    )


def overlaps(
    counts: np.ndarray, names: Sequence[str] | None
) -> tuple[dict[str, float], dict[str, float]]:
    """The values of `METRICS`, and the intersection over union of each class.

    A class that neither occurs nor is predicted is left out of both.

    Args:
        counts: [3, K], pixels of each class that are right, predicted, and true; void
            ones not among them. Some must be true.
        names: of the classes, for as many as have one.
    """
    both, found, true = counts.astype(np.float64)
    union = found + true - both
    share = both / np.maximum(union, 1)
    classes = np.flatnonzero(union).tolist()
    values = {
        "miou": float(share[classes].mean()),
        "pixel_accuracy": float(both.sum() / true.sum()),
    }
    words = names or ()
    return values, {
        words[i] if i < len(words) else str(i): float(share[i]) for i in classes
    }


def _histogram(classes: Array) -> Array:
    """How many pixels have each class below `VOID`, [255] float32."""
    return jnp.bincount(classes.ravel(), length=VOID + 1)[:VOID].astype(jnp.float32)
