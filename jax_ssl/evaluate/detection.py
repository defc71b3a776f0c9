"""Boxes and their classes against true ones, by the rules of COCO and of Pascal VOC."""

from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np

from jax_ssl.core.fields import Fields, names_of
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.evaluate.boxes import Picture, coco, voc
from jax_ssl.evaluate.measured import image_sides, predicting
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped

METRICS = tuple(
    Metric(name)
    for name in (
        *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
        *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
        *("voc07_ap", "voc_ap"),
    )
)


def detection(fields: Fields, *, crowds: str = "crowds") -> Protocol:
    """Average precision of boxes: COCO's twelve numbers, and Pascal VOC's two.

    Needs a view that carries the boxes, such as detection_whole. With "scale" carried,
    sizes are in pixels of the file, as COCO's; they are those of boxes, where COCO
    has the areas of outlines.

    The baseline "whole" says that all of every picture is one box, of every class.

    Args:
        fields: of the examples, for the names of the classes.
        crowds: a field of boxes that may be found or not, where the data have it.
    """
    names = names_of(fields, "boxes")

    def measure(said: Mapping[str, Array], fields: Example) -> Array:
        y, x = fields.get("scale", jnp.ones(2))
        unit = jnp.stack([x, y, x, y])
        found = said["detections"]
        there = found[:, :1] >= 0
        found = jnp.where(there, found.at[:, 2:].divide(unit), -1.0)
        true = [fields[name] for name in ("boxes", crowds) if name in fields]
        placed = [
            jnp.where(b[:, :1] >= 0, b.at[:, 1:].divide(unit), -1.0) for b in true
        ]
        sizes = [len(found), *map(len, placed), *[0] * (2 - len(placed))]
        head = jnp.array(sizes, jnp.float32)
        return jnp.concatenate([head, *(rows.ravel() for rows in (found, *placed))])

    def whole(seen: Views, fields: Example) -> Mapping[str, Array]:
        height, width = image_sides(seen)
        number = len(names) if names else 1
        box = jnp.tile(jnp.array([1.0, 0, 0, width, height]), (number, 1))
        classes = jnp.arange(number, dtype=jnp.float32)[:, None]
        return {"detections": jnp.concatenate([classes, box], axis=1)}

    def outcomes(numbers: np.ndarray) -> Iterator[Outcome | Skipped]:
        pictures = [_picture(row) for row in numbers]
        true = np.concatenate([picture.true for picture in pictures])
        if not len(true):
            yield Skipped("no picture has a box")
            return
        found = max((p.found[:, 0].max(initial=0) for p in pictures), default=0)
        K = len(names) if names else int(max(true[:, 0].max(), found)) + 1
        eleven, every = voc(pictures, K)
        by_class = {}
        for number in np.unique(true[:, 0]).astype(int):
            own = [_only(picture, number) for picture in pictures]
            by_class[names[number] if names else str(number)] = coco(own, 1)["ap"]
        yield Outcome(
            title="detection",
            settings={},
            values={**coco(pictures, K), "voc07_ap": eleven, "voc_ap": every},
            detail={"ap_of_classes": by_class, "boxes": len(true)},
            remark=(
                "detection: ap, ar by COCO's rules with areas of boxes; voc07_ap over "
                "11 points and voc_ap over all, at an IoU of 0.5"
            ),
        )

    return predicting(
        "detection",
        ("detections",),
        measure,
        outcomes,
        needs={"boxes": "boxes"},
        metrics=METRICS,
        baselines={"whole": whole},
        optional=("size", "scale", crowds),
        carried=("boxes",),
    )


def _picture(numbers: np.ndarray) -> Picture:
    """A row of `measure`, without its filling."""
    sizes = numbers[:3].astype(int)
    widths = np.array([6, 5, 5])
    ends = 3 + np.cumsum(sizes * widths)
    parts = np.split(numbers[: ends[-1]], [3, *ends[:-1]])[1:]
    rows = [part.reshape(-1, w) for part, w in zip(parts, widths, strict=True)]
    return Picture(*(each[each[:, 0] >= 0] for each in rows))


def _only(picture: Picture, number: int) -> Picture:
    """The rows of one class, as class 0."""
    rows = [picture.found, picture.true, picture.ignored]
    chosen = [each[each[:, 0] == number].copy() for each in rows]
    for each in chosen:
        each[:, 0] = 0
    return Picture(*chosen)
