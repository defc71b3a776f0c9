"""Small cases of all methods and encoders; the battery runs on each.

Those of newer methods stand in the method's own test file, as its `CASES`.
"""

import importlib
import pkgutil
from collections.abc import Iterable

import pytest

import tests.methods
from jax_ssl.augment import VIEWS
from tests.case import Case
from tests.images import (
    BATCH,
    SIZE,
    inner_crops,
    known_crops,
    labelled_image,
    one_image,
    one_view,
    plain_crops,
)

SMALL = {"hidden_dim": 16, "output_dim": 8}
DINO_HEAD = {"num_prototypes": 16, "hidden_dim": 32, "bottleneck_dim": 8}

# Its compilation takes two to three times as long as others: layers, registers and
# layer scale are left to the tests of encoders and heads.
DINOV2 = {
    **DINO_HEAD,
    "head_layers": 1,
    "num_patch_prototypes": 12,
    "momentum": 0.9,
    "centering": "center",
    "teacher_temperature": 0.05,
}
SMALL_VIT = {"name": "vit", "dim": 24, "depth": 1, "num_heads": 2, "patch": 2}
SMALL_VIT |= {"image_size": SIZE, "pool": "mean"}
MASKED_VIT = {**SMALL_VIT, "mask_token": True, "drop_path": 0.1}

METHODS_UNDER_TEST = {
    "simclr": Case("simclr", SMALL, share=0.7),
    # The real recipe, all of its operations switched on.
    "simclr-recipe": Case(
        "simclr", SMALL, VIEWS["two_crops"](size=SIZE, strength=0.3, min_scale=0.6)
    ),
    "simclr-groups": Case(
        "simclr",
        {**SMALL, "temperature": 0.5, "head_layers": 3},
        encoder={"name": "convnet", "widths": (8, 16), "groups": 4},
        learning_rate=0.005,
    ),
    "simclr-vit": Case(
        "simclr",
        SMALL,
        encoder={
            "name": "vit",
            "dim": 24,
            "depth": 1,
            "num_heads": 2,
            "patch": 4,
            "image_size": SIZE,
            # An untrained class token hardly depends on the image, and batch norm after
            # it magnifies rounding a thousandfold.
            "pool": "mean",
        },
        share=0.5,
    ),
    "byol": Case("byol", {**SMALL, "momentum": 0.9}, share=0.3),
    "byol-group-norm": Case(
        "byol",
        # Two features a group would be a sign function, which rounding flips.
        {"hidden_dim": 128, "output_dim": 8},
        encoder={"name": "convnet", "widths": (16, 32), "norm": "group_ws"},
        share=0.5,
    ),
    "simsiam": Case(
        "simsiam",
        {"hidden_dim": 16, "output_dim": 16, "predictor_dim": 8},
        least_loss=-1.0,
    ),
    "barlow_twins": Case("barlow_twins", SMALL, share=0.3, learning_rate=0.003),
    "vicreg": Case("vicreg", SMALL, share=0.5, learning_rate=0.002),
    "w_mse": Case(
        "w_mse",
        {"hidden_dim": 16, "output_dim": 3, "sub_batch_size": 8, "iterations": 2},
        share=0.4,
    ),
    "moco": Case(
        "moco",
        # Three past batches: four would hold the older keys of the same images.
        {"hidden_dim": 32, "output_dim": 16, "momentum": 0.9, "queue_size": 48},
        encoder={"name": "convnet", "widths": (8, 16), "pool": "flat", "groups": 4},
        share=0.5,
    ),
    "moco-symmetric": Case(
        "moco",
        {
            "output_dim": 8,
            "head_layers": 1,
            "symmetric": True,
            "momentum": 0.9,
            "queue_size": 64,
            "similarity": "ring",
        },
        share=0.6,
    ),
    "moco_v3": Case(
        "moco_v3",
        {
            "hidden_dim": 32,
            "output_dim": 8,
            "head_layers": 2,
            "predictor_norm": "none",
            "temperature": 0.5,
            "momentum": 0.9,
        },
        share=0.6,
    ),
    "swav": Case(
        "swav",
        {**SMALL, "num_prototypes": 12, "freeze_prototypes_steps": 2},
        inner_crops,
        # Codes that tell nothing apart would end at ln 12, which is 0.54 of it.
        share=0.45,
        learning_rate=0.04,
    ),
    "swav-recipe": Case(
        "swav",
        {**SMALL, "num_prototypes": 12, "freeze_prototypes_steps": 2},
        VIEWS["swav"](
            sizes=(SIZE, 6),
            counts=(2, 2),
            min_scales=(0.8, 0.5),
            max_scales=(1.0, 0.8),
            strength=0.1,
            gray_probability=0.0,
        ),
        share=0.5,
    ),
    "swav-queue": Case(
        "swav",
        {
            **SMALL,
            "num_prototypes": 12,
            "freeze_prototypes_steps": 0,
            # After one step, and two batches: read from the fourth step on.
            "queue_start_epoch": 0.25,
            "queue_size": 2 * BATCH,
        },
        share=0.45,
    ),
    "deepcluster": Case(
        "deepcluster",
        # The first labels have nothing to do with the images, and must be learned.
        {"num_clusters": 4, "hidden_dims": (256,), "dropout": 0.1},
        one_view,
        encoder={"name": "convnet", "widths": (8, 16), "pool": "flat"},
        share=0.75,
        learning_rate=0.05,
    ),
    "deepcluster_v2": Case(
        "deepcluster_v2",
        {**SMALL, "num_prototypes": 4, "num_heads": 2, "temperature": 0.3},
        known_crops,
        share=0.65,
        learning_rate=0.06,
    ),
    "npid": Case(
        "npid",
        {"output_dim": 8, "num_negatives": 24, "temperature": 0.3},
        one_view,
        encoder={"name": "convnet", "widths": (8, 16), "pool": "flat"},
        share=0.5,
        # At five times as much all images come to one point.
        learning_rate=0.001,
    ),
    "npid-softmax": Case(
        "npid",
        {"output_dim": 8, "objective": "softmax", "temperature": 0.2},
        one_view,
        learning_rate=0.005,
    ),
    "triplet": Case(
        "triplet", {"output_dim": 8, "margin": 0.5, "mining": "all"}, share=0.3
    ),
    "classifier": Case(
        "classifier",
        {"num_classes": 3, "mixup": 0.1, "cutmix": 0.1, "batch_norm": True},
        labelled_image,
        learning_rate=0.05,
    ),
    "mae": Case(
        "mae",
        {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2},
        one_image,
        encoder={
            "name": "vit",
            "dim": 24,
            "depth": 1,
            "num_heads": 2,
            "patch": 2,
            "image_size": SIZE,
            "positions": "sincos",
            "scheme": "mae",
        },
        share=0.5,
    ),
    "dino-convnet": Case(
        "dino",
        {
            **DINO_HEAD,
            "head_norm": "batch",
            "momentum": 0.9,
            "student_temperature": 0.3,
            "teacher_temperature": 0.1,
        },
        share=0.5,
    ),
    "dino": Case(
        "dino",
        {
            **DINO_HEAD,
            "hidden_dim": 256,
            "head_layers": 2,
            "norm_last_layer": False,
            "momentum": 0.9,
            "student_temperature": 0.3,
            "teacher_temperature": 0.1,
        },
        plain_crops,
        encoder={
            "name": "vit",
            "dim": 24,
            "depth": 1,
            "num_heads": 2,
            "patch": 4,
            "image_size": SIZE,
            "pool": "mean",
            "drop_path": 0.1,
        },
        share=0.5,
        steps=60,
    ),
    "dinov2": Case("dinov2", DINOV2, plain_crops, encoder=MASKED_VIT, share=0.5),
    # A random teacher of other widths, which stays as it is.
    "dinov2-distilled": Case(
        "dinov2_distillation",
        {**DINOV2, "teacher": {**MASKED_VIT, "dim": 32}},
        encoder=SMALL_VIT,
        share=0.6,
    ),
}

for found in pkgutil.iter_modules(tests.methods.__path__, "tests.methods."):
    METHODS_UNDER_TEST |= getattr(importlib.import_module(found.name), "CASES", {})


def one_a_method(names: Iterable[str]) -> list:
    """Cases as parameters of a test: further ones of a method's first are slow."""
    first = {case.method: name for name, case in reversed(METHODS_UNDER_TEST.items())}
    return [
        name if name in first.values() else pytest.param(name, marks=pytest.mark.slow)
        for name in names
    ]
