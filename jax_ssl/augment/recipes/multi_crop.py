"""A few large crops and many small ones: SwAV and DINO."""

from collections.abc import Sequence

from jax_ssl.augment.pixels import IMAGENET_MEAN, IMAGENET_STD
from jax_ssl.augment.recipe import Recipe, View
from jax_ssl.augment.steps import (
    Blur,
    ColorJitter,
    Grayscale,
    RandomCrop,
    Solarize,
    Standardize,
)
from jax_ssl.core.method import ViewFn


def swav(
    *,
    sizes: tuple[int, ...] = (224, 96),
    counts: tuple[int, ...] = (2, 6),
    min_scales: tuple[float, ...] = (0.14, 0.05),
    max_scales: tuple[float, ...] = (1.0, 0.14),
    strength: float = 1.0,
    gray_probability: float = 0.2,
    blur_probability: float = 0.5,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = (0.228, 0.224, 0.225),
    carried: tuple[str, ...] = (),
) -> ViewFn:
    """SwAV (arXiv 2006.09882), section 3.2 and appendix A; any mix of sizes.

    Without small crops the paper has `sizes=(224,)` and `min_scales=(0.08,)`.

    Args:
        sizes: side of the crops of each stack.
        counts: crops in each stack.
        min_scales: smallest share of the area, for each stack.
        max_scales: largest.
        strength: multiplies the jitter's amounts.
        gray_probability: that a view loses its colours.
        blur_probability: that it is blurred.
        mean: subtracted.
        std: divided by; the red 0.228 is the released code's, elsewhere it is 0.229.
        carried: fields of the example to hand over, ("index",) for DeepCluster-v2.

    Returns:
        {"global": [counts[0], sizes[0], sizes[0], 3], "local": [counts[1], ...]},
        "local_2", "local_3"... for further sizes, and what is carried.

    Raises:
        ValueError: if the four tuples differ in length, or a count is below 1.
    """
    stacks = {}
    lengths = {len(sizes), len(counts), len(min_scales), len(max_scales)}
    if len(lengths) != 1 or not sizes or min(counts) < 1:
        raise ValueError(
            f"swav: sizes = {sizes}, counts = {counts}, min_scales = {min_scales} and "
            f"max_scales = {max_scales} need one entry per stack, counts from 1 up."
        )
    for i, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        view = View(
            RandomCrop(
                size=size,
                min_scale=min_scales[i],
                max_scale=max_scales[i],
                interpolation="bilinear",
            ),
            ColorJitter(amounts=(0.8, 0.8, 0.8, 0.2), strength=strength),
            Grayscale(probability=gray_probability),
            Blur(probability=blur_probability, kernel="pillow"),
            Standardize(mean, std),
        )
        name = ("global", "local")[i] if i < 2 else f"local_{i}"
        stacks[name] = (view,) * count
    return Recipe("swav", stacks, carried)


def dino(
    *,
    global_size: int = 224,
    local_size: int = 96,
    num_locals: int = 8,
    global_scale: tuple[float, float] = (0.4, 1.0),
    local_scale: tuple[float, float] = (0.05, 0.4),
    strength: float = 1.0,
    gray_probability: float = 0.2,
    global_blurs: tuple[float, float] = (1.0, 0.1),
    local_blur: float = 0.5,
    solarize_probabilities: tuple[float, float] = (0.0, 0.2),
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> ViewFn:
    """DINO (arXiv 2104.14294), section 3.2 and appendix E; ViT's scales.

    For ResNet-50 the released settings are `global_scale=(0.14, 1.0)` and
    `local_scale=(0.05, 0.14)`.

    Args:
        global_size: side of the two large crops.
        local_size: side of the small ones.
        num_locals: how many small ones; with 0 there is no "local".
        global_scale: smallest and largest share of the area.
        local_scale: likewise.
        strength: multiplies the jitter's amounts.
        gray_probability: that a view loses its colours.
        global_blurs: probability of blur in the first and second large crop.
        local_blur: in the small ones.
        solarize_probabilities: of the first and second large crop.
        mean: subtracted.
        std: divided by.

    Returns:
        {"global": [2, global_size, global_size, 3],
        "local": [num_locals, local_size, local_size, 3]}, standardized.
    """

    def view(size: int, scale: tuple[float, float], blur: float, solar: float) -> View:
        return View(
            RandomCrop(size=size, min_scale=scale[0], max_scale=scale[1]),
            ColorJitter(amounts=(0.4, 0.4, 0.2, 0.1), strength=strength),
            Grayscale(probability=gray_probability),
            Blur(probability=blur, kernel="pillow"),
            Solarize(probability=solar),
            Standardize(mean, std),
        )

    globals_ = (
        view(global_size, global_scale, global_blurs[0], solarize_probabilities[0]),
        view(global_size, global_scale, global_blurs[1], solarize_probabilities[1]),
    )
    local = view(local_size, local_scale, local_blur, 0.0)
    stacks = {"global": globals_, "local": (local,) * num_locals}
    return Recipe("dino", {name: stack for name, stack in stacks.items() if stack})
