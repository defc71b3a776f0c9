"""Cases in which our encoders are compared with torchvision and timm."""

RESNETS = {
    # Even sides, at which "SAME" padding and symmetric padding differ.
    "resnet18": {"layers": 18, "stem": "imagenet", "size": (40, 36)},
    "resnet18_small": {"layers": 18, "stem": "small", "size": (16, 12)},
    "resnet50": {"layers": 50, "stem": "imagenet", "size": (40, 36)},
}

VITS = {
    "class": {"patch": 4, "image_size": 16, "depth": 3, "size": (16, 16)},
    "mean": {
        "patch": 16,
        "image_size": 48,
        "depth": 2,
        "size": (48, 48),
        "pool": "mean",
    },
    "resampled": {"patch": 4, "image_size": 16, "depth": 1, "size": (24, 12)},
    "scaled": {
        "patch": 4,
        "image_size": 16,
        "depth": 2,
        "size": (16, 16),
        "layer_scale": 0.1,
        "registers": 2,
    },
}
