"""The outliers of predicted scene flow, as KITTI 2015 counts them.

Menze & Geiger (2015), "Object Scene Flow for Autonomous Vehicles".
"""

from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np

from jax_ssl.core.types import Array, Example, Views
from jax_ssl.evaluate import maps
from jax_ssl.evaluate.measured import predicting
from jax_ssl.evaluate.optical_flow import flow_error, zero_flow
from jax_ssl.evaluate.protocol import Baseline, Metric, Outcome, Protocol, Skipped
from jax_ssl.evaluate.stereo import (
    constant_disparity,
    is_outlier,
    known_disparity,
    plane_disparity,
)

NAMES = ("disparity", "disparity_next", "flow")
# The headline first; the numbers of an example are in the order of SHARES.
SHARES = ("d1", "d2", "fl", "sf")
METRICS = tuple(Metric(name, better="lower") for name in ("sf", "d1", "d2", "fl"))


def scene_flow() -> Protocol:
    """Shares of outliers in disparity, next disparity and flow, and in any of them.

    An outlier is off by more than 3 pixels and by more than 5 %. "d1" is the share of
    pixels with a known disparity where that is one, "d2" the same of the disparity that
    the point has in the next frame, "fl" of the flow, and "sf", among the pixels where
    all three are known, the share where at least one is. All are pooled over pictures.

    Baselines say that nothing moves, and know the disparity's labels: "constant" is the
    median of each picture's, "plane" their least-squares plane.

    Note:
        Each sum is divided by the number of pixels that it counts. The released code of
        Hur & Roth (2020, arXiv:2004.04143) divides by constants, the mean number of
        known pixels of a picture of KITTI 2015, which is right for all 200 pictures of
        its training part together and for no other selection.
    """

    def measure(said: Mapping[str, Array], fields: Example) -> Array:
        outliers, knowns = [], []
        for name in NAMES[:2]:
            true = fields[name]
            found = maps.disparity_at_label(said[name], fields, true)
            knowns.append(known_disparity(true, fields))
            outliers.append(is_outlier(jnp.abs(found - true), true))
        _, outlier, known = flow_error(said["flow"], fields)
        outliers.append(outlier)
        knowns.append(known)
        outliers.append(outliers[0] | outliers[1] | outliers[2])
        knowns.append(knowns[0] & knowns[1] & knowns[2])
        wrong = [(o & k).sum() for o, k in zip(outliers, knowns, strict=True)]
        return jnp.stack([*(k.sum() for k in knowns), *wrong]).astype(jnp.float32)

    def outcomes(numbers: np.ndarray) -> Iterator[Outcome | Skipped]:
        pixels, wrong = numbers.sum(axis=0).reshape(2, len(SHARES))
        if not pixels.all():
            name = SHARES[int(np.argmin(pixels))]
            yield Skipped(f"no picture has a pixel that counts for {name}")
            return
        shares = dict(zip(SHARES, (wrong / pixels).tolist(), strict=True))
        yield Outcome(
            title="scene flow",
            settings={},
            values=shares,
            detail={f"pixels_{n}": int(p) for n, p in zip(SHARES, pixels, strict=True)},
            remark="scene flow: outliers among the known pixels of all pictures",
        )

    return predicting(
        "scene_flow",
        NAMES,
        measure,
        outcomes,
        needs={"disparity": "disparity", "disparity_next": "disparity", "flow": "flow"},
        metrics=METRICS,
        baselines={
            "constant": _at_rest(constant_disparity),
            "plane": _at_rest(plane_disparity),
        },
    )


def _at_rest(disparity: Baseline) -> Baseline:
    """A scene of this disparity in which nothing moves."""

    def said(seen: Views, fields: Example) -> Mapping[str, Array]:
        same = disparity(seen, fields)["disparity"]
        still = zero_flow(seen, fields)
        return {"disparity": same, "disparity_next": same, **still}

    return said
