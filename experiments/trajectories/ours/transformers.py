"""Ours of DINO, DINOv2, MAE and MoCo v3."""

import given
import jax.numpy as jnp
import numpy as np

from jax_ssl.encoders.vit import ViT
from jax_ssl.methods.dino import dino
from jax_ssl.methods.dinov2 import dinov2
from jax_ssl.methods.mae import mae
from jax_ssl.methods.moco_v3 import moco_v3
from jax_ssl.ops.patches import Kept
from jax_ssl.optim.lars import lars
from jax_ssl.optim.optimizers import adamw
from jax_ssl.optim.schedules import after, cosine, linear, warmup_cosine
from ours.common import Case, crops, encoder, masked, pairs, same, stack


def vit(s, **settings):
    return ViT(
        dim=s["dim"],
        depth=s["depth"],
        num_heads=s["num_heads"],
        patch=s["patch"],
        image_size=given.SIDE,
        **settings,
    )


def of_dino(s):
    first, last, rise = s["teacher_temperature"]
    # It rises by epochs, and the last of them has the last value.
    temperature = linear(
        given.STEPS, 1, given.BATCH, init_value=first, end_value=last, epochs=rise - 1
    )
    method = dino(
        vit(s, resample=s.get("resample", "dino")),
        same,
        student_temperature=s["student_temperature"],
        teacher_temperature=temperature,
        momentum=cosine(
            given.STEPS, given.BATCH, init_value=s["momentum"], end_value=1.0
        ),
        center_momentum=s["center_momentum"],
        num_prototypes=s["num_prototypes"],
        hidden_dim=s["hidden_dim"],
        bottleneck_dim=s["bottleneck_dim"],
        norm_last_layer=s["norm_last_layer"],
    )
    first, last = s["weight_decay"]
    tx = adamw(
        learning_rate=warmup_cosine(
            given.STEPS,
            1,
            given.BATCH,
            peak_value=s["rate"],
            end_value=s["end_value"],
            warmup_steps=s["warmup"],
            warmup_form=s.get("warmup_form", "closed"),
        ),
        weight_decay=cosine(given.STEPS, given.BATCH, init_value=first, end_value=last),
        clip_each=s["clip_each"],
    )
    return method, tx


def of_dinov2(s):
    first, last, rise = s["teacher_temperature"]
    temperature = linear(
        given.STEPS, 1, given.BATCH, init_value=first, end_value=last, epochs=rise - 1
    )
    count = (given.SIDE // s["patch"]) ** 2
    hidden = given.hidden("dinov2", count).reshape(given.STEPS, -1, count)

    def method(masks):
        return dinov2(
            vit(
                s,
                resample="dino",
                mask_token=True,
                layer_scale=s["layer_scale"],
            ),
            same,
            masks,
            centering=s["centering"],
            student_temperature=s["student_temperature"],
            teacher_temperature=temperature,
            momentum=cosine(
                given.STEPS, given.BATCH, init_value=s["momentum"], end_value=1.0
            ),
            center_momentum=s["center_momentum"],
            patch_center=s.get("patch_center", "compared"),
            num_prototypes=s["num_prototypes"],
            hidden_dim=s["hidden_dim"],
            bottleneck_dim=s["bottleneck_dim"],
            patch_weight=s["patch_weight"],
            koleo_weight=s["koleo_weight"],
        )

    decay, blocks = s["layer_decay"], s["depth"]
    lowest = decay ** (blocks + 1)
    first, last = s["weight_decay"]
    tx = adamw(
        learning_rate=warmup_cosine(
            given.STEPS,
            1,
            given.BATCH,
            peak_value=s["rate"],
            end_value=s["end_value"],
            warmup_steps=s["warmup"],
            warmup_form=s.get("warmup_form", "closed"),
        ),
        weight_decay=cosine(given.STEPS, given.BATCH, init_value=first, end_value=last),
        factors=(
            ("^prototypes/", after(given.STEPS, 1, epochs=s["frozen"])),
            ("^encoder/patch_embed/", s["patch_factor"] * lowest),
            ("^encoder/(class_token|position_embed|mask_embed)$", lowest),
            *((f"^encoder/block{i}/", decay ** (blocks - i)) for i in range(blocks)),
        ),
    )
    return masked(method, lambda step: jnp.asarray(hidden)[step]), tx


def of_mae(s):
    count = (given.SIDE // s["patch"]) ** 2
    stay = count - int(count * s["mask_ratio"])
    orders = given.orders("mae", given.BATCH, count)
    places = np.argsort(orders, axis=-1).astype(np.int32)

    def kept(step):
        order, place = jnp.asarray(orders)[step], jnp.asarray(places)[step]
        return Kept(order[:, :stay], place, place >= stay)

    def method(masks):
        return mae(
            vit(s, positions="sincos", scheme="mae"),
            stack,
            masks,
            norm_pix=s["norm_pix"],
            decoder_width=s["decoder_width"],
            decoder_depth=s["decoder_depth"],
            decoder_heads=s["decoder_heads"],
        )

    return masked(method, kept), adamw(
        learning_rate=of_epochs(s),
        weight_decay=s["weight_decay"],
        b2=s["b2"],
        exclude=s.get("exclude", ("bias", "scale")),
    )


def of_epochs(s):
    """A warm-up by epochs of several steps, and a cosine to 0."""
    return warmup_cosine(
        given.STEPS,
        s["steps_per_epoch"],
        given.BATCH,
        peak_value=s["rate"],
        warmup_epochs=s["warmup"],
        warmup_form=s.get("warmup_form", "open"),
    )


def with_resnet(s):
    """MoCo v3 for a ResNet: LARS, and other settings of the heads."""
    method, _ = of_moco_v3(s, encoder())
    tx = lars(
        learning_rate=of_epochs(s),
        weight_decay=s["weight_decay"],
        momentum=s["velocity"],
        trust_coefficient=s["trust_coefficient"],
        rate=s.get("form", "outside"),
    )
    return method, tx


def of_moco_v3(s, network=None):
    method = moco_v3(
        network or vit(s, positions="sincos", scheme="moco_v3"),
        stack,
        temperature=s["temperature"],
        momentum=cosine(
            given.STEPS, given.BATCH, init_value=s["momentum"], end_value=1.0
        ),
        hidden_dim=s["hidden_dim"],
        output_dim=s["output_dim"],
        head_layers=s["head_layers"],
        predictor_norm=s["predictor_norm"],
    )
    still = () if s.get("patches_learn") else (("^encoder/patch_embed/", None),)
    tx = adamw(
        learning_rate=of_epochs(s),
        weight_decay=s["weight_decay"],
        exclude=s.get("exclude"),
        rates=still,
    )
    return method, tx


CASES = {
    "dino": Case(
        of_dino,
        crops("dino"),
        wrong={
            "momentum": 0.91,
            "center_momentum": 0.8,
            "student_temperature": 0.11,
            "warmup_form": "open",
            "teacher_temperature": (0.04, 0.07, 7),
            "weight_decay": (0.04, 0.04),
            "clip_each": None,
            "resample": "timm",
        },
        kept=("teacher", "center"),
    ),
    "dinov2": Case(
        of_dinov2,
        crops("dinov2"),
        wrong={
            "momentum": 0.91,
            "koleo_weight": 0.2,
            "patch_weight": 0.9,
            "patch_center": "all",
            "frozen": 3,
            "layer_decay": 0.8,
        },
        kept=("teacher", "center", "patch_center"),
    ),
    "mae": Case(
        of_mae,
        lambda: {"view": given.images("mae", given.SIDE, given.SIDE, 3)},
        wrong={"norm_pix": False, "b2": 0.999, "warmup": 2, "exclude": None},
    ),
    "dinov2_sinkhorn": Case(
        of_dinov2,
        crops("dinov2"),
        wrong={"centering": "center", "teacher_temperature": (0.04, 0.07, 7)},
        kept=("teacher",),
    ),
    "moco_v3_resnet": Case(
        with_resnet,
        pairs("moco_v3_resnet"),
        wrong={"temperature": 0.9, "momentum": 0.91, "form": "inside"},
        kept=("teacher",),
    ),
    "moco_v3": Case(
        of_moco_v3,
        pairs("moco_v3"),
        wrong={
            "temperature": 0.21,
            "momentum": 0.91,
            "patches_learn": True,
            "exclude": ("bias", "scale"),
        },
        kept=("teacher",),
    ),
}
