"""The settings of our encoder that the shapes of weights tell, and how it is fed."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jax_ssl.encoders.resnet import ResNet
from jax_ssl.encoders.vit import ViT
from jax_ssl.interop.claims import RESNETS, check_depth, check_has, check_stages
from jax_ssl.interop.families import Family, Input
from jax_ssl.interop.layouts import Arrays

OURS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")  # Encoders.
# Heads of published widths that are not 64 channels wide.
HEADS = {1152: 16, 1280: 16, 1408: 16, 1664: 16, 4096: 32}
WARPED = 384  # From this side on ConvNeXt's processor in transformers cuts nothing.
CONFIGURED = {  # Keys of a config.json of the hub's, and our settings.
    "layer_norm_eps": "norm_epsilon",
    "rope_theta": "rope_base",
}
PLAIN: Mapping[str, Any] = {  # Of transformers' ResNets, which no shape tells.
    "downsample_in_first_stage": False,
    "downsample_in_bottleneck": False,
    "hidden_act": "relu",
}
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "gelu",  # Of gated layers, which have no other.
}


def channels_of(arrays: Arrays) -> int:
    """How many channels the first layer reads; 0 where no array tells."""
    names = "stem.1.conv.weight", "conv1.weight", "patch_embed.proj.weight"
    first = next((arrays[name] for name in names if name in arrays), None)
    return 0 if first is None else int(first.shape[1])


def settings_of(encoder: Any) -> dict[str, Any]:
    """The settings of one of our modules, by name."""
    fields = dataclasses.fields(encoder)
    chosen = [f.name for f in fields if f.name not in ("parent", "name")]
    return {name: getattr(encoder, name) for name in chosen}


def count(arrays: Arrays, begin: str, first: int = 0) -> int:
    """How many numbers follow `begin` in names.

    Raises:
        ValueError: if one of them is left out, so that no number in a name asks for a
            network of its size.
    """
    matches = (re.match(rf"{re.escape(begin)}(\d+)\.", name) for name in arrays)
    numbers = {int(match[1]) for match in matches if match}
    for expected in range(first, first + len(numbers)):
        if expected not in numbers:
            raise ValueError(f"{begin}{expected} is missing")
    return len(numbers)


def resnet_of(
    arrays: Arrays,
    config: Mapping[str, Any] = PLAIN,
    chosen: Mapping[str, Any] = {},
) -> tuple[str, dict[str, Any]]:
    """Name and settings of the ResNet whose arrays have torchvision's names.

    Args:
        arrays: by those names.
        config: the hub's config.json; {} without.
        chosen: settings that were told; "stage_sizes" stand above what is known.

    Raises:
        ValueError: if ours has no such form, or blocks are missing.
    """
    for key, value in PLAIN.items():
        if config.get(key, value) != value:
            raise ValueError(f"{key} = {config[key]!r} is not built here")
    sizes: list[int] = []
    for stage in range(count(arrays, "layer", first=1)):
        sizes.append(count(arrays, f"layer{stage + 1}."))
    bottleneck = "layer1.0.conv3.weight" in arrays
    if "stage_sizes" not in chosen:
        check_stages(sizes, bottleneck, config)
    shape = arrays["conv1.weight"].shape
    if len(shape) != 4 or not all(shape):
        raise ValueError(f"conv1.weight has the shape {list(shape)}")
    out, _, side = shape[:3]
    mixed = arrays.get("layer1.0.sk.mix.weight")
    deep = "stem.1.conv.weight" in arrays
    if side not in (3, 7) or out % 64:
        raise ValueError(
            f"the first convolution has {out} filters of {side} pixels; our ResNets "
            "have a multiple of 64, of 7 pixels or of 3"
        )
    width = out // 64
    inner = arrays["layer1.0.conv1.weight"].shape[0] / out if bottleneck else 1
    conv2 = arrays["layer1.0.conv2.weight"].shape
    if conv2[0] != (1 if mixed is None else 2) * conv2[1] or inner != int(inner):
        raise ValueError(
            f"layer1.0.conv2.weight has the shape {list(conv2)}: convolutions in "
            "groups (ResNeXt) are not built here"
        )
    if mixed is not None:  # Where it is not bounded below: in the last stage.
        channels, squeezed = arrays[f"layer{len(sizes)}.0.sk.mix.weight"].shape[:2]
        sk_ratio = 2 * squeezed / channels
    otherwise = "resnet50" if bottleneck else "resnet18"
    name = RESNETS.get((tuple(sizes), bottleneck), otherwise)
    return name if name in OURS else otherwise, {
        "stage_sizes": tuple(sizes),
        "bottleneck": bottleneck,
        "stem": "imagenet" if side == 7 or deep else "small",
        "sk_ratio": 0.0 if mixed is None else sk_ratio,
        "width": width,
        "inner_width": int(inner),
    }


def vit_of(
    arrays: Arrays,
    family: str,
    heads: int | None,
    config: Mapping[str, Any],
    chosen: Mapping[str, Any] = {},
    has: Sequence[str] = (),
) -> tuple[str, dict[str, Any]]:
    """Name and settings of the ViT whose arrays have timm's names.

    Positions of the class token, where they are missing, are put in as zeros, and those
    of registers are added to these.

    Args:
        arrays: changed where a position moves.
        family: name of it.
        heads: if the shapes alone do not tell; None otherwise.
        config: the hub's config.json; {} without.
        chosen: settings that were told, which stand above what is known.
        has: settings that are on in every network of the family.

    Raises:
        ValueError: if ours has no such form, blocks are missing, or the heads must be
            told.
    """
    shape = arrays["patch_embed.proj.weight"].shape
    if len(shape) != 4 or not all(shape):
        raise ValueError(f"patch_embed.proj.weight has the shape {list(shape)}")
    dim, _, patch, other = shape
    if patch != other:
        raise ValueError(f"patches of {patch} x {other} pixels are not built here")
    depth = count(arrays, "blocks.")
    registers = arrays["reg_token"].shape[1] if "reg_token" in arrays else 0
    if not registers:
        arrays.pop("reg_token", None)
    gated = "blocks.0.mlp.gate.weight" in arrays
    hidden = len(arrays[f"blocks.0.mlp.{'gate' if gated else 'fc1'}.weight"])
    scaled = "blocks.0.ls1.gamma" in arrays
    settings: dict[str, Any] = {
        "dim": dim,
        "depth": depth,
        "patch": patch,
        "num_heads": heads or config.get("num_attention_heads") or _heads(dim, family),
        "registers": registers,
        "class_token": "cls_token" in arrays,
        "mask_token": "mask_token" in arrays,
        "mlp_ratio": hidden / dim,
        "feed_forward": "swiglu" if gated else "mlp",
        # The first value; the file's take its place.
        "layer_scale": 1e-5 if scaled else 0.0,
    }
    if "depth" not in chosen:
        check_depth(settings, config)
    check_has(has, settings, chosen, config)
    if "fc_norm.weight" in arrays:  # timm's name of a norm that follows the mean.
        for leaf in ("weight", "bias"):
            arrays[f"norm.{leaf}"] = arrays.pop(f"fc_norm.{leaf}")
        settings["pool"] = "mean"
    elif "attn_pool.latent" in arrays:
        settings["pool"] = "map"
    elif "cls_token" not in arrays:
        settings["pool"] = "normed_mean"
    if "pos_embed" not in arrays and family not in ("dinov3", "hf_dinov3"):
        raise ValueError(
            "it holds no positions; --from=dinov3 reads networks that rotate instead"
        )
    if "pos_embed" in arrays:
        settings |= {"positions": "learned", "image_size": patch * _grid(arrays)}
    if "mask_token" in arrays:
        arrays["mask_token"] = arrays["mask_token"].reshape(1, 1, dim)
    for key, name in CONFIGURED.items():
        if key in config:
            settings[name] = config[key]
    if "hidden_act" in config:
        if config["hidden_act"] not in ACTIVATIONS:
            raise ValueError(f"hidden_act = {config['hidden_act']!r} is not built here")
        settings["activation"] = ACTIVATIONS[config["hidden_act"]]
    sizes = {192: "vit_ti", 384: "vit_s", 768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
    return sizes.get(dim, "vit"), settings


def _grid(arrays: Arrays) -> int:
    """Side of the grid of positions, which are put in our order."""
    table = arrays["pos_embed"].reshape(-1, arrays["pos_embed"].shape[-1])
    front = int("cls_token" in arrays)
    registers = arrays["reg_token"].shape[1] if "reg_token" in arrays else 0
    for before in dict.fromkeys((front, 0, front + registers)):
        side = math.isqrt(max(0, len(table) - before))
        if side * side == len(table) - before and side:
            break
    else:
        raise ValueError(
            f"{len(table)} positions are those of no square grid, with or without "
            f"{front} class token and {registers} registers"
        )
    own, table = table[:before], table[before:]
    if before > front:
        arrays["reg_token"] = arrays["reg_token"] + own[front:]
    if front:
        first = own[:1] if before else np.zeros_like(table[:1])
        table = np.concatenate([first, table])
    arrays["pos_embed"] = table[None]
    return side


def _heads(dim: int, family: str) -> int:
    if family == "moco_v3" and dim == 384:
        return 12  # Its table 2; elsewhere networks of this width have 6.
    if dim in HEADS:
        return HEADS[dim]
    if dim % 64:
        raise ValueError(
            f"a width of {dim} does not tell the number of attention heads; say it by "
            "--heads=N"
        )
    return dim // 64


def module_of(network: str, settings: Mapping[str, Any]) -> Any:
    """Our encoder with these settings.

    Raises:
        ValueError: if there is no such setting, or not of this value.
    """
    module = {"resnet": ResNet, "vit": ViT}[network]
    known = [field.name for field in dataclasses.fields(module)]
    if unknown := sorted(settings.keys() - set(known)):
        raise ValueError(
            f"{module.__name__} has no setting {unknown[0]!r}; it has "
            f"{', '.join(n for n in known if n not in ('parent', 'name'))}"
        )
    return module(**settings)


def card_input(
    family: Family, size: int, channels: int, preprocessor: Mapping[str, Any]
) -> dict[str, Any]:
    """How the encoder is fed, as the card of an exported encoder says it.

    Args:
        family: whose images are prepared in this way,
        size: unless it says another one.
        channels: of the images.
        preprocessor: preprocessor_config.json, or pretrained_cfg of timm's config.json;
            {} without.
    """
    told, fed = preprocessor, family.input
    try:
        return _card_input(fed, size, channels, told)
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"the preprocessing that a file beside it tells is damaged ({error}); mend "
            "that file, or take it away"
        ) from error


def _card_input(
    fed: Input, size: int, channels: int, told: Mapping[str, Any]
) -> dict[str, Any]:
    mean, std = fed.moments or (None, None)
    mean, std = (
        told.get(f"image_{word}", told.get(word, value))
        for word, value in (("mean", mean), ("std", std))
    )
    if told.get("do_normalize") is False:
        mean = std = None
    if mean is None or std is None or len(mean) != channels:
        mean = std = None
    else:
        mean, std = tuple(map(float, mean)), tuple(map(float, std))
        if len(std) != channels or not all(x > 0 for x in std):
            raise ValueError(f"std = {list(std)}")
    crop, interpolation = fed.crop, fed.interpolation
    if "input_size" in told:
        size = int(told["input_size"][-1])
        crop = float(told.get("crop_pct", crop))
    elif told:
        size = _side(told.get("crop_size"), _side(told.get("size"), size))
        crop = size / _side(told.get("size"), size)
        if "crop_size" not in told and size < WARPED:
            crop = float(told.get("crop_pct") or crop)
    words: dict[Any, Any] = {
        2: "bilinear",
        3: "bicubic",
        "bilinear": "bilinear",
        "bicubic": "bicubic",
    }
    interpolation = words.get(
        told.get("interpolation", told.get("resample")), interpolation
    )
    resize = math.floor(size / crop + 1e-6)
    if not 1 <= size <= resize:
        raise ValueError(f"size = {size}, resize = {resize}")
    moments = {
        "mean": None if mean is None else list(mean),
        "std": None if std is None else list(std),
    }
    view = {"name": "center_crop", "size": size, "resize": resize} | {
        "interpolation": interpolation,
        **moments,
    }
    shape = [size, size, channels]
    told_in = {"size": size, "channels": channels, "layout": "NHWC", "range": [0, 1]}
    return {"shape": shape, "view": view, **told_in, **moments}


def _side(size: Any, otherwise: int) -> int:
    if isinstance(size, Mapping):
        size = size.get("shortest_edge", size.get("height"))
    return int(size) if isinstance(size, int) else otherwise
