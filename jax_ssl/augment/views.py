"""View functions of general use: (key, example) -> float32 views in [0, 1].

The recipes of papers are in `recipes`; `random_crops` has every number as a setting. A
recipe is written for one example; the train step maps it over the batch. Where the
example has a "size", its image is a canvas whose top-left part is filled, and views
stay inside that part. Images leave with values in [0, 1], or standardized per channel
where the recipe is given `mean` and `std`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.augment import affine, crop
from jax_ssl.augment.erase import RandomErasing
from jax_ssl.augment.pixels import (
    check_moments,
    image_of,
    in_unit,
    standardize,
    whole,
)
from jax_ssl.augment.randaugment import RandAugment
from jax_ssl.augment.recipe import Recipe, View
from jax_ssl.augment.steps import Blur, ColorJitter, Grayscale, Solarize, Standardize
from jax_ssl.core import checks
from jax_ssl.core.fields import Field, Fields, resampled
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Example, Views
from jax_ssl.ops.platforms import one_by_one
from jax_ssl.ops.resize import FILTERS
from jax_ssl.ops.warp import BORDERS


def random_crops(
    *,
    num_views: int | None = 2,
    size: int = 224,
    min_scale: float = 0.08,
    max_scale: float = 1.0,
    min_ratio: float = 3 / 4,
    max_ratio: float = 4 / 3,
    interpolation: Literal["bilinear", "bicubic"] = "bicubic",
    sampling: Literal["torchvision", "clipped"] = "torchvision",
    flip: float = 0.5,
    strength: float = 1.0,
    jitter: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2),
    jitter_probability: float = 0.8,
    brightness: Literal["multiplicative", "additive"] = "multiplicative",
    gray_probability: float = 0.2,
    gray_first: bool = False,
    blur_probability: float | tuple[float, ...] = 0.5,
    blur_kernel: Literal["sampled", "pillow"] = "sampled",
    blur_kernel_share: float = 0.1,
    min_sigma: float = 0.1,
    max_sigma: float = 2.0,
    solarize_probability: float | tuple[float, ...] = 0.0,
    rand_augment_ops: int = 0,
    rand_augment_magnitude: float = 9.0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    erase_probability: float = 0.0,
    carried: tuple[str, ...] = (),
) -> Recipe:
    """Independent random views of an image: crop, mirror, colours, blur.

    Defaults are those of SimCLR (arXiv 2002.05709), appendix A: "random crop with
    resize" for area, ratio and mirror; "color distortion" for jitter, its probability
    and grayscale; "Gaussian blur" for probability, taps and sigma. The jitter's order
    is uniform, after the appendix's torchvision form, and the cubic filter that of the
    released code. Operations come in the order of their settings.

    Args:
        num_views: how many; None: one, without an axis of views.
        size: side of the views.
        min_scale: smallest share of the image's area.
        max_scale: largest.
        min_ratio: smallest width / height of the crop.
        max_ratio: largest.
        interpolation: antialiased filter of the resize.
        sampling: what becomes of crops that do not fit; see `crop.RandomCrop`.
        flip: probability of a mirror image.
        strength: multiplies `jitter`.
        jitter: brightness, contrast, saturation, hue at strength 1.
        jitter_probability: that colours are jittered.
        brightness: a factor (SimCLR's second version, torchvision) or an offset
            (SimCLR's first version, BYOL).
        gray_probability: that the view loses its colours.
        gray_first: before the jitter, rather than after it.
        blur_probability: that it is blurred; a tuple has a number for each view.
        blur_kernel: see `steps.Blur`.
        blur_kernel_share: taps of the blur as a share of `size`, where sampled.
        min_sigma: smallest standard deviation of the blur, in pixels of the view.
        max_sigma: largest.
        solarize_probability: that values from 0.5 up are inverted, also for each view
            if so wished; 0 in SimCLR.
        rand_augment_ops: operations of RandAugment in a row, 0 for none.
        rand_augment_magnitude: their mean strength, up to 10.
        mean: per channel, subtracted; SimCLR has none.
        std: per channel, divided by.
        erase_probability: that a box becomes noise, after the standardization.
        carried: fields of the example to hand over, such as ("index",).

    Returns:
        Views [num_views, size, size, C] or [size, size, C] float32 of an example's
        "image". Where fields are carried, a dictionary of "image" and these.

    Raises:
        ValueError: if a setting is out of its range.
    """
    checks.at_least(1, num_views=num_views)
    checks.within("[0, 10]", rand_augment_magnitude=rand_augment_magnitude)
    colours = (
        ColorJitter(
            amounts=jitter,
            strength=strength,
            probability=jitter_probability,
            brightness=brightness,
        ),
        Grayscale(probability=gray_probability),
    )
    cut = crop.RandomCrop(
        size=size,
        min_scale=min_scale,
        max_scale=max_scale,
        min_ratio=min_ratio,
        max_ratio=max_ratio,
        interpolation=interpolation,
        sampling=sampling,
        flip=flip,
    )

    def view(blur: float, solarize: float) -> View:
        return View(
            cut,
            *(reversed(colours) if gray_first else colours),
            Blur(
                probability=blur,
                min_sigma=min_sigma,
                max_sigma=max_sigma,
                kernel=blur_kernel,
                kernel_share=blur_kernel_share,
            ),
            Solarize(probability=solarize),
            RandAugment(num_ops=rand_augment_ops, magnitude=rand_augment_magnitude),
            Standardize(mean, std),
            RandomErasing(probability=erase_probability),
        )

    count = 1 if num_views is None else num_views
    blurs = _of_each(count, "blur_probability", blur_probability)
    solarizes = _of_each(count, "solarize_probability", solarize_probability)
    made = tuple(map(view, blurs, solarizes))
    views = made[0] if num_views is None else made
    return Recipe("random_crops", {"image": views} if carried else views, carried)


def _of_each(
    num_views: int, name: str, value: float | Sequence[float]
) -> Sequence[float]:
    """A setting of each view, given for all of them alike or one by one."""
    values = value if isinstance(value, Sequence) else (value,) * num_views
    if len(values) != num_views:
        raise ValueError(
            f"{name} = {value} has {len(values)} numbers for num_views = {num_views}; "
            "give one number for all views, or one for each."
        )
    return values


two_crops = partial(random_crops, num_views=2)


def two_affine(
    *,
    degrees: float = 15.0,
    translate: float = 0.1,
    min_scale: float = 0.9,
    max_scale: float = 1.1,
    shear: float = 10.0,
    noise: float = 0.0,
    border: Literal["zero", "edge"] = "zero",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ViewFn:
    """Two independent affine distortions of a small image, such as a digit.

    The kinds of distortion are those of Exemplar-CNN (arXiv 1406.6909)
    (translation, scaling, rotation), and shear. The amounts are this library's choice
    for 8 x 8 digits, where a pixel is an eighth of the side; that paper has 0.2 of the
    patch, 0.7 to 1.4 and 20 degrees.

    Args:
        degrees: rotation is uniform in [-degrees, degrees].
        translate: shift along each axis, uniform up to this share of the side.
        min_scale: smallest factor of the size.
        max_scale: largest.
        shear: angle, uniform in [-shear, shear] degrees.
        noise: standard deviation of Gaussian noise, before clipping to [0, 1].
        border: what comes in from outside: "zero" or "edge", the nearest pixel.
        mean: per channel, subtracted.
        std: per channel, divided by.

    Returns:
        Views [2, H, W, C] float32 of an example's "image" [H, W, C].

    Raises:
        ValueError: if a setting is out of its range.
    """
    checks.within("[0, 180]", degrees=degrees)
    checks.within("[0, 1]", translate=translate)
    checks.positive(min_scale=min_scale, max_scale=max_scale)
    checks.rising(min_scale=min_scale, max_scale=max_scale)
    checks.within("[0, 90)", shear=shear)
    checks.at_least(0, noise=noise)
    checks.one_of(BORDERS, border=border)
    check_moments(mean, std)

    def view(key: Array, image: Array) -> Array:
        affine_key, noise_key = jax.random.split(key)
        x = affine.random_affine(
            affine_key,
            image,
            degrees=degrees,
            translate=translate,
            scale=(min_scale, max_scale),
            shear=shear,
            border=border,
        )
        if noise > 0:
            x = x + noise * jax.random.normal(noise_key, x.shape)
        return standardize(jnp.clip(x, 0.0, 1.0), mean, std)

    def views(key: Array, example: Example) -> Array:
        image = whole("two_affine", example)
        return jax.vmap(view, (0, None))(jax.random.split(key, 2), image)

    return views


def center_crop(
    fields: Fields | None = None,
    *,
    size: int,
    resize: int | None = None,
    interpolation: Literal["bilinear", "bicubic"] = "bicubic",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    carried: tuple[str, ...] = (),
) -> ViewFn:
    """The evaluation view: the middle of the image, the same for every key.

    SimCLR (arXiv 2002.05709), appendix B.8, tests on the central 224 x 224 pixels of
    images whose shorter side was resized to 256: `size=224, resize=256`.

    Args:
        fields: what the examples hold; only needed for `carried`.
        size: side of the view.
        resize: what the shorter side is resized to before the cut; `size` unless given,
            the largest central square.
        interpolation: antialiased filter of the resize.
        mean: per channel, subtracted.
        std: per channel, divided by.
        carried: further fields that are cut alike, such as "mask": each follows as its
            kind must, pictures by their nearest pixel.

    Returns:
        View [size, size, C] float32 of an example's "image", honouring its "size"; with
        `carried`, {"image": that, name: ...}.

    Raises:
        ValueError: if a setting is out of its range, or a field is not there.
    """
    side = size if resize is None else resize
    checks.at_least(1, size=size)
    checks.rising(size=size, resize=side)
    checks.one_of(FILTERS, interpolation=interpolation)
    check_moments(mean, std)
    known = dict(fields or {})
    if missing := sorted({*carried} - {*known}):
        raise ValueError(
            f"center_crop: carried = {carried}, but the examples have no "
            f"{missing[0]!r}, only {sorted(known)}."
        )

    # Of the image no more than its kind is read.
    known.setdefault("image", Field("image", (size, size, 3), np.dtype("uint8")))

    @one_by_one
    def middles(chosen: Example, extent: Array | None) -> dict[str, Array]:
        filled = jnp.array(chosen["image"].shape[:2]) if extent is None else extent
        window = crop.center_window(filled, size, side)

        def smooth(image: Array) -> Array:
            return crop.resized_center_crop(
                image, size, side, extent=filled, method=interpolation
            )

        def middle(field: Field, value: Array) -> Array:
            if field.kind == "image":
                unit = jnp.clip(in_unit(smooth(value), value.dtype), 0.0, 1.0)
                return standardize(unit, mean, std)
            if field.kind == "frames":
                return jax.vmap(smooth)(value)
            return resampled(value, field, window, jnp)

        return {name: middle(known[name], value) for name, value in chosen.items()}

    def view(key: Array, example: Example) -> Views:
        del key
        others = {name: example[name] for name in carried}
        chosen = {"image": image_of("center_crop", example), **others}
        made = middles(chosen, example.get("size"))
        return made if carried else made["image"]

    return view


def identity(
    *, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> ViewFn:
    """The image itself as float32 [H, W, C] in [0, 1], the same for every key.

    Args:
        mean: per channel, subtracted.
        std: per channel, divided by.

    Raises:
        ValueError: if only one of the two is given, or `std` is not positive.
    """
    check_moments(mean, std)

    def view(key: Array, example: Example) -> Array:
        del key
        return standardize(whole("identity", example), mean, std)

    return view
