"""Training with boxes: FCOS (Tian et al., 2019, arXiv:1904.01355) on any encoder.

A head without anchors on the pyramid of an encoder says at every place the class, the
four sides of the box and how near it is to the middle. The encoder learns too, or stays
as it was. `run.init_from` starts from an encoder that a self-supervised run exported.

Views: {"image": [B, H, W, C] float, "boxes": [B, n, 5] in pixels of the view}.
"""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.fields import Fields, counted_classes
from jax_ssl.core.method import Method, ViewFn, encoder_input
from jax_ssl.core.types import Array, Metrics, Params, PyTree, Views
from jax_ssl.losses.detection import (
    Places,
    assigned,
    detection_losses,
    places_of,
)
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.detection import DetectionHead
from jax_ssl.nn.frozen import (
    ENCODER,
    FrozenState,
    all_parts,
    complete,
    encoder_of,
    first_pyramid,
    frozen_apart,
    pyramid_of,
)
from jax_ssl.ops.boxes import best


def detector(
    encoder: nn.Module,
    views: ViewFn,
    fields: Fields | None = None,
    *,
    num_classes: int | None = None,
    levels: tuple[int, ...] = (),
    width: int = 256,
    depth: int = 4,
    reach: float = 8.0,
    radius: float | None = 1.5,
    freeze_encoder: bool = False,
    candidates: int = 1000,
    least_score: float = 0.05,
    nms_threshold: float = 0.6,
    max_detections: int = 100,
) -> Method:
    """Builds training with boxes around `encoder`.

    Args:
        encoder: returns `Features` with a pyramid. `optimizer.factors` slows it.
        views: one example -> {"image": [H, W, C], "boxes": [n, 5]}.
        fields: what the examples hold; the names of the boxes' classes count them.
        num_classes: K; None for as many as the boxes have names.
        levels: numbers of the pyramid's levels that are read, from 0, the finest; ()
            for all but those finer than 4 pixels a cell, or all if that leaves none.
        width: channels of the head, a multiple of 8.
        depth: convolutions of its two towers.
        reach: strides from a cell to the farthest side of its largest box.
        radius: strides from the middle of a box in which cells learn it; None: in all
            of the box.
        freeze_encoder: whether the head learns alone; the encoder then runs in
            evaluation mode and is no part of the params.
        candidates: highest scores of a picture that are looked at.
        least_score: that one must have, √(class · centreness).
        nms_threshold: IoU above which, of two boxes of a class, the lower goes.
        max_detections: of a picture.

    Raises:
        ValueError: if a setting is out of range, or the classes are not counted.
    """
    K, _ = counted_classes("boxes", fields, num_classes, least=1)
    checks.at_least(1, depth=depth, candidates=candidates)
    checks.at_least(1, max_detections=max_detections)
    checks.at_least(0, levels=levels)
    checks.positive(reach=reach, radius=radius)
    checks.within("[0, 1]", least_score=least_score, nms_threshold=nms_threshold)
    if width < 8 or width % 8:
        raise ValueError(f"width = {width} must be a multiple of 8, for group norms.")
    dtype = getattr(encoder, "dtype", jnp.float32)
    head = DetectionHead(num_classes=K, width=width, depth=depth, dtype=dtype)

    def read(pyramid: tuple[Array, ...], images: Array) -> tuple[list[Array], Places]:
        """The levels that the head reads, and their cells."""
        chosen = levels or _coarse(pyramid, images)
        if not pyramid or max(chosen) >= len(pyramid):
            raise ValueError(
                f"levels = {chosen}, and the encoder's pyramid has {len(pyramid)} "
                "levels; choose some of these, or an encoder such as 'resnet18'."
            )
        some = [pyramid[i] for i in sorted(chosen)]
        grids = [(level.shape[1], level.shape[2]) for level in some]
        strides = [round(images.shape[1] / height) for height, _ in grids]
        if len({*strides}) < len(strides):
            raise ValueError(
                f"levels = {chosen}: {len(strides)} levels of the pyramid with strides "
                f"of {strides} pixels; name one of each stride in config.method.levels."
            )
        return some, places_of(grids, strides, reach)

    def answers(
        params: Params, stats: PyTree, images: Array, key: Array | None = None
    ) -> tuple[Array, Array, Array, Places, PyTree]:
        """Classes, boxes in pixels, centreness, and their places; a key in training."""
        pyramid, moved = pyramid_of(
            encoder,
            *(params["encoder"], stats["encoder"], images),
            frozen=freeze_encoder,
            key=key,
        )
        some, places = read(pyramid, images)
        given = params["head"], stats["head"], tuple(some)
        found, turned = forward(head, *given, train=key is not None)
        boxes = boxes_of(found.sides, places)
        stats = {"encoder": moved, "head": turned}
        return found.classes, boxes, found.centres, places, stats

    def init(key: Array, views: Views) -> tuple[Params, FrozenState]:
        images, _ = image_and_boxes(views)
        x = images[:1]
        keys = jax.random.split(key)
        params, stats = {}, {}
        params["encoder"], stats["encoder"], zeros = first_pyramid(encoder, keys[0], x)
        some, _ = read(zeros, x)
        params["head"], stats["head"] = initialize(head, keys[1], tuple(some))
        params, frozen = frozen_apart(params, freeze_encoder)
        return params, FrozenState(stats, frozen)

    def loss(
        params: Params, state: FrozenState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[FrozenState, Metrics]]:
        del step
        images, truth = image_and_boxes(views)
        logits, boxes, centres, places, stats = answers(
            complete(params, state), state.stats, images, key
        )
        targets = jax.vmap(lambda row: assigned(row, places, radius))(truth)
        terms = detection_losses(logits, boxes, centres, targets)
        value = terms.class_loss + terms.box_loss + terms.centre_loss
        return value, (FrozenState(stats, state.frozen), terms._asdict())

    def detections(params: Params, state: FrozenState, seen: Views) -> Array:
        images = encoder_input(seen)
        logits, boxes, centres, _, _ = answers(
            complete(params, state), state.stats, images
        )
        # As the authors' code; the paper multiplies and takes no root.
        scores = jnp.sqrt(jax.nn.sigmoid(logits) * jax.nn.sigmoid(centres)[..., None])
        sides = jnp.array([*images.shape[1:3]] * 2)[jnp.array([1, 0, 1, 0])]
        pick = functools.partial(
            best,
            candidates=candidates,
            threshold=nms_threshold,
            least_score=least_score,
            count=max_detections,
        )
        return jax.vmap(pick)(jnp.clip(boxes, 0, sides), scores)

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        exports={"encoder": encoder_of, "detector": all_parts},
        loads={"encoder": ENCODER},
        predicts={"detections": detections},
    )


def boxes_of(sides: Array, places: Places) -> Array:
    """Boxes [B, L, 4] in pixels from the distances [B, L, 4] in strides."""
    points, away = jnp.asarray(places.points), sides * places.strides[:, None]
    return jnp.concatenate([points - away[..., :2], points + away[..., 2:]], axis=-1)


def image_and_boxes(views: Views) -> tuple[Array, Array]:
    """Images [B, H, W, C] and boxes [B, n, 5].

    Raises:
        ValueError: if the views are something else.
    """
    known = isinstance(views, Mapping) and {"image", "boxes"} <= set(views)
    if not known or views["image"].ndim != 4 or views["boxes"].ndim != 3:
        shapes: Any = jax.tree.map(lambda leaf: tuple(jnp.shape(leaf)), views)
        raise ValueError(
            f"the views are {shapes}, and this method reads {{'image': [B, H, W, C], "
            "'boxes': [B, n, 5]}; choose a recipe that makes such views, for example "
            "config.views.name = 'detection_crops'."
        )
    return views["image"], views["boxes"]


def _coarse(pyramid: tuple[Array, ...], images: Array) -> tuple[int, ...]:
    """The levels of at least 4 pixels a cell, the last of each size; else all."""
    strides = [images.shape[1] // level.shape[1] for level in pyramid]
    last = {stride: i for i, stride in enumerate(strides)}
    found = tuple(i for stride, i in last.items() if stride >= 4)
    return found or tuple(last.values())
