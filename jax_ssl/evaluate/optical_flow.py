"""The error of predicted optical flow, as Sintel and KITTI measure it."""

from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array, Example, Views
from jax_ssl.evaluate import maps
from jax_ssl.evaluate.measured import image_sides, predicting
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped
from jax_ssl.evaluate.stereo import is_outlier

METRICS = (
    Metric("epe", "px", "lower"),
    Metric("epe_pooled", "px", "lower"),
    Metric("f1_all", better="lower"),
    Metric("epe_visible", "px", "lower"),
    Metric("epe_occluded", "px", "lower"),
)


def optical_flow() -> Protocol:
    """End-point error and outliers of the flow to the next frame, in label pixels.

    The prediction is resized to the label's pixels, its u multiplied by the ratio of
    the widths and its v by that of the heights. "epe" is the mean distance of the
    vectors in each picture, averaged over pictures; "epe_pooled" that of all known
    pixels of all pictures. "f1_all" is the share of these that are off by more than 3
    pixels and by more than 5 % of the true length. Where the data have "occlusion",
    "epe_visible" and "epe_occluded" are those of the pixels that the next frame shows,
    and of the others, pooled.

    The baseline "zero_flow" says that nothing moves. "forward_motion" knows the labels:
    it is the expansion a (p - c) from the middle c of the picture, with the a of each
    picture that fits its true flow best.
    """

    def measure(said: Mapping[str, Array], fields: Example) -> Array:
        error, outlier, known = flow_error(said["flow"], fields)
        parts = [known]
        if "occlusion" in fields:
            parts += [known & (fields["occlusion"] == value) for value in (0, 1)]
        else:
            parts += [jnp.zeros_like(known)] * 2
        sums = [jnp.where(part, error, 0.0).sum() for part in parts]
        counts = [jnp.float32(part.sum()) for part in (*parts, outlier)]
        return jnp.stack([*counts, *sums])

    def outcomes(numbers: np.ndarray) -> Iterator[Outcome | Skipped]:
        known = numbers[numbers[:, 0] > 0]
        if not len(known):
            yield Skipped("no picture has a known flow")
            return
        pixels, visible, hidden, outliers, total, of_visible, of_hidden = known.sum(0)
        yield Outcome(
            title="optical flow",
            settings={},
            values={
                "epe": float((known[:, 4] / known[:, 0]).mean()),
                "epe_pooled": total / pixels,
                "f1_all": outliers / pixels,
                "epe_visible": of_visible / visible if visible else None,
                "epe_occluded": of_hidden / hidden if hidden else None,
            },
            detail={"pixels": int(pixels)},
            remark="optical flow: epe is a mean over pictures, all else over pixels",
        )

    return predicting(
        "optical_flow",
        ("flow",),
        measure,
        outcomes,
        needs={"flow": "flow"},
        metrics=METRICS,
        baselines={"zero_flow": zero_flow, "forward_motion": forward_motion},
        optional=("size", "occlusion"),
    )


def flow_error(flow: Array, fields: Example) -> tuple[Array, Array, Array]:
    """Errors of a flow [h, w, 2] at the pixels of its label.

    Returns:
        Distance of the vectors in pixels, 0 where the label knows none; KITTI's
        outliers; and where it is known; [H, W] each.
    """
    true = fields["flow"]
    known = (true[..., 2] > 0) & maps.shown(fields, true)
    found = maps.flow_at_label(flow, fields, true)
    error = jnp.where(known, jnp.hypot(*_uv(found - true[..., :2])), 0.0)
    return error, is_outlier(error, jnp.hypot(*_uv(true))), known


def zero_flow(seen: Views, fields: Example) -> Mapping[str, Array]:
    """Nothing moves."""
    del fields
    return {"flow": jnp.zeros((*image_sides(seen), 2))}


def forward_motion(seen: Views, fields: Example) -> Mapping[str, Array]:
    """The expansion from the picture's middle that fits its true flow best."""
    height, width = image_sides(seen)
    true = fields["flow"]
    known = (true[..., 2] > 0) & maps.shown(fields, true)
    sides = maps.filled(fields, true)
    rows, columns = (
        jnp.arange(pixels) - (side - 1) / 2
        for pixels, side in zip(true.shape, sides, strict=False)
    )
    places = jnp.stack(jnp.meshgrid(columns, rows), axis=-1)
    both = jnp.where(known[..., None], places, 0.0)
    rate = (both * true[..., :2]).sum() / jnp.maximum((both**2).sum(), 1.0)
    own = jnp.meshgrid(jnp.arange(width), jnp.arange(height))
    middle = jnp.array([(width - 1) / 2, (height - 1) / 2])
    return {"flow": rate * (jnp.stack(own, axis=-1) - middle)}


def _uv(flow: Array) -> tuple[Array, Array]:
    return flow[..., 0], flow[..., 1]
