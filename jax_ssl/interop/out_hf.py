"""A folder that transformers reads: `AutoModel.from_pretrained(FOLDER)`."""

from typing import Any

import numpy as np

from jax_ssl.encoders.class_tokens import ClassTokens
from jax_ssl.encoders.resnet import ResNet
from jax_ssl.encoders.vit import ViT
from jax_ssl.interop.out_names import (
    DINOV2,
    RESNET,
    VIT,
    torch_named,
    transformers_named,
)
from jax_ssl.interop.out_state import (
    TORCH_ALONE,
    Arrays,
    Taken,
    check_pooled,
    network_of,
    positioned,
    prepared,
    refuse,
    with_counters,
)

RESAMPLE = {"bilinear": 2, "bicubic": 3}  # Pillow's numbers.


def hf_parts(taken: Taken) -> tuple[dict[str, Any], dict[str, Any], Arrays]:
    """The config, the preprocessor's config and the state dict of a folder.

    Raises:
        ValueError: if transformers has no such network.
    """
    encoder = network_of(taken, "hf")
    seen = prepared(taken, encoder, "hf")
    if isinstance(encoder, ResNet):
        config, state = _resnet(taken, encoder)
    else:
        config, state = _vit(taken, encoder)
    name, base = config["architectures"][0], config.pop("base")
    if taken.head is not None:
        state = {f"{base}.{key}": value for key, value in state.items()}
        last = "classifier.1" if isinstance(encoder, ResNet) else "classifier"
        state |= {f"{last}.weight": taken.head.weight, f"{last}.bias": taken.head.bias}
        name = name.replace("Model", "ForImageClassification")
        config["id2label"] = {str(i): n for i, n in enumerate(taken.head.classes)}
        config["label2id"] = {n: i for i, n in enumerate(taken.head.classes)}
    config |= {"architectures": [name], "num_channels": taken.channels}
    config["dtype"] = "float32"
    processor = {
        # The one of ResNet and Dinov2: the shorter side is resized, the middle is cut.
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": taken.channels == 3,
        "do_resize": True,
        "size": {"shortest_edge": seen.resize},
        "resample": RESAMPLE[seen.interpolation],
        "do_center_crop": True,
        "crop_size": {"height": seen.size, "width": seen.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": seen.mean,
        "image_std": seen.std,
    }
    return config, processor, state


def _resnet(taken: Taken, encoder: ResNet) -> tuple[dict[str, Any], Arrays]:
    if encoder.stem != "imagenet" or encoder.stem_padding not in (None, 3):
        said = f"stem = {encoder.stem!r}, stem_padding = {encoder.stem_padding}"
        refuse("hf", f"its ResNets have no stem of {said}", TORCH_ALONE)
    widths = [64 * 2**i * encoder.width for i in range(len(encoder.stage_sizes))]
    config = {
        "model_type": "resnet",
        "architectures": ["ResNetModel"],
        "base": "resnet",
        "embedding_size": 64 * encoder.width,
        "hidden_sizes": [(4 if encoder.bottleneck else 1) * width for width in widths],
        "depths": list(encoder.stage_sizes),
        "layer_type": "bottleneck" if encoder.bottleneck else "basic",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
    }
    state = transformers_named(torch_named(taken.arrays, "resnet"), RESNET)
    return config, with_counters(state)


def _vit(taken: Taken, encoder: ViT) -> tuple[dict[str, Any], Arrays]:
    if encoder.pool == "mean":
        why = "its ViTs have no norm behind the mean of the patches (pool = 'mean')"
        refuse("hf", why, "--to=timm has")
    dinov2 = bool(encoder.layer_scale or encoder.registers or encoder.mask_token)
    if dinov2 and not encoder.layer_scale:
        said = "registers" if encoder.registers else "a mask token"
        refuse(
            "hf", f"its ViTs with {said} have layer scale too", "--to=timm needs none"
        )
    if taken.head is not None:
        _check_head(taken, dinov2)
    arrays = positioned(encoder, taken.arrays)
    state = torch_named(arrays, "vit", encoder.patch)
    found = transformers_named(state, DINOV2 if dinov2 else VIT)
    config: dict[str, Any] = {
        "model_type": "vit",
        "architectures": ["ViTModel"],
        "base": "vit",
        "hidden_size": encoder.dim,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.num_heads,
        "intermediate_size": int(encoder.dim * encoder.mlp_ratio),
        "image_size": encoder.image_size,
        "patch_size": encoder.patch,
        "layer_norm_eps": encoder.norm_epsilon,
        "hidden_act": "gelu",
        "qkv_bias": True,
    }
    if dinov2:
        if int(encoder.mlp_ratio) != encoder.mlp_ratio:
            refuse("hf", f"mlp_ratio = {encoder.mlp_ratio} must be whole in a Dinov2")
        del config["intermediate_size"]
        config["mlp_ratio"] = int(encoder.mlp_ratio)
        config["layerscale_value"] = encoder.layer_scale
        kind = "Dinov2WithRegisters" if encoder.registers else "Dinov2"
        words = "dinov2_with_registers" if encoder.registers else "dinov2"
        config |= {
            "model_type": words,
            "architectures": [f"{kind}Model"],
            "base": words,
        }
        if encoder.registers:
            config["num_register_tokens"] = encoder.registers
        zeros = np.zeros((1, encoder.dim), np.float32)
        found.setdefault("embeddings.mask_token", zeros)
    return config, found


def _check_head(taken: Taken, dinov2: bool) -> None:
    """Refuses a head that does not read what the classifiers there read."""
    encoder = taken.encoder
    if not dinov2:
        return check_pooled(taken, "hf")
    tokens = isinstance(encoder, ClassTokens) and encoder.blocks == 1
    if not (tokens and encoder.mean_patch):
        why = (
            "the head of its Dinov2 reads the last class token beside the mean patch "
            "token (class_tokens = 1, mean_patch = True), and this one does not"
        )
        refuse("hf", why, "--to=timm has others")
    return None
