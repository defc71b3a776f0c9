"""What is taken elsewhere: an encoder's arrays by name, perhaps with a linear head."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict

from jax_ssl.core.types import Variables
from jax_ssl.encoders.class_tokens import ClassTokens
from jax_ssl.encoders.resnet import ResNet
from jax_ssl.encoders.vit import ViT
from jax_ssl.interop.out_names import torch_named
from jax_ssl.ops.positions import sincos_positions

Arrays = dict[str, np.ndarray]

ANYWHERE = (
    "--to=npz and --to=safetensors hold every encoder under our names, and --to=onnx "
    "runs every encoder of images"
)
TORCH_ALONE = "--to=torch writes its arrays by torchvision's names"
EPSILON = 1e-6  # Of the batch norm before a linear head, see `nn.heads.LinearHead`.
# Settings of a ViT that its tables and configs speak of, or that change no feature.
SPOKEN = (
    *("dim", "depth", "num_heads", "patch", "image_size", "pool", "positions"),
    *("resample", "norm_epsilon", "registers", "mask_token", "mlp_ratio", "dtype"),
    *("drop_path", "drop_path_uniform", "drop_path_group", "layer_scale", "scheme"),
    *("remat", "scan_layers", "parent", "name"),
)


class Head(NamedTuple):
    """A linear head as torch has it; a norm before it is folded into it.

    Attributes:
        weight: [K, D] float32.
        bias: [K] float32.
        classes: names of the K classes.
    """

    weight: np.ndarray
    bias: np.ndarray
    classes: Sequence[str]


class Taken(NamedTuple):
    """An encoder that is taken elsewhere.

    Attributes:
        encoder: the linen module.
        variables: of it.
        head: on its pooled features, or None.
        told: "input" of the card: shape, size, view, mean, std.
    """

    encoder: nn.Module
    variables: Variables
    head: Head | None
    told: Mapping[str, Any]

    @property
    def arrays(self) -> Arrays:
        """The encoder's arrays by our names, "params/stem_conv/kernel"."""
        flat = flatten_dict(dict(self.variables), sep="/")
        return {name: np.asarray(value) for name, value in flat.items()}

    @property
    def channels(self) -> int:
        """Of the images."""
        return int((self.told.get("shape") or (0, 0, 3))[-1])


def head_of(parts: Mapping[str, Any], classes: Sequence[str]) -> Head:
    """The head of an exported classifier.

    Args:
        parts: {"params": by part, "stats": by part}.
        classes: their names.
    """
    dense = parts["params"]["head"]["dense"]
    weight, bias = np.asarray(dense["kernel"]).T, np.asarray(dense["bias"])
    stats = parts.get("stats", {}).get("head", {}).get("batch_stats", {})
    if "norm" in stats:
        mean, var = (np.asarray(stats["norm"][n], np.float64) for n in ("mean", "var"))
        weight = weight / np.sqrt(var + EPSILON)
        bias = bias - weight @ mean
    return Head(weight.astype(np.float32), bias.astype(np.float32), classes)


def network_of(taken: Taken, to: str) -> ResNet | ViT:
    """The encoder, if torch's libraries have its like.

    Raises:
        ValueError: if they have not, saying what can hold it.
    """
    encoder: Any = taken.encoder
    if isinstance(encoder, ClassTokens):
        encoder = encoder.vit
    if not isinstance(encoder, ResNet | ViT):
        refuse(to, f"a {type(encoder).__name__} has no counterpart there")
    if isinstance(encoder, ViT):
        if encoder.pool not in ("class", "mean") or encoder.positions == "rope":
            said = f"pool = {encoder.pool!r}, positions = {encoder.positions!r}"
            refuse(to, f"{said} of a ViT is not written there")
        for field in dataclasses.fields(encoder):
            value = getattr(encoder, field.name)
            if field.name not in SPOKEN and value != field.default:
                refuse(to, f"{field.name} = {value!r} of a ViT is not written there")
    elif encoder.norm != "batch" or encoder.sk_ratio:
        said = f"norm = {encoder.norm!r}, sk_ratio = {encoder.sk_ratio}"
        refuse(to, f"{said} has no counterpart there")
    elif encoder.stem == "patches" or encoder.channels != 64:
        said = f"stem = {encoder.stem!r} and channels = {encoder.channels}"
        refuse(to, f"{said} of a ResNet are not written there")
    elif "same" in (encoder.pool_padding, encoder.conv_padding) and to != "torch":
        said = f"pool_padding = {encoder.pool_padding!r}, "
        said += f"conv_padding = {encoder.conv_padding!r}"
        refuse(to, f"its ResNets have no {said}", TORCH_ALONE)
    return encoder


def refuse(to: str, why: str, instead: str = ANYWHERE) -> NoReturn:
    """Says what cannot be, and what can.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"--to={to}: {why}; {instead}.")


def torch_state(taken: Taken, to: str) -> Arrays:
    """The state dict by the names of torchvision's ResNet or timm's ViT.

    A classifier's head is `fc` or `head`.

    Raises:
        ValueError: if there is no such network.
    """
    encoder = network_of(taken, to)
    if isinstance(encoder, ResNet):
        found = with_counters(torch_named(taken.arrays, "resnet"))
    else:
        arrays = positioned(encoder, taken.arrays)
        arrays.pop("params/mask_embed", None)  # timm has none.
        if encoder.registers:  # Nor has its class token a position beside registers.
            first, rest = np.split(arrays["params/position_embed"], [1])
            arrays["params/class_token"] = arrays["params/class_token"] + first
            arrays["params/position_embed"] = rest
        found = torch_named(arrays, "vit", encoder.patch)
        if encoder.pool == "mean":
            for leaf in ("weight", "bias"):
                found[f"fc_norm.{leaf}"] = found.pop(f"norm.{leaf}")
    if taken.head is not None:
        check_pooled(taken, to)
        name = "fc" if isinstance(encoder, ResNet) else "head"
        found |= {f"{name}.weight": taken.head.weight, f"{name}.bias": taken.head.bias}
    return found


def check_pooled(taken: Taken, to: str) -> None:
    """Refuses a head that reads more than the class token.

    Raises:
        ValueError: saying so.
    """
    encoder = taken.encoder
    if isinstance(encoder, ClassTokens) and (encoder.blocks > 1 or encoder.mean_patch):
        refuse(to, "a head on several tokens has no counterpart there")


def positioned(encoder: ViT, arrays: Arrays) -> Arrays:
    """A ViT's arrays, among them its fixed positions as those that others learn."""
    if encoder.positions == "sincos":
        side = encoder.image_size // encoder.patch
        table = sincos_positions(side, side, encoder.dim)
        padded = np.pad(table, ((1, 0), (0, 0))).astype(np.float32)
        arrays = {**arrays, "params/position_embed": padded}
    return dict(arrays)


def with_counters(state: Arrays) -> Arrays:
    """A state dict with the counters that torch's batch norm has, all of them 0."""
    found = {}
    for name, array in state.items():
        found[name] = array
        if name.endswith("running_var"):
            counter = name.replace("running_var", "num_batches_tracked")
            found[counter] = np.zeros((), np.int64)
    return found


class Prepared(NamedTuple):
    """How images are prepared, in torch's words.

    Attributes:
        size: side of the square that the network reads.
        resize: of the shorter side before the cut.
        interpolation: "bicubic" or "bilinear".
        mean: per channel, of values in [0, 1].
        std: likewise.
    """

    size: int
    resize: int
    interpolation: str
    mean: list[float]
    std: list[float]


def prepared(taken: Taken, encoder: nn.Module, to: str) -> Prepared:
    """The preprocessing of the card, at the size that a ViT's positions are made for.

    Raises:
        ValueError: if the encoder does not read square images.
    """
    told, view = taken.told, taken.told.get("view") or {}
    shape: Any = told.get("shape") or (told.get("size"),) * 2 + (3,)
    if len(shape) != 3 or shape[0] != shape[1]:
        refuse(to, f"it reads {list(shape)} of every example, and no square image")
    size = resize = int(shape[0])
    resize = int(view.get("resize") or size)
    if isinstance(encoder, ViT) and size != encoder.image_size:
        resize = math.ceil(resize * encoder.image_size / size)
        size = encoder.image_size
    count = taken.channels
    mean, std = (told.get(name) for name in ("mean", "std"))
    return Prepared(
        size,
        resize,
        view.get("interpolation", "bicubic"),
        list(mean or [0.0] * count),
        list(std or [1.0] * count),
    )
