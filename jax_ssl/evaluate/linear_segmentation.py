"""A linear classifier of the cells of a frozen encoder's grid: DINOv2's segmentation.

Oquab et al., 2023, arXiv:2304.07193: a batch norm and a 1 x 1 convolution on patch
tokens, whose scores are resized to the picture. With four blocks side by side it is
their second, better setting.
"""

from collections.abc import Callable
from typing import Any

from jax_ssl.core.fields import Fields, counted_classes
from jax_ssl.evaluate.dense import Training, dense_probe
from jax_ssl.evaluate.levels import last_levels, readable
from jax_ssl.evaluate.protocol import Protocol
from jax_ssl.nn.cells import LinearCells


def linear_segmentation(
    encoder: Any,
    example_seen: Callable[[], Any],
    fields: Fields | None = None,
    *,
    blocks: int = 1,
    stage: int | None = None,
    num_classes: int | None = None,
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
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
    """Mean intersection over union of a linear head on a frozen encoder's cells.

    The head, of batch norm and a 1 x 1 convolution, is trained by AdamW on random crops
    and mirror images of what the evaluation's view shows, with the cross-entropy of all
    pixels after its scores have been resized to them. A head for each learning rate is
    trained on the same crops of a part of train; that of the highest mean IoU on the
    rest is trained anew on all of train, and sees test once. Pixels of the class 255,
    void, count nowhere. The controls are the untrained encoder and the pixels
    that each cell covers.

    DINOv2's recipe for ADE20K has crops of 512 pixels and `slide=341`; it also jitters
    colours.

    Args:
        encoder: whose cells are read.
        example_seen: () -> shape and dtype of what it reads of an example.
        fields: what the training examples hold, for the names of the classes.
        blocks: of a ViT how many of the last blocks' tokens are read side by side, of
            another encoder how many of the last stages, made as fine as the finest.
        stage: a single one, counted from 1: of a ViT's blocks, or the pyramid's stages.
        num_classes: K; None for as many as the mask has names.
        learning_rates: of AdamW, after the warm-up and before a linear decay to 0.
        weight_decay: of AdamW, for all parameters of the head.
        steps: of each training.
        warmup_steps: from 0 to the learning rate, linearly.
        batch_size: crops of a step, over all devices.
        crop: (height, width) of a crop, or the side of a square; None for that of the
            evaluation's view.
        min_scale: smallest factor by which pictures are enlarged before the crop; the
            factor is uniform.
        max_scale: largest.
        flip: probability of a mirror image.
        slide: pixels from one window of the size of a crop to the next, in which whole
            pictures are read and whose scores are added; None reads them at once.
        held_out: share of the training pictures that the choice is made on.
        seed: of heads, crops, order and held-out part.

    Returns:
        A protocol whose detail holds "learning_rate", "train_loss" (the mean of the
        last tenth of the steps), "iou" by class, "validation" (a row for each learning
        rate, if there are several), and "note" if the best of these is the least or the
        largest.

    Raises:
        ValueError: if a setting is out of range, the classes are not counted, or the
            encoder has not such cells.
    """
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
    levels = last_levels(encoder, blocks, stage)
    readable(encoder, levels, example_seen(), training.sides)
    return dense_probe(
        "linear_segmentation",
        LinearCells(K),
        levels,
        training,
        {"blocks": blocks, "stage": stage},
        num_classes=K,
        names=names,
    )
