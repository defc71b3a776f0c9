"""The views of papers: settings of `random_crops`, and two shapes made of it.

Settings have the same names throughout. `size` is the side of a view, `min_scale` and
`max_scale` bound the share of the image's area that a crop takes, `strength` multiplies
the amounts of the colour jitter, `..._probability` is that of a step (0 leaves it out),
and `mean` and `std` standardize each channel at the end (None leaves values in [0, 1]).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from jax_ssl.augment.crop import RandomCrop
from jax_ssl.augment.exemplar import exemplar
from jax_ssl.augment.pixels import IMAGENET_MEAN, IMAGENET_STD
from jax_ssl.augment.randaugment import first_rand_augment
from jax_ssl.augment.recipe import Recipe, View
from jax_ssl.augment.steps import Blur, ColorJitter, Grayscale, Standardize
from jax_ssl.augment.views import center_crop, random_crops, two_crops
from jax_ssl.core import checks
from jax_ssl.core.method import ViewFn

STANDARDIZED: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
PLAIN: dict[str, Any] = {
    **STANDARDIZED,
    "strength": 0.0,
    "gray_probability": 0.0,
    "blur_probability": 0.0,
}
BYOL_JITTER = (0.4, 0.4, 0.2, 0.1)
Pair = tuple[float, float]


def swav(
    *,
    sizes: tuple[int, ...] = (224, 96),
    counts: tuple[int, ...] = (2, 6),
    min_scales: tuple[float, ...] = (0.14, 0.05),
    max_scales: tuple[float, ...] = (1.0, 0.14),
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    strength: float = 1.0,
    gray_probability: float = 0.2,
    blur_probability: float = 0.5,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = (0.228, 0.224, 0.225),
    carried: tuple[str, ...] = (),
) -> Recipe:
    """SwAV (arXiv 2006.09882), section 3.2 and appendix A; any mix of sizes.

    Without small crops the paper has `sizes=(224,)` and `min_scales=(0.08,)`.

    Args:
        sizes: side of the crops of each stack.
        counts: crops in each stack.
        min_scales: smallest share of the area, for each stack.
        max_scales: largest.
        interpolation: antialiased filter of the resize.
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
    lengths = {len(sizes), len(counts), len(min_scales), len(max_scales)}
    if len(lengths) != 1 or not sizes:
        raise ValueError(
            f"sizes = {sizes}, counts = {counts}, min_scales = {min_scales} and "
            f"max_scales = {max_scales} need one entry per stack of crops."
        )
    stacks = {}
    numbers = zip(sizes, counts, min_scales, max_scales, strict=True)
    for i, (size, count, min_scale, max_scale) in enumerate(numbers):
        name = ("global", "local")[i] if i < 2 else f"local_{i}"
        stacks[name] = random_crops(
            num_views=count,
            size=size,
            min_scale=min_scale,
            max_scale=max_scale,
            interpolation=interpolation,
            strength=strength,
            gray_probability=gray_probability,
            blur_probability=blur_probability,
            blur_kernel="pillow",
            mean=mean,
            std=std,
        ).parts()[""]
    return Recipe("swav", stacks, carried)


def dino(
    *,
    global_size: int = 224,
    local_size: int = 96,
    num_locals: int = 8,
    global_scale: Pair = (0.4, 1.0),
    local_scale: Pair = (0.05, 0.4),
    strength: float = 1.0,
    gray_probability: float = 0.2,
    global_blurs: Pair = (1.0, 0.1),
    local_blur: float = 0.5,
    solarize_probabilities: Pair = (0.0, 0.2),
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> Recipe:
    """DINO (arXiv 2104.14294), section 3.2; ViT's scales.

    For ResNet-50 the released settings are `global_scale=(0.14, 1.0)` and
    `local_scale=(0.05, 0.14)`.

    Args:
        global_size: side of the two large crops.
        local_size: side of the small ones.
        num_locals: how many small ones; with 0 there is no "local".
        global_scale: smallest and largest share of the area in the large crops.
        local_scale: smallest and largest share of the area in the small ones.
        strength: multiplies the jitter's amounts.
        gray_probability: that a view loses its colours.
        global_blurs: probability of blur in the first and second large crop.
        local_blur: probability of blur in the small ones.
        solarize_probabilities: of the first and second large crop.
        mean: subtracted.
        std: divided by.

    Returns:
        {"global": [2, global_size, global_size, 3],
        "local": [num_locals, local_size, local_size, 3]}, standardized.
    """
    crops = partial(
        random_crops,
        jitter=BYOL_JITTER,
        strength=strength,
        gray_probability=gray_probability,
        blur_kernel="pillow",
        mean=mean,
        std=std,
    )
    pair = crops(
        size=global_size,
        min_scale=global_scale[0],
        max_scale=global_scale[1],
        blur_probability=global_blurs,
        solarize_probability=solarize_probabilities,
    )
    stacks = {"global": pair.parts()[""]}
    if num_locals:
        small = crops(
            num_views=num_locals,
            size=local_size,
            min_scale=local_scale[0],
            max_scale=local_scale[1],
            blur_probability=local_blur,
        )
        stacks["local"] = small.parts()[""]
    return Recipe("dino", stacks)


def infomin(
    *,
    size: int = 224,
    min_scale: float = 0.2,
    strength: float = 1.0,
    blur_probability: float = 0.5,
    rand_augment_ops: int = 2,
    rand_augment_magnitude: float = 10.0,
    gray_probability: float = 0.2,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> Recipe:
    """InfoMin (arXiv 2005.10243): views that share as little as the task allows.

    The pair of its released code, augmentation "D": crop and mirror, SimCLR's jitter
    and blur, then RandAugment, and gray last. The settings come in this order. That
    code's geometric operations choose between two filters, here they are bicubic.

    Args:
        size: side of the views.
        min_scale: smallest share of the image's area.
        strength: multiplies the jitter's amounts.
        blur_probability: that a view is blurred.
        rand_augment_ops: operations of RandAugment in a row, 0 for none.
        rand_augment_magnitude: their mean strength, up to 10.
        gray_probability: that a view loses its colours.
        mean: subtracted.
        std: divided by.

    Returns:
        [2, size, size, 3], standardized.
    """
    checks.within("[0, 10]", rand_augment_magnitude=rand_augment_magnitude)
    view = View(
        RandomCrop(size=size, min_scale=min_scale, interpolation="bilinear"),
        ColorJitter(strength=strength),
        Blur(probability=blur_probability),
        first_rand_augment(num_ops=rand_augment_ops, magnitude=rand_augment_magnitude),
        Grayscale(probability=gray_probability),
        Standardize(mean, std),
    )
    return Recipe("infomin", (view, view))


# NPID, instance discrimination (arXiv 1805.01978), as its released code has it: gray
# comes before the jitter. On CIFAR-10 that code has size=32, flip=0, and gray after the
# jitter, gray_first=False.
npid = partial(
    random_crops,
    num_views=None,
    min_scale=0.2,
    interpolation="bilinear",
    jitter=(0.4, 0.4, 0.4, 0.4),
    jitter_probability=1.0,
    gray_first=True,
    blur_probability=0.0,
    carried=("index",),
    **STANDARDIZED,
)
# MoCo v2 (arXiv 2003.04297), "aug+"; numbers of the released code.
moco_v2 = partial(
    two_crops,
    min_scale=0.2,
    interpolation="bilinear",
    jitter=(0.4, 0.4, 0.4, 0.1),
    blur_kernel="pillow",
    **STANDARDIZED,
)
# Barlow Twins (arXiv 2103.03230), section 2.2: two views of different distributions,
# BYOL's in torchvision's operations. The first view is always blurred and never
# solarized, the second seldom blurred and sometimes solarized.
barlow_twins = partial(
    two_crops,
    jitter=BYOL_JITTER,
    blur_probability=(1.0, 0.1),
    blur_kernel="pillow",
    solarize_probability=(0.0, 0.2),
    **STANDARDIZED,
)
# DeepCluster (arXiv 1807.05520): a random crop and a mirror image. The
# images that are clustered are seen through `supervised_test`.
deepcluster = partial(
    random_crops,
    num_views=None,
    interpolation="bilinear",
    carried=("index",),
    **PLAIN,
)

PAPERS: dict[str, Callable[..., ViewFn]] = {
    "barlow_twins": barlow_twins,
    # BYOL (arXiv 2006.07733), appendix B. As in the released code, crops that do not
    # fit are clipped, brightness is an offset and the blur has 23 taps at 224 pixels.
    # That code's saturation scales the one of HSV, and its contrast is about each
    # channel's own mean; here both are Pillow's (see `color.apply_jitter`).
    "byol": partial(
        barlow_twins, sampling="clipped", brightness="additive", blur_kernel="sampled"
    ),
    # CMC (arXiv 1906.05849): crop and mirror alone, in [0, 1]; 0.08 for its ResNets.
    "cmc": partial(deepcluster, min_scale=0.2, mean=None, std=None),
    "deepcluster": deepcluster,
    "dino": dino,
    "exemplar": exemplar,
    "infomin": infomin,
    # MAE (arXiv 2111.06377), appendix A.1: crop and mirror alone, as in its table 1e.
    # The released code clips crops that do not fit in the linear probe alone, where
    # `supervised` has sampling="clipped", and draws them again here.
    "mae": partial(random_crops, num_views=None, min_scale=0.2, **PLAIN),
    # MoCo (arXiv 1911.05722), section 3.3: two views, the query and the key.
    "moco_v1": partial(npid, num_views=2, carried=()),
    "moco_v2": moco_v2,
    # MoCo v3 (arXiv 2104.02057), the released code; for ResNets min_scale=0.2.
    "moco_v3": partial(barlow_twins, interpolation="bilinear"),
    "npid": npid,
    # SimCLR (arXiv 2002.05709): on ImageNet appendix A, whose numbers are the defaults;
    # on CIFAR-10 appendix B.9, with half the colours and no blur. Neither standardizes.
    "simclr": two_crops,
    "simclr_cifar": partial(two_crops, size=32, strength=0.5, blur_probability=0.0),
    # SimSiam (arXiv 2011.10566), section 3: MoCo v2's numbers; no blur on CIFAR-10.
    "simsiam": moco_v2,
    # SupCon (arXiv 2004.11362): the numbers of the authors' PyTorch code, for CIFAR-10.
    # Its mean and deviation are the data set's; at 224 pixels the paper has AutoAugment
    # and others.
    "supcon": partial(moco_v2, blur_probability=0.0, carried=("label",)),
    # Training with labels: the crop of Inception (arXiv 1409.4842) and a mirror image.
    # The fine-tuning of MAE (arXiv 2111.06377, table 9) has rand_augment_ops=2 and, in
    # its released code, erase_probability=0.25.
    "supervised": partial(deepcluster, carried=("label",)),
    # The middle of an image whose shorter side was resized; the same for every key.
    "supervised_test": partial(
        center_crop, size=224, resize=256, interpolation="bilinear", **STANDARDIZED
    ),
    "swav": swav,
    # VICReg (arXiv 2105.04906), appendix C: the views of Barlow Twins.
    "vicreg": barlow_twins,
    # W-MSE (arXiv 2007.06346): the numbers of the released code. The defaults are those
    # for ImageNet-100, which is also blurred, blur_probability=0.5; CIFAR-10 and 100
    # have size=32, min_scale=0.2, jitter=(0.4, 0.4, 0.4, 0.1), gray_probability=0.1 and
    # no blur; four views are num_views=4.
    # The released code jitters the whole image before it cuts, here the cut comes
    # first. They differ in the grey that contrast is about, the image's or the view's,
    # and in the rounding of the resize.
    "w_mse": partial(
        two_crops, blur_probability=0.0, blur_kernel="pillow", **STANDARDIZED
    ),
}
