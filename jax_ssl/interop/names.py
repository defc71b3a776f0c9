"""Our names and shapes of weights beside torch's, one table for each network.

The names of torchvision (ResNets) and of timm (vision transformers) are the language
in between: every other source is renamed to them first (`layouts`).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

Kind: TypeAlias = Literal["vector", "dense", "conv", "patch", "tokens"]


class Row(NamedTuple):
    """A weight in both languages; each "{}" stands for the same number in both.

    Attributes:
        theirs: torch's name.
        ours: our name, "/"-joined, the collection first.
        kind: how its axes lie: "dense" [out, in] and [in, out]; "conv" [out, in, h, w]
            and [h, w, in, out]; "patch" [out, in, h, w] and [h * w * in, out]; "tokens"
            [1, n, D] and [n, D]; "vector" alike.
        shift: what is added to each number of theirs to make ours.
    """

    theirs: str
    ours: str
    kind: Kind
    shift: tuple[int, ...] = ()


def _pair(theirs: str, ours: str, kind: Kind = "dense") -> list[Row]:
    return [
        Row(f"{theirs}.weight", f"params/{ours}/kernel", kind),
        Row(f"{theirs}.bias", f"params/{ours}/bias", "vector"),
    ]


def _norm(theirs: str, ours: str) -> list[Row]:
    return [
        Row(f"{theirs}.weight", f"params/{ours}/scale", "vector"),
        Row(f"{theirs}.bias", f"params/{ours}/bias", "vector"),
    ]


def _batch_norm(theirs: str, ours: str) -> list[Row]:
    stats = [
        Row(f"{theirs}.running_{word}", f"batch_stats/{ours}/{word}", "vector")
        for word in ("mean", "var")
    ]
    return [*_norm(theirs, ours), *stats]


def _conv(theirs: str, ours: str) -> list[Row]:
    return [Row(f"{theirs}.weight", f"params/{ours}/kernel", "conv")]


def _resnet() -> list[Row]:
    rows = [*_conv("conv1", "stem_conv"), *_batch_norm("bn1", "stem_norm")]
    block, own = "layer{}.{}", "stage{}_block{}"
    for i in range(3):
        rows += _conv(f"{block}.conv{i + 1}", f"{own}/conv{i}")
        rows += _batch_norm(f"{block}.bn{i + 1}", f"{own}/norm{i}")
    # Of SimCLR v2's networks with selective kernels, which torchvision has not.
    rows += _conv("stem.{}.conv", "stem{}_conv")
    rows += _batch_norm("stem.{}.bn", "stem{}_norm")
    rows += _conv(f"{block}.sk.conv", f"{own}/conv_squeeze")
    rows += _batch_norm(f"{block}.sk.bn", f"{own}/norm_squeeze")
    rows += _conv(f"{block}.sk.mix", f"{own}/conv_mix")
    rows += _conv(f"{block}.downsample.0", f"{own}/conv_shortcut")
    rows += _batch_norm(f"{block}.downsample.1", f"{own}/norm_shortcut")
    return [row._replace(shift=(-1, 0)) for row in rows]


RESNET: tuple[Row, ...] = tuple(_resnet())
VIT: tuple[Row, ...] = (
    Row("cls_token", "params/class_token", "tokens"),
    Row("pos_embed", "params/position_embed", "tokens"),
    Row("reg_token", "params/register_tokens", "tokens"),
    Row("mask_token", "params/mask_embed", "tokens"),
    *_pair("patch_embed.proj", "patch_embed", "patch"),
    *_norm("blocks.{}.norm1", "block{}/norm0"),
    *_pair("blocks.{}.attn.qkv", "block{}/attention/qkv"),
    *_pair("blocks.{}.attn.proj", "block{}/attention/out"),
    Row("blocks.{}.ls1.gamma", "params/block{}/branch0/scale", "vector"),
    *_norm("blocks.{}.norm2", "block{}/norm1"),
    *_pair("blocks.{}.mlp.fc1", "block{}/feed_forward/dense0"),
    *_pair("blocks.{}.mlp.fc2", "block{}/feed_forward/dense1"),
    *_pair("blocks.{}.mlp.gate", "block{}/feed_forward/gate"),
    *_pair("blocks.{}.mlp.value", "block{}/feed_forward/value"),
    *_pair("blocks.{}.mlp.out", "block{}/feed_forward/out"),
    Row("blocks.{}.ls2.gamma", "params/block{}/branch1/scale", "vector"),
    *_norm("norm", "norm"),
    Row("attn_pool.latent", "params/map_head/probe", "tokens"),
    *_pair("attn_pool.q", "map_head/query"),
    *_pair("attn_pool.k", "map_head/key"),
    *_pair("attn_pool.v", "map_head/value"),
    *_pair("attn_pool.proj", "map_head/out"),
    *_norm("attn_pool.norm", "map_head/norm"),
    *_pair("attn_pool.mlp.fc1", "map_head/feed_forward/dense0"),
    *_pair("attn_pool.mlp.fc2", "map_head/feed_forward/dense1"),
)
TABLES: Mapping[str, tuple[Row, ...]] = {"resnet": RESNET, "vit": VIT}


def to_ours(name: str, table: Iterable[Row]) -> tuple[str, Kind] | None:
    """Our name of one of torch's, and how its axes lie; None if the table lacks it."""
    return _translated(name, table, "theirs", "ours", 1)


def to_theirs(name: str, table: Iterable[Row]) -> tuple[str, Kind] | None:
    """Torch's name of one of ours, and how its axes lie; None if the table lacks it."""
    return _translated(name, table, "ours", "theirs", -1)


def _translated(
    name: str, table: Iterable[Row], given: str, wanted: str, sign: int
) -> tuple[str, Kind] | None:
    for row in table:
        pattern = re.escape(getattr(row, given)).replace(r"\{\}", r"(\d+)")
        if found := re.fullmatch(pattern, name):
            shift = row.shift or (0,) * len(found.groups())
            steps = zip(found.groups(), shift, strict=False)
            numbers = [int(number) + sign * step for number, step in steps]
            return getattr(row, wanted).format(*numbers), row.kind
    return None


def axes_to_ours(array: np.ndarray, kind: Kind) -> np.ndarray:
    """A torch leaf with its axes as ours lie.

    Raises:
        ValueError: if it has another number of axes.
    """
    wanted = {"vector": 1, "dense": 2, "conv": 4, "patch": 4, "tokens": 3}[kind]
    if array.ndim != wanted or (kind == "tokens" and len(array) != 1):
        raise ValueError(f"has the shape {list(array.shape)}, of no {kind} weight")
    if kind == "dense":
        return array.T
    if kind in ("conv", "patch"):
        array = array.transpose(2, 3, 1, 0)
        return array.reshape(-1, array.shape[-1]) if kind == "patch" else array
    return array[0] if kind == "tokens" else array


def axes_to_theirs(array: np.ndarray, kind: Kind, patch: int = 0) -> np.ndarray:
    """The inverse of `axes_to_ours`; `patch` is the side of a patch in pixels."""
    if kind == "dense":
        return array.T
    if kind == "patch":
        array = array.reshape(patch, patch, -1, array.shape[-1])
    if kind in ("conv", "patch"):
        return array.transpose(3, 2, 0, 1)
    return array[None] if kind == "tokens" else array
