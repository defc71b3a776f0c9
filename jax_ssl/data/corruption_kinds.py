"""The fifteen corruptions of ImageNet-C by name, and their amounts at five severities.

Numbers of Hendrycks & Dietterich's released code (arXiv:1903.12261), ImageNet-C's for
images of 96 pixels a side and more, else CIFAR-10-C's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jax_ssl.core import checks
from jax_ssl.data.corruptions import (
    Corruption,
    brightness,
    contrast,
    defocus_blur,
    elastic_transform,
    fog,
    frost,
    gaussian_noise,
    glass_blur,
    impulse_noise,
    in_bytes,
    jpeg_compression,
    motion_blur,
    pixelate,
    shot_noise,
    snow,
    zoom_blur,
)

SMALL = 96  # Pixels a side, below which CIFAR-10-C's amounts hold.
SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Kind:
    """A corruption and its amounts at severities 1 to 5."""

    apply: Corruption
    imagenet: tuple
    cifar: tuple
    group: str


KINDS: Mapping[str, Kind] = {
    "gaussian_noise": Kind(
        gaussian_noise,
        (0.08, 0.12, 0.18, 0.26, 0.38),
        (0.04, 0.06, 0.08, 0.09, 0.10),
        "noise",
    ),
    "shot_noise": Kind(
        shot_noise, (60, 25, 12, 5, 3), (500, 250, 100, 75, 50), "noise"
    ),
    "impulse_noise": Kind(
        impulse_noise,
        (0.03, 0.06, 0.09, 0.17, 0.27),
        (0.01, 0.02, 0.03, 0.05, 0.07),
        "noise",
    ),
    "defocus_blur": Kind(
        defocus_blur,
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "blur",
    ),
    "glass_blur": Kind(
        glass_blur,
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "blur",
    ),
    "motion_blur": Kind(
        motion_blur,
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "blur",
    ),
    "zoom_blur": Kind(
        zoom_blur,
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "blur",
    ),
    "snow": Kind(
        snow,
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "weather",
    ),
    "frost": Kind(
        frost,
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        "weather",
    ),
    "fog": Kind(
        fog,
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "weather",
    ),
    "brightness": Kind(
        brightness, (0.1, 0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.15, 0.2, 0.3), "weather"
    ),
    "contrast": Kind(
        contrast, (0.4, 0.3, 0.2, 0.1, 0.05), (0.75, 0.5, 0.4, 0.3, 0.15), "digital"
    ),
    # Shares of the side; ImageNet-C's are of 244, where images have 224.
    "elastic_transform": Kind(
        elastic_transform,
        tuple(
            tuple(244 / 224 * share for share in each)
            for each in (
                (2, 0.7, 0.1),
                (2, 0.08, 0.2),
                (0.05, 0.01, 0.02),
                (0.07, 0.01, 0.02),
                (0.12, 0.01, 0.02),
            )
        ),
        (
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        "digital",
    ),
    "pixelate": Kind(
        pixelate, (0.6, 0.5, 0.4, 0.3, 0.25), (0.95, 0.9, 0.85, 0.75, 0.65), "digital"
    ),
    "jpeg_compression": Kind(
        jpeg_compression, (25, 18, 15, 10, 7), (80, 65, 58, 50, 40), "digital"
    ),
}


def corrupt(
    image: np.ndarray, kind: str, severity: int, rng: np.random.Generator
) -> np.ndarray:
    """One corrupted image.

    Args:
        image: [n, n, 3] uint8.
        kind: of `KINDS`.
        severity: 1 to 5.
        rng: of all that is random in it.

    Returns:
        [n, n, 3] uint8.

    Raises:
        ValueError: for another kind or severity.
    """
    checks.one_of(tuple(KINDS), kind=kind)
    checks.one_of(SEVERITIES, severity=severity)
    own = KINDS[kind]
    amounts = own.cifar if len(image) < SMALL else own.imagenet
    return in_bytes(own.apply(image / 255, amounts[severity - 1], rng))
