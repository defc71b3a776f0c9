"""One view of an image: MAE, NPID, DeepCluster, and training with labels."""

from collections.abc import Sequence
from typing import Literal

from jax_ssl.augment.label_steps import RandAugment, RandomErasing
from jax_ssl.augment.pixels import IMAGENET_MEAN, IMAGENET_STD
from jax_ssl.augment.recipe import Recipe, View
from jax_ssl.augment.steps import ColorJitter, Grayscale, RandomCrop, Standardize
from jax_ssl.augment.views import center_crop
from jax_ssl.core.method import ViewFn


def mae(
    *,
    size: int = 224,
    min_scale: float = 0.2,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> ViewFn:
    """MAE (arXiv 2111.06377), appendix A.1: crop and mirror alone, as in its table 1e.

    Crops that do not fit are clipped, as in the released code.

    Returns:
        View [size, size, C], standardized.
    """
    crop = RandomCrop(size=size, min_scale=min_scale, sampling="clipped")
    return Recipe("mae", View(crop, Standardize(mean, std)))


def npid(
    *,
    size: int = 224,
    min_scale: float = 0.2,
    flip: float = 0.5,
    strength: float = 1.0,
    gray_probability: float = 0.2,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> ViewFn:
    """NPID, instance discrimination (arXiv 1805.01978), as its released code has it.

    On CIFAR-10 that code has `size=32, flip=0`.

    Returns:
        {"image": [size, size, 3] standardized, "index": [] int32}.
    """
    view = View(
        RandomCrop(size=size, min_scale=min_scale, interpolation="bilinear", flip=flip),
        Grayscale(probability=gray_probability),
        ColorJitter(amounts=(0.4, 0.4, 0.4, 0.4), strength=strength, probability=1.0),
        Standardize(mean, std),
    )
    return Recipe("npid", {"image": view}, carried=("index",))


def deepcluster(
    *,
    size: int = 224,
    min_scale: float = 0.08,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> ViewFn:
    """DeepCluster (arXiv 1807.05520), section 4: a random crop and a mirror image.

    The images that are clustered are seen through `supervised_test`.

    Returns:
        {"image": [size, size, C] standardized, "index": [] int32}.
    """
    crop = RandomCrop(size=size, min_scale=min_scale, interpolation="bilinear")
    view = View(crop, Standardize(mean, std))
    return Recipe("deepcluster", {"image": view}, carried=("index",))


def supervised(
    *,
    size: int = 224,
    min_scale: float = 0.08,
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    rand_augment_ops: int = 0,
    rand_augment_magnitude: float = 9.0,
    erase_probability: float = 0.0,
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> ViewFn:
    """Training with labels: the crop of Inception (arXiv 1409.4842), section 6, mirror.

    The fine-tuning of MAE (arXiv 2111.06377, table 9) has `rand_augment_ops=2` and, in
    its released code, `erase_probability=0.25`. A box is erased with noise, behind the
    standardization.

    Returns:
        {"image": [size, size, C] standardized, "label": [] int32}.
    """
    view = View(
        RandomCrop(size=size, min_scale=min_scale, interpolation=interpolation),
        RandAugment(num_ops=rand_augment_ops, magnitude=rand_augment_magnitude),
        Standardize(mean, std),
        RandomErasing(probability=erase_probability),
    )
    return Recipe("supervised", {"image": view}, carried=("label",))


def supervised_test(
    *,
    size: int = 224,
    resize: int = 256,
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    mean: Sequence[float] | None = IMAGENET_MEAN,
    std: Sequence[float] | None = IMAGENET_STD,
) -> ViewFn:
    """The middle of an image whose shorter side was resized; the same for every key.

    Returns:
        View [size, size, C], standardized.
    """
    return center_crop(
        size=size, resize=resize, interpolation=interpolation, mean=mean, std=std
    )
