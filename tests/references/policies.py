"""The laws of RandAugment's steps and of mixing, as timm and torchvision draw them."""

import math

import numpy as np

TIMM = (
    "autocontrast", "equalize", "invert", "rotate", "posterize", "solarize",
    "solarize_add", "color", "contrast", "brightness", "sharpness", "shear_x",
    "shear_y", "translate_x", "translate_y",
)  # fmt: skip
TORCHVISION = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate",
    "brightness", "color", "contrast", "sharpness", "posterize", "solarize",
    "autocontrast", "equalize",
)  # fmt: skip
ENHANCEMENTS = ("color", "contrast", "brightness", "sharpness")


def timm_amount(name, magnitude, sign, height, width, increasing=True):
    """The argument of an operation, "increasing" or not, at a magnitude of 0 to 10."""
    m = magnitude / 10
    if name in ENHANCEMENTS:
        return max(0.1, 1 + sign * 0.9 * m) if increasing else 0.1 + 1.8 * m
    if not increasing and name in ("posterize", "solarize"):
        return int(m * {"posterize": 4, "solarize": 256}[name])
    return {
        "rotate": sign * 30 * m,
        "shear_x": sign * 0.3 * m,
        "shear_y": sign * 0.3 * m,
        "translate_x": sign * 0.45 * m * width,
        "translate_y": sign * 0.45 * m * height,
        "posterize": 4 - int(m * 4),
        "solarize": 256 - min(256, int(m * 256)),
        "solarize_add": min(128, int(m * 110)),
    }.get(name, 0.0)


def timm_step(rng, magnitude, std, probability, height, width, increasing=True):
    name = TIMM[rng.integers(len(TIMM))]
    if rng.random() > probability:
        return "identity", 0.0
    drawn = min(10.0, max(0.0, rng.normal(magnitude, std)))
    sign = rng.choice([-1, 1])
    return name, timm_amount(name, drawn, sign, height, width, increasing)


def torchvision_step(rng, magnitude, bins, height, width):
    name = TORCHVISION[rng.integers(len(TORCHVISION))]
    share, sign = magnitude / (bins - 1), rng.choice([-1, 1])
    if name in ENHANCEMENTS:
        return name, 1 + sign * 0.9 * share
    amount = {
        "rotate": sign * 30 * share,
        "shear_x": sign * 0.3 * share,
        "shear_y": sign * 0.3 * share,
        "translate_x": sign * int(150 / 331 * width * share),
        "translate_y": sign * int(150 / 331 * height * share),
        "posterize": 8 - round(share * 4),
        "solarize": 255 - 255 * share,
    }.get(name, 0.0)
    return name, amount


def mix_parameters(rng, mixup, cutmix, probability, switch, height, width):
    """(share, (top, left, height, width), weight) of one batch."""
    if rng.random() >= probability:
        return 1.0, (0, 0, 0, 0), 1.0
    if mixup > 0 and (cutmix == 0 or rng.random() >= switch):
        share = rng.beta(mixup, mixup)
        return share, (0, 0, 0, 0), share
    side = math.sqrt(1 - rng.beta(cutmix, cutmix))
    tall, wide = int(height * side), int(width * side)
    y, x = rng.integers(0, height), rng.integers(0, width)
    top, bottom = max(0, y - tall // 2), min(height, y + (tall + 1) // 2)
    left, right = max(0, x - wide // 2), min(width, x + (wide + 1) // 2)
    inside = (bottom - top) * (right - left)
    return 1 - inside / (height * width), (top, left, bottom - top, right - left), 1.0


def mixed(images, targets, share, box, weight):
    """Row i with row n - 1 - i, in loops."""
    top, left, tall, wide = box
    out, labels = images.astype(np.float64), targets.astype(np.float64)
    for i in range(len(images)):
        j = len(images) - 1 - i
        out[i] = weight * images[i] + (1 - weight) * images[j]
        patch = np.s_[top : top + tall, left : left + wide]
        out[i][patch] = images[j][patch]
        labels[i] = share * targets[i] + (1 - share) * targets[j]
    return out, labels
