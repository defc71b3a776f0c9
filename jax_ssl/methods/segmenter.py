"""Training with masks: U-Net (Ronneberger et al., 2015, arXiv:1505.04597).

The expanding path on the pyramid of an encoder learns the class of every pixel. The
encoder is U-Net's contracting path or any other with a pyramid; it learns too, or stays
as it was. `run.init_from` starts from an encoder that a self-supervised run exported.

Views: {"image": [B, H, W, C] float, "mask": [B, h, w] uint8}; with border_weight also
"borders": [B, h, w] float. An image larger than its mask has it in its middle.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core import checks
from jax_ssl.core.fields import Fields, counted_classes
from jax_ssl.core.method import Health, Method, Shown, ViewFn, encoder_input
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree, Views
from jax_ssl.encoders.unet import ExpandingPath, UNet, cut
from jax_ssl.losses.segmentation import agreement, border_weights, pixel_cross_entropy
from jax_ssl.nn.apply import forward, initialize
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
from jax_ssl.nn.network import Heads, Network
from jax_ssl.nn.norm import norm_groups
from jax_ssl.nn.views import masked_image


def segmenter(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    fields: Fields | None = None,
    *,
    num_classes: int | None = None,
    class_weights: tuple[float, ...] | None = None,
    border_weight: float = 0.0,
    border_sigma: float = 5.0,
    decoder_widths: tuple[int, ...] = (),
    freeze_encoder: bool = False,
) -> Method:
    """Builds training with masks around `encoder`; the paper has border_weight = 10.

    What the network does not cover of a mask's image, because its convolutions take
    pixels off the border or its pools want even sides, is mirrored at the border (the
    overlap-tile strategy of section 2). Pixels of the mask that are 255 count nowhere.

    Args:
        encoder: returns `Features` with a pyramid. `optimizer.factors` slows it.
        views: one example -> {"image": [H, W, C], "mask": [h, w] uint8}.
        heads: a module in the place of the expanding path, as "decoder".
        fields: what the examples hold; the names of the mask's classes count them.
        num_classes: K; None for as many as the mask has names.
        class_weights: w_c of the loss, a number for each class; None for 1.
        border_weight: w_0 of the loss, for what the view calls "borders".
        border_sigma: sigma of the loss, in pixels of the view.
        decoder_widths: channels of the expanding path, the finest first, a number for
            each level of the pyramid but the coarsest; () for those of the pyramid.
        freeze_encoder: whether the decoder learns alone; the encoder then runs in
            evaluation mode and is no part of the params.

    Raises:
        ValueError: if a setting is out of range, or the classes are not counted.
    """
    K, names = counted_classes("mask", fields, num_classes)
    checks.at_least(0, border_weight=border_weight, class_weights=class_weights)
    checks.at_least(1, decoder_widths=decoder_widths)
    checks.positive(border_sigma=border_sigma)
    if class_weights is not None and len(class_weights) != K:
        raise ValueError(
            f"class_weights = {class_weights} has {len(class_weights)} numbers for "
            f"{K} classes."
        )
    like: dict[str, Any] = {"padding": "same", "norm": "batch"}
    if isinstance(encoder, UNet):
        like = {"padding": encoder.padding, "norm": encoder.norm}
    decoder: nn.Module = ExpandingPath(
        num_classes=K,
        widths=decoder_widths,
        **like,
        groups=norm_groups(encoder),
        dtype=getattr(encoder, "dtype", jnp.float32),
    )
    decoder = Network.of(encoder, heads, decoder=decoder).parts["decoder"]

    def scores(
        params: Params,
        stats: PyTree,
        images: Array,
        sides: tuple[int, ...],
        key: Array | None = None,
    ) -> tuple[Array, PyTree]:
        """[B, *sides, K] of the middle of the images; with a key in training."""
        images = covering(encoder, images, sides)
        pyramid, moved = pyramid_of(
            encoder,
            *(params["encoder"], stats["encoder"], images),
            frozen=freeze_encoder,
            key=key,
        )
        given = params["decoder"], stats["decoder"], pyramid
        made, turned = forward(decoder, *given, train=key is not None)
        stats = {"encoder": moved, "decoder": turned}
        return fitted(made, images, sides, getattr(encoder, "margin", 0)), stats

    def init(key: Array, views: Views) -> tuple[Params, FrozenState]:
        images, mask = masked_image(views, borders=border_weight > 0)
        x = covering(encoder, images[:1], mask.shape[1:])
        encoder_key, decoder_key = jax.random.split(key)
        params, stats = {}, {}
        made = first_pyramid(encoder, encoder_key, x)
        params["encoder"], stats["encoder"], levels = made
        params["decoder"], stats["decoder"] = initialize(decoder, decoder_key, levels)
        params, frozen = frozen_apart(params, freeze_encoder)
        return params, FrozenState(stats, frozen)

    def loss(
        params: Params,
        state: FrozenState,
        views: Views,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, tuple[FrozenState, Metrics]]:
        del step
        images, mask = masked_image(views, borders=border_weight > 0)
        sides = mask.shape[1:]
        found, stats = scores(complete(params, state), state.stats, images, sides, key)
        weights = None
        if class_weights is not None or border_weight:
            weights = border_weights(
                mask,
                class_weights,
                views["borders"] if border_weight else None,
                height=border_weight,
                sigma=border_sigma,
            )
        value = pixel_cross_entropy(found, mask, weights)
        metrics = agreement(found, mask)._asdict()
        return value, (FrozenState(stats, state.frozen), metrics)

    def segmentation(params: Params, state: FrozenState, seen: Views) -> Array:
        images = encoder_input(seen)
        shown = seen.get("mask") if isinstance(seen, Mapping) else None
        sides = images.shape[1:3] if shown is None else shown.shape[1:]
        return scores(complete(params, state), state.stats, images, sides)[0]

    def shows(
        params: Params, state: FrozenState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        seen = examples.get("seen", examples["view"])
        found = segmentation(params, state, seen)
        columns = {"image": ("view", cut(examples["view"], found.shape[1:3]))}
        if isinstance(seen, Mapping) and "mask" in seen:
            columns["truth"] = ("mask", seen["mask"])
        columns["prediction"] = ("mask", found.argmax(-1).astype(jnp.uint8))
        listed = ", ".join(f"{i} {name}" for i, name in enumerate(names or ()))
        caption = "A colour for each class, grey where a pixel has none."
        return {"Segmentation": Shown(columns, f"{caption} {listed}".strip())}

    plain = class_weights is None and not border_weight
    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        exports={"encoder": encoder_of, "segmenter": all_parts},
        loads={"encoder": ENCODER},
        health=Health(chance=(lambda batch_size: float(np.log(K))) if plain else None),
        predicts={"segmentation": segmentation},
        shows=shows,
    )


def covering(encoder: nn.Module, images: Array, sides: tuple[int, ...]) -> Array:
    """Images mirrored at their borders until the network's output covers `sides`.

    Args:
        encoder: one that loses pixels at the border, or takes some sizes alone, says so
            by `margin` and `fitting`, see `encoders.unet.UNet`.
        images: [B, H, W, C], in whose middle the sides lie.
        sides: (h, w) that are to be covered.

    Returns:
        [B, H', W', C] with `margin` pixels before what is to be covered.

    Raises:
        ValueError: if the images are less than their masks, or have more around these
            than the network reads.
    """
    margin = getattr(encoder, "margin", 0)
    fitting = getattr(encoder, "fitting", lambda side: side)
    pads = []
    for there, side in zip(images.shape[1:3], sides, strict=True):
        around = (there - side) // 2
        before = margin - around
        after = fitting(side) - there - before
        if around < 0 or before < 0 or after < 0:
            raise ValueError(
                f"images of {images.shape[1]} x {images.shape[2]} pixels around masks "
                f"of {sides[0]} x {sides[1]}: the network reads up to {margin} pixels "
                f"more at every side; set config.views.margin = {margin} or less."
            )
        pads.append((before, after))
    return jnp.pad(images, ((0, 0), *pads, (0, 0)), mode="reflect")


def fitted(
    made: Array, images: Array, sides: tuple[int, ...], margin: int = 0
) -> Array:
    """Scores [B, h', w', K] of covering images as [B, *sides, K].

    Those of an encoder whose finest level is coarser than the image are interpolated.

    Raises:
        ValueError: if that level's cells are no whole number of pixels.
    """
    covered = [n - 2 * margin for n in images.shape[1:3]]
    if [*made.shape[1:3]] != covered:
        if any(n % m for n, m in zip(covered, made.shape[1:3], strict=True)):
            raise ValueError(
                f"the decoder makes {made.shape[1]} x {made.shape[2]} scores of images "
                f"of {covered[0]} x {covered[1]} pixels, no whole number of pixels "
                "each; choose sides of the views that the encoder can halve evenly."
            )
        shape = (len(made), *covered, made.shape[-1])
        made = jax.image.resize(made, shape, "bilinear")
    return made[:, : sides[0], : sides[1]]
