"""State dicts for torch's libraries, by the table of names that files are read by.

Arrays take the names of torchvision and timm first; transformers' are made of those.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from jax_ssl.interop.names import TABLES, axes_to_theirs, to_theirs

Rename: TypeAlias = tuple[str, str | Callable[[re.Match[str]], str]]

RESNET: tuple[Rename, ...] = (
    (r"^conv1\.", "embedder.embedder.convolution."),
    (r"^bn1\.", "embedder.embedder.normalization."),
    (
        r"^layer(\d+)\.(\d+)\.",
        lambda m: f"encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.",
    ),
    (r"\.conv(\d)\.", lambda m: f".layer.{int(m[1]) - 1}.convolution."),
    (r"\.bn(\d)\.", lambda m: f".layer.{int(m[1]) - 1}.normalization."),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
)
DINOV2: tuple[Rename, ...] = (
    (r"^(cls_token|mask_token)$", r"embeddings.\1"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^reg_token$", "embeddings.register_tokens"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.", "encoder.layer."),
    (r"\.attn\.(query|key|value)\.", r".attention.attention.\1."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.ls(\d)\.gamma$", r".layer_scale\1.lambda1"),
    (r"^norm\.", "layernorm."),
)
VIT: tuple[Rename, ...] = (
    *DINOV2,
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)


def torch_named(
    arrays: Mapping[str, np.ndarray], network: Literal["resnet", "vit"], patch: int = 0
) -> dict[str, np.ndarray]:
    """An encoder's arrays as torchvision's ResNet or timm's ViT has them.

    Args:
        arrays: by our names.
        network: whose table names them.
        patch: side of a ViT's patch in pixels.

    Raises:
        ValueError: if the table lacks one of them.
    """
    found = {}
    for ours, array in arrays.items():
        known = to_theirs(ours, TABLES[network])
        if known is None:
            raise ValueError(f"{ours} has no name in torch's networks.")
        name, kind = known
        found[name] = np.ascontiguousarray(axes_to_theirs(array, kind, patch))
    return found


def transformers_named(
    state: Mapping[str, np.ndarray], renames: Sequence[Rename]
) -> dict[str, np.ndarray]:
    """A state dict of torchvision's or timm's names as transformers has it.

    Args:
        state: from `torch_named`.
        renames: `RESNET`, `VIT` or `DINOV2`, tried one after the other on each name.
    """
    apart: dict[str, np.ndarray] = {}
    for name, array in state.items():
        if ".qkv." in name:
            for part, piece in zip(
                ("query", "key", "value"), np.split(array, 3), strict=True
            ):
                apart[name.replace("qkv", part)] = np.ascontiguousarray(piece)
        else:
            apart[name] = array[0] if name == "mask_token" else array
    found = {}
    for name, array in apart.items():
        new = name
        for pattern, replacement in renames:
            new = re.sub(pattern, replacement, new)
        found[new] = array
    return found
