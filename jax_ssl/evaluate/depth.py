"""The error of predicted depths, as Eigen et al. (2014, arXiv:1406.2283) measure it.

Crops, caps and the scaling by medians are those of the papers on self-supervised depth,
from Zhou et al. (2017, arXiv:1704.07813) to Godard et al. (2019, arXiv:1806.01260).
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Literal

import jax.numpy as jnp
import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.evaluate import maps
from jax_ssl.evaluate.measured import predicting
from jax_ssl.evaluate.mirror import mirrored_mean
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped

METRICS = (
    Metric("abs_rel", "", "lower"),
    Metric("sq_rel", "m", "lower"),
    Metric("rmse", "m", "lower"),
    Metric("rmse_log", "", "lower"),
    Metric("delta_1"),
    Metric("delta_2"),
    Metric("delta_3"),
)


def depth(
    *,
    crop: maps.Crop = "none",
    min_depth: float = 1e-3,
    max_depth: float = 80.0,
    scaling: Literal["median", "none"] | float = "median",
    post_process: bool = False,
) -> Protocol:
    """Errors of the depth of each picture, averaged over pictures.

    The inverse of the prediction is resized to the label's pixels. Those count whose
    true depth lies strictly between `min_depth` and `max_depth`, inside the crop; there
    the prediction is scaled, and then clipped to that range.

    Baselines know the labels: "constant" is the median of each picture's own true
    depths, "plane" the plane through their inverses with the least squares of relative
    errors.

    Args:
        crop: the part of a picture that counts: "none" for all, "garg" or "eigen".
        min_depth: metres.
        max_depth: metres.
        scaling: "median": each picture is multiplied by the ratio of the medians of
            true and predicted depths, as what learns from one camera needs; "none"; or
            a factor, such as 5.4 where a baseline of 0.54 m was taken for 0.1.
        post_process: the mean, in inverse depth, with the prediction of the mirrored
            picture.

    Raises:
        ValueError: if a setting is out of range.
    """
    checks.positive(min_depth=min_depth)
    checks.rising(min_depth=min_depth, max_depth=max_depth)
    if not isinstance(scaling, str):
        checks.positive(scaling=scaling)

    def counts(fields: Example) -> Array:
        true = fields["depth"]
        inside = maps.crop_mask(crop, fields, true)
        return inside & (true > min_depth) & (true < max_depth)

    def measure(said: Mapping[str, Array], fields: Example) -> Array:
        true, mask = fields["depth"], counts(fields)
        found = maps.depth_at_label(said["depth"], fields, true)
        ratio = jnp.ones(())
        if scaling == "median":
            ratio = maps.masked_median(true, mask) / maps.masked_median(found, mask)
        elif not isinstance(scaling, str):
            ratio = jnp.asarray(scaling, jnp.float32)
        found = jnp.clip(found * ratio, min_depth, max_depth)
        true = jnp.where(mask, true, found)  # So that nothing is divided by 0.
        error, worse = found - true, jnp.maximum(found / true, true / found)
        logs = jnp.log(found) - jnp.log(true)
        mean = functools.partial(maps.mean_where, mask=mask)
        numbers = [
            mean(jnp.abs(error) / true),
            mean(error**2 / true),
            jnp.sqrt(mean(error**2)),
            jnp.sqrt(mean(logs**2)),
            *(mean(jnp.float32(worse < 1.25**power)) for power in (1, 2, 3)),
        ]
        return jnp.stack([jnp.float32(mask.sum()), ratio, *numbers])

    def constant(seen: Views, fields: Example) -> Mapping[str, Array]:
        del seen
        true = fields["depth"]
        middle = maps.masked_median(true, counts(fields))
        return {"depth": jnp.full(true.shape, middle)}

    def plane(seen: Views, fields: Example) -> Mapping[str, Array]:
        del seen
        true, mask = fields["depth"], counts(fields)
        inverse = 1 / jnp.where(mask, true, 1.0)
        found = maps.best_plane(inverse, mask, fields, true**2)
        return {"depth": 1 / jnp.maximum(found, 1 / max_depth)}

    def outcomes(numbers: np.ndarray) -> Iterator[Outcome | Skipped]:
        known = numbers[numbers[:, 0] > 0]
        if not len(known):
            yield Skipped("no picture has a known depth inside the crop and the range")
            return
        detail: dict[str, object] = {}
        if len(known) < len(numbers):
            detail["examples_without_labels"] = len(numbers) - len(known)
        if scaling == "median":
            ratio = known[:, 1]
            middle = float(np.median(ratio))
            spread = float(np.std(ratio / middle))
            detail |= {"scaling_median": middle, "scaling_spread": spread}
            detail["note"] = (
                f"multiplied by {middle:.4g} in the median over pictures, with a "
                f"relative spread of {spread:.3f}"
            )
        scaled = {"median": "scaled by medians", "none": "not scaled"}
        how = scaled.get(str(scaling), f"multiplied by {scaling}")
        means = known[:, 2:].mean(axis=0)
        yield Outcome(
            title="depth",
            settings={
                "crop": crop,
                "min_depth": min_depth,
                "max_depth": max_depth,
                "scaling": scaling,
                "post_process": post_process,
            },
            values={m.name: float(v) for m, v in zip(METRICS, means, strict=True)},
            detail=detail,
            remark=f"depth: mean over pictures, {how}, from {min_depth:g} to "
            f"{max_depth:g} m, crop: {crop}",
        )

    around = functools.partial(mirrored_mean, inverse=True) if post_process else None
    return predicting(
        "depth",
        ("depth",),
        measure,
        outcomes,
        needs={"depth": "depth"},
        metrics=METRICS,
        baselines={"constant": constant, "plane": plane},
        around=around,
    )
