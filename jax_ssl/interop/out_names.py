"""Names of torch's networks for ours, and how the layout of each array differs.

A table is data: entries (our name, theirs, layout), from which a state dict is made.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

from jax_ssl.encoders.resnet import ResNet
from jax_ssl.encoders.vit import ViT


class Entry(NamedTuple):
    """One of our arrays, and what it is there.

    Attributes:
        ours: name among the encoder's variables, such as "params/stem_conv/kernel".
        theirs: name in the state dict; several where they cut the array in parts.
        layout: out of `LAYOUTS`.
    """

    ours: str
    theirs: tuple[str, ...]
    layout: str = "same"


Table: TypeAlias = list[Entry]


def _conv(x: np.ndarray) -> list[np.ndarray]:
    return [x.transpose(3, 2, 0, 1)]


def _patch(x: np.ndarray, patch: int) -> list[np.ndarray]:
    kernel = x.reshape(patch, patch, -1, x.shape[-1])
    return _conv(kernel)


# Of an array, the arrays that it is there. A "dense" kernel is [in, out] here and
# [out, in] there, "conv" HWIO and OIHW; "patch" is the dense map of a flat patch (row,
# column, channel) and a convolution; "tokens" [n, D] have an axis of length 1 in front;
# "thirds" are query, key and value side by side and one by one.
LAYOUTS: Mapping[str, Callable[[np.ndarray, int], list[np.ndarray]]] = {
    "same": lambda x, patch: [x],
    "dense": lambda x, patch: [x.T],
    "conv": lambda x, patch: _conv(x),
    "patch": _patch,
    "tokens": lambda x, patch: [x[None]],
    "thirds": lambda x, patch: np.split(x.T, 3),
    "third_biases": lambda x, patch: np.split(x, 3),
}


def renamed(
    table: Table, arrays: Mapping[str, np.ndarray], patch: int = 0
) -> dict[str, np.ndarray]:
    """The state dict that a table makes of an encoder's arrays.

    Args:
        table: whose entries name all of them.
        arrays: by our names.
        patch: side of a patch in pixels, for the layout "patch".

    Raises:
        ValueError: if there is an array that no entry names, or one lacks.
    """
    named = {entry.ours for entry in table}
    if odd := sorted(named ^ set(arrays)):
        raise ValueError(f"{odd[0]} and {len(odd) - 1} more are not in both networks.")
    found: dict[str, np.ndarray] = {}
    for entry in table:
        parts = LAYOUTS[entry.layout](arrays[entry.ours], patch)
        for name, part in zip(entry.theirs, parts, strict=True):
            found[name] = np.ascontiguousarray(part)
    return found


def _kernel(ours: str, theirs: str, layout: str, bias: bool = True) -> Iterator[Entry]:
    yield Entry(f"params/{ours}/kernel", (f"{theirs}.weight",), layout)
    if bias:
        yield Entry(f"params/{ours}/bias", (f"{theirs}.bias",))


def _norm(ours: str, theirs: str, running: bool = False) -> Iterator[Entry]:
    yield Entry(f"params/{ours}/scale", (f"{theirs}.weight",))
    yield Entry(f"params/{ours}/bias", (f"{theirs}.bias",))
    if running:
        yield Entry(f"batch_stats/{ours}/mean", (f"{theirs}.running_mean",))
        yield Entry(f"batch_stats/{ours}/var", (f"{theirs}.running_var",))


def resnet_layers(encoder: ResNet) -> Iterator[tuple[str, int, int, int | None]]:
    """Names of our convolutions behind the stem, with stage, block and number.

    The number is None for a shortcut's, which a block has where its shape changes.
    """
    for stage, blocks in enumerate(encoder.stage_sizes):
        for block in range(blocks):
            own = f"stage{stage}_block{block}/{{}}"
            for number in range(3 if encoder.bottleneck else 2):
                yield f"{own}{number}", stage, block, number
            if block == 0 and (stage > 0 or encoder.bottleneck):
                yield f"{own}_shortcut", stage, block, None


def torchvision_resnet(encoder: ResNet) -> Table:
    """A ResNet as torchvision and timm name it, without its last layer."""
    table = [*_kernel("stem_conv", "conv1", "conv", bias=False)]
    table += _norm("stem_norm", "bn1", running=True)
    for ours, stage, block, number in resnet_layers(encoder):
        there = f"layer{stage + 1}.{block}."
        conv = "downsample.0" if number is None else f"conv{number + 1}"
        norm = "downsample.1" if number is None else f"bn{number + 1}"
        table += _kernel(ours.format("conv"), there + conv, "conv", bias=False)
        table += _norm(ours.format("norm"), there + norm, running=True)
    return table


def transformers_resnet(encoder: ResNet) -> Table:
    """A ResNet as transformers names it."""
    table: Table = []

    def add(ours: str, theirs: str) -> None:
        conv, norm = ours.format("conv"), ours.format("norm")
        table.extend(_kernel(conv, f"{theirs}.convolution", "conv", bias=False))
        table.extend(_norm(norm, f"{theirs}.normalization", running=True))

    add("stem_{}", "embedder.embedder")
    for ours, stage, block, number in resnet_layers(encoder):
        part = "shortcut" if number is None else f"layer.{number}"
        add(ours, f"encoder.stages.{stage}.layers.{block}.{part}")
    return table


def timm_vit(encoder: ViT) -> Table:
    """A ViT as timm names it, and DINO, MAE and DINOv2 but for the registers."""
    table = [
        Entry("params/class_token", ("cls_token",), "tokens"),
        Entry("params/position_embed", ("pos_embed",), "tokens"),
        *_kernel("patch_embed", "patch_embed.proj", "patch"),
        *_norm("norm", "fc_norm" if encoder.pool == "mean" else "norm"),
    ]
    if encoder.registers:
        table.append(Entry("params/register_tokens", ("reg_token",), "tokens"))
    for i in range(encoder.depth):
        ours, theirs = f"block{i}", f"blocks.{i}"
        table += _kernel(f"{ours}/attention/qkv", f"{theirs}.attn.qkv", "dense")
        table += _kernel(f"{ours}/attention/out", f"{theirs}.attn.proj", "dense")
        table += _kernel(f"{ours}/feed_forward/dense0", f"{theirs}.mlp.fc1", "dense")
        table += _kernel(f"{ours}/feed_forward/dense1", f"{theirs}.mlp.fc2", "dense")
        for j in (0, 1):
            table += _norm(f"{ours}/norm{j}", f"{theirs}.norm{j + 1}")
            if encoder.layer_scale:
                scale = f"params/{ours}/branch{j}/scale"
                table.append(Entry(scale, (f"{theirs}.ls{j + 1}.gamma",)))
    return table


# Parts of a block in transformers: ViT's, and Dinov2's.
VIT = (
    *("layernorm_before", "layernorm_after"),
    *("intermediate.dense", "output.dense"),
)
DINOV2 = ("norm1", "norm2", "mlp.fc1", "mlp.fc2")


def transformers_vit(encoder: ViT, *, dinov2: bool) -> Table:
    """A ViT as transformers names it: as a ViT, or as a Dinov2, which has scales."""
    table = [
        Entry("params/class_token", ("embeddings.cls_token",), "tokens"),
        Entry("params/position_embed", ("embeddings.position_embeddings",), "tokens"),
        *_kernel("patch_embed", "embeddings.patch_embeddings.projection", "patch"),
        *_norm("norm", "layernorm"),
    ]
    if encoder.registers:
        name = "embeddings.register_tokens"
        table.append(Entry("params/register_tokens", (name,), "tokens"))
    if encoder.mask_token:
        table.append(Entry("params/mask_embed", ("embeddings.mask_token",)))
    parts = DINOV2 if dinov2 else VIT
    for i in range(encoder.depth):
        ours, theirs = f"block{i}", f"encoder.layer.{i}"
        qkv, each = f"params/{ours}/attention/qkv", f"{theirs}.attention.attention"
        names = [f"{each}.{part}" for part in ("query", "key", "value")]
        weights, biases = (
            tuple(f"{name}.{kind}" for name in names) for kind in ("weight", "bias")
        )
        table.append(Entry(f"{qkv}/kernel", weights, "thirds"))
        table.append(Entry(f"{qkv}/bias", biases, "third_biases"))
        out = f"{theirs}.attention.output.dense"
        table += _kernel(f"{ours}/attention/out", out, "dense")
        for j in (0, 1):
            table += _norm(f"{ours}/norm{j}", f"{theirs}.{parts[j]}")
            dense = f"{ours}/feed_forward/dense{j}"
            table += _kernel(dense, f"{theirs}.{parts[2 + j]}", "dense")
            if encoder.layer_scale:
                scale = f"params/{ours}/branch{j}/scale"
                table.append(Entry(scale, (f"{theirs}.layer_scale{j + 1}.lambda1",)))
    return table
