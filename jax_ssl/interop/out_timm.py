"""A folder for timm, `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

from typing import Any

from jax_ssl.encoders.resnet import ResNet
from jax_ssl.encoders.vit import ViT
from jax_ssl.interop.claims import RESNETS
from jax_ssl.interop.out_state import (
    TORCH_ALONE,
    Arrays,
    Taken,
    network_of,
    prepared,
    refuse,
    torch_state,
)

TORCH = f"{TORCH_ALONE}, and --to=hf is more free"


def timm_parts(taken: Taken) -> tuple[dict[str, Any], Arrays]:
    """The config and the state dict of a folder for timm.

    Raises:
        ValueError: if timm has no such network.
    """
    encoder = network_of(taken, "timm")
    classes = [] if taken.head is None else list(taken.head.classes)
    own = _resnet(encoder) if isinstance(encoder, ResNet) else _vit(encoder)
    seen = prepared(taken, encoder, "timm")
    args = {
        **own["model_args"],
        "in_chans": taken.channels,
        "num_classes": len(classes),
    }
    config = {
        **own,
        "model_args": args,
        "num_classes": len(classes),
        "pretrained_cfg": {
            "tag": "jax_ssl",
            "custom_load": False,
            "input_size": [taken.channels, seen.size, seen.size],
            "fixed_input_size": isinstance(encoder, ViT),
            "interpolation": seen.interpolation,
            "crop_pct": seen.size / seen.resize,
            "crop_mode": "center",
            "mean": seen.mean,
            "std": seen.std,
            "num_classes": len(classes),
            "first_conv": own["first_conv"],
            "classifier": own["classifier"],
        },
    }
    for name in ("first_conv", "classifier"):
        del config[name]
    if classes:
        config["label_names"] = classes
    return config, torch_state(taken, "timm")


def _resnet(encoder: ResNet) -> dict[str, Any]:
    name = RESNETS.get((encoder.stage_sizes, encoder.bottleneck))
    if name is None:
        refuse("timm", f"stage_sizes = {encoder.stage_sizes} is none of its", TORCH)
    if encoder.stem != "imagenet" or encoder.stem_padding not in (None, 3):
        said = f"stem = {encoder.stem!r}, stem_padding = {encoder.stem_padding}"
        refuse("timm", f"its ResNets have no stem of {said}", TORCH)
    if encoder.width != 1:
        refuse("timm", f"its ResNets are never {encoder.width} times as wide", TORCH)
    return {
        "architecture": name,
        "num_features": 512 * (4 if encoder.bottleneck else 1),
        "global_pool": "avg",
        "model_args": {},
        "first_conv": "conv1",
        "classifier": "fc",
    }


def _vit(encoder: ViT) -> dict[str, Any]:
    if encoder.norm_epsilon != 1e-6:
        said = f"norm_epsilon = {encoder.norm_epsilon} is not that of its ViTs, 1e-6"
        refuse("timm", said, "--to=hf has it")
    pool = "avg" if encoder.pool == "mean" else "token"
    return {
        "architecture": "vit_base_patch16_224",  # All that differs is told below.
        "num_features": encoder.dim,
        "global_pool": pool,
        "model_args": {
            "img_size": encoder.image_size,
            "patch_size": encoder.patch,
            "embed_dim": encoder.dim,
            "depth": encoder.depth,
            "num_heads": encoder.num_heads,
            "mlp_ratio": encoder.mlp_ratio,
            "init_values": encoder.layer_scale or None,
            "reg_tokens": encoder.registers,
            "no_embed_class": encoder.registers > 0,
            "global_pool": pool,
            "dynamic_img_size": True,
        },
        "first_conv": "patch_embed.proj",
        "classifier": "head",
    }
