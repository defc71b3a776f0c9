"""A grid of overlapping patches of an image, each with random changes of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from jax_ssl.augment.channels import drop_channels
from jax_ssl.augment.crop import RandomCrop, random_place
from jax_ssl.augment.pixels import check_moments, image_of
from jax_ssl.augment.randaugment import RandAugment
from jax_ssl.augment.recipe import View
from jax_ssl.augment.steps import ColorJitter, Grayscale, Standardize, Step
from jax_ssl.augment.tones import sometimes
from jax_ssl.core import checks
from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Example
from jax_ssl.ops.patches import overlapping
from jax_ssl.ops.platforms import one_by_one


@dataclass(frozen=True, kw_only=True)
class DropColours(Step):
    """Two of the three channels become 0.5, all three as likely to stay."""

    name: ClassVar[str] = "drop colours"
    off: ClassVar[str | None] = "drop_probability"

    def __call__(self, key: Array, image: Array) -> Array:
        """[..., h, w, 3] in [0, 1] -> the same."""
        own, key = jax.random.split(key)

        def dropped(image: Array) -> Array:
            return drop_channels(key, image, fill=0.5)

        return sometimes(own, image, dropped, probability=self.probability)


def cpc_patches(
    *,
    size: int = 256,
    patch: int = 64,
    grid: int = 7,
    min_scale: float = 0.7,
    max_scale: float = 1.0,
    min_ratio: float = 1.0,
    max_ratio: float = 1.0,
    interpolation: Literal["bilinear", "bicubic"] = "bicubic",
    flip: float = 0.5,
    gray_probability: float = 1.0,
    inner: int | None = 60,
    drop_probability: float = 0.0,
    strength: float = 0.0,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1),
    jitter_probability: float = 0.8,
    patch_gray_probability: float = 0.0,
    rand_augment_ops: int = 0,
    rand_augment_magnitude: float = 9.0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ViewFn:
    """Patches for contrastive predictive coding on images; defaults are v1's.

    A square is cut out of the image and perhaps mirrored and made grey. `grid` x `grid`
    patches are spread evenly over it: of 256 pixels 7 x 7 patches of 64 overlap by
    half. Everything after that is drawn anew for each patch. Version 2 of the paper
    (arXiv 1905.09272) has `size=260, patch=80, grid=6, gray_probability=0, inner=None,
    drop_probability=1` and several of AutoAugment's operations, here
    `rand_augment_ops`.

    Args:
        size: side of the square after its resize.
        patch: side of a patch.
        grid: patches along each side.
        min_scale: smallest share of the image's area in the square.
        max_scale: largest.
        min_ratio: smallest width / height of what becomes the square.
        max_ratio: largest.
        interpolation: antialiased filter of the resize.
        flip: probability of a mirror image.
        gray_probability: that the whole image loses its colours.
        inner: side of a random part of each patch that is kept, moved to its middle; a
            rim of zeros (after standardization) is put around it. None: the patch.
        drop_probability: that a patch keeps one of its three channels.
        strength: multiplies `jitter`.
        jitter: of a patch: brightness, contrast, saturation, hue at strength 1.
        jitter_probability: that colours of a patch are jittered.
        patch_gray_probability: that a patch loses its colours.
        rand_augment_ops: operations of RandAugment on each patch.
        rand_augment_magnitude: their mean strength, up to 10.
        mean: per channel, subtracted.
        std: per channel, divided by.

    Returns:
        Patches [grid * grid, patch, patch, C] float32, row by row.

    Raises:
        ValueError: if a setting is out of its range.
    """
    checks.at_least(2, grid=grid)
    checks.within(f"[1, {size}]", patch=patch)
    checks.within(f"[1, {patch}]", inner=inner)
    checks.within("[0, 1]", drop_probability=drop_probability)
    checks.within("[0, 1]", patch_gray_probability=patch_gray_probability)
    checks.within("[0, 10]", rand_augment_magnitude=rand_augment_magnitude)
    check_moments(mean, std)
    whole = View(
        RandomCrop(
            size=size,
            min_scale=min_scale,
            max_scale=max_scale,
            min_ratio=min_ratio,
            max_ratio=max_ratio,
            interpolation=interpolation,
            flip=flip,
        ),
        Grayscale(probability=gray_probability),
    )
    steps = [
        step
        for step in (
            ColorJitter(
                amounts=jitter, strength=strength, probability=jitter_probability
            ),
            Grayscale(probability=patch_gray_probability),
            RandAugment(num_ops=rand_augment_ops, magnitude=rand_augment_magnitude),
            DropColours(probability=drop_probability),
            Standardize(mean, std),
        )
        if step.active
    ]
    colour = {step.off for step in (*whole.steps, *steps) if step.off}

    @one_by_one
    def treat(key: Array, x: Array) -> Array:
        keys = jax.random.split(key, 1 + len(steps))
        for own, step in zip(keys[1:], steps, strict=True):
            x = step(own, x)
        if inner is None:
            return x
        uniform = jax.random.uniform(keys[0], (2,))
        y, x_place = random_place(uniform, patch - inner).astype(jnp.int32)
        kept = jax.lax.dynamic_slice(x, (y, x_place, 0), (inner, inner, x.shape[-1]))
        low, high = (patch - inner) // 2, (patch - inner + 1) // 2
        return jnp.pad(kept, ((low, high), (low, high), (0, 0)))

    def views(key: Array, example: Example) -> Array:
        image = image_of("cpc_patches", example, colour=sorted(colour, reverse=True))
        whole_key, patch_key = jax.random.split(key)
        square = one_by_one(whole)(whole_key, image, example.get("size"))
        patches = overlapping(square, patch, grid)
        return jax.vmap(treat)(jax.random.split(patch_key, grid * grid), patches)

    return views
