"""A small decoder with skips on a frozen encoder's stages: U-Net's expanding path.

Ronneberger et al., 2015, arXiv:1505.04597, for the decoder. Where a linear head asks
what single cells say, this asks what the whole pyramid does.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from jax_ssl.core import checks
from jax_ssl.core.fields import Fields, counted_classes
from jax_ssl.encoders.unet import ExpandingPath
from jax_ssl.evaluate.dense import Training, dense_probe
from jax_ssl.evaluate.levels import pyramid_of, readable
from jax_ssl.evaluate.protocol import Protocol


def unet_segmentation(
    encoder: Any,
    example_seen: Callable[[], Any],
    fields: Fields | None = None,
    *,
    widths: tuple[int, ...] | int = 64,
    num_classes: int | None = None,
    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3),
    weight_decay: float = 1e-4,
    steps: int = 40_000,
    warmup_steps: int = 1500,
    batch_size: int = 16,
    crop: int | tuple[int, int] | None = None,
    min_scale: float = 0.5,
    max_scale: float = 2.0,
    flip: float = 0.5,
    slide: int | None = None,
    held_out: float = 0.1,
    seed: int = 0,
) -> Protocol:
    """Mean intersection over union of U-Net's expanding path on frozen stages.

    As `linear_segmentation`, whose settings those of the same names are, with another
    head: the expanding path, with batch norm, reads all stages of `Features.pyramid`,
    and its scores are resized to the picture where the finest stage is coarser. The
    controls are the same path on the untrained encoder's stages, and on pictures cut
    into the cells of these stages, on which it still learns features of its own.

    Args:
        encoder: whose pyramid is read.
        example_seen: () -> shape and dtype of what it reads of an example.
        fields: what the training examples hold, for the names of the classes.
        widths: channels of the path's levels, the finest first, a number for each stage
            but the coarsest; one number for all of them.
        num_classes: see `linear_segmentation`.
        learning_rates: see `linear_segmentation`.
        weight_decay: see `linear_segmentation`.
        steps: see `linear_segmentation`.
        warmup_steps: see `linear_segmentation`.
        batch_size: see `linear_segmentation`.
        crop: see `linear_segmentation`.
        min_scale: see `linear_segmentation`.
        max_scale: see `linear_segmentation`.
        flip: see `linear_segmentation`.
        slide: see `linear_segmentation`.
        held_out: see `linear_segmentation`.
        seed: see `linear_segmentation`.

    Returns:
        A protocol whose detail is that of `linear_segmentation`.

    Raises:
        ValueError: if a setting is out of range, the classes are not counted, the
            encoder has no pyramid, or its stages do not halve.
    """
    checks.at_least(1, widths=widths)
    training = Training(
        learning_rates=learning_rates,
        weight_decay=weight_decay,
        steps=steps,
        warmup_steps=warmup_steps,
        batch_size=batch_size,
        crop=crop,
        min_scale=min_scale,
        max_scale=max_scale,
        flip=flip,
        slide=slide,
        held_out=held_out,
        seed=seed,
    )
    K, names = counted_classes("mask", fields, num_classes)
    levels = pyramid_of(encoder)
    stages, whole = readable(encoder, levels, example_seen(), training.sides)
    skips = len(stages) - 1
    each = (widths,) * skips if isinstance(widths, int) else tuple(widths)
    if len(each) != skips:
        raise ValueError(
            f"widths = {widths} must hold {skips} numbers, one for each stage but the "
            f"coarsest of the encoder's {len(stages)}."
        )
    head = ExpandingPath(num_classes=K, widths=each, norm="batch")
    for found in (stages, whole):  # Refuses stages that do not halve.
        jax.eval_shape(partial(head.init, train=False), jax.random.key(0), found)
    return dense_probe(
        "unet_segmentation",
        head,
        levels,
        training,
        {"widths": each},
        num_classes=K,
        names=names,
    )
