"""The error of predicted disparities, as KITTI and Middlebury count it."""

from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array, Example, Views
from jax_ssl.evaluate import maps
from jax_ssl.evaluate.measured import predicting
from jax_ssl.evaluate.mirror import mirrored_mean
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped

METRICS = (
    Metric("d1_all", better="lower"),
    Metric("d1_per_image", better="lower"),
    Metric("bad_3", better="lower"),
    Metric("epe", "px", "lower"),
)
PIXELS, SHARE = 3.0, 0.05  # An outlier's error is above both.


def stereo(*, post_process: bool = False) -> Protocol:
    """Outliers and end-point error of the disparity, in pixels of the labels.

    The prediction is resized to the label's pixels, and multiplied by the ratio of the
    widths. "d1_all" is the share of known pixels that are off by more than 3 pixels and
    by more than 5 % of the true disparity, pooled over all pictures as on KITTI;
    "d1_per_image" is its mean over pictures; "bad_3" is the share off by more than 3
    pixels, and "epe" the mean absolute error, both pooled.

    Baselines know the labels: "constant" is the median of each picture's own true
    disparities, "plane" the least-squares plane through them.

    Args:
        post_process: the mean with the prediction of the mirrored picture.
    """

    def measure(said: Mapping[str, Array], fields: Example) -> Array:
        true = fields["disparity"]
        found = maps.disparity_at_label(said["disparity"], fields, true)
        known = known_disparity(true, fields)
        error = jnp.where(known, jnp.abs(found - true), 0.0)
        counted = [known, is_outlier(error, true), error > PIXELS]
        return jnp.stack([*(jnp.float32(each.sum()) for each in counted), error.sum()])

    def outcomes(numbers: np.ndarray) -> Iterator[Outcome | Skipped]:
        known = numbers[numbers[:, 0] > 0]
        if not len(known):
            yield Skipped("no picture has a known disparity")
            return
        pixels, outliers, bad, error = known.sum(axis=0)
        values = {
            "d1_all": outliers / pixels,
            "d1_per_image": (known[:, 1] / known[:, 0]).mean(),
            "bad_3": bad / pixels,
            "epe": error / pixels,
        }
        yield Outcome(
            title="stereo",
            settings={"post_process": post_process},
            values={name: float(value) for name, value in values.items()},
            detail={"pixels": int(pixels)},
            remark="stereo: known pixels of all pictures pooled, but for d1 per image",
        )

    return predicting(
        "stereo",
        ("disparity",),
        measure,
        outcomes,
        needs={"disparity": "disparity"},
        metrics=METRICS,
        baselines={"constant": constant_disparity, "plane": plane_disparity},
        around=mirrored_mean if post_process else None,
    )


def known_disparity(true: Array, fields: Example) -> Array:
    """[H, W] bool, where a label knows the disparity."""
    return (true > 0) & maps.shown(fields, true)


def is_outlier(error: Array, true: Array) -> Array:
    """KITTI's outliers: an error of more than 3 pixels, and of more than 5 %.

    Args:
        error: absolute, in pixels.
        true: the absolute true value, in pixels.
    """
    return (error > PIXELS) & (error > SHARE * true)


def constant_disparity(seen: Views, fields: Example) -> Mapping[str, Array]:
    """The median of the picture's own true disparities, everywhere."""
    del seen
    true = fields["disparity"]
    middle = maps.masked_median(true, known_disparity(true, fields))
    return {"disparity": in_view(jnp.full(true.shape, middle), fields)}


def plane_disparity(seen: Views, fields: Example) -> Mapping[str, Array]:
    """The least-squares plane through the picture's own true disparities."""
    del seen
    true = fields["disparity"]
    plane = maps.best_plane(true, known_disparity(true, fields), fields)
    return {"disparity": in_view(jnp.maximum(plane, 0.0), fields)}


def in_view(disparity: Array, fields: Example) -> Array:
    """Pixels of a label as those of a map [H, W] that shows the picture alone."""
    width = maps.filled(fields, disparity)[1]
    return disparity * (disparity.shape[1] / width)
