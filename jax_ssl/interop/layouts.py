"""How sources name what they hold, and what makes torchvision's or timm's names of it.

A layout is told by names that it must have, behind any prefix. Its renames are tried
one after the other on each name; `joined` then puts together what lies in pieces.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

Arrays = dict[str, np.ndarray]
SLOTS = ("q", "k", "v")
Rename: TypeAlias = tuple[str, str | Callable[[re.Match[str]], str]]


def _as_they_are(arrays: Arrays) -> Arrays:
    return arrays


class Layout(NamedTuple):
    """Names of one source.

    Attributes:
        network: whose table of names it ends in, "resnet" or "vit".
        anchors: names that all must be there.
        renames: (pattern, replacement) pairs.
        joined: makes the arrays of the table of those renamed.
    """

    network: Literal["resnet", "vit"]
    anchors: tuple[str, ...]
    renames: tuple[Rename, ...] = ()
    joined: Callable[[Arrays], Arrays] = _as_they_are

    def read(self, arrays: Mapping[str, np.ndarray]) -> tuple[Arrays, dict[str, str]]:
        """Arrays by the names of the table, and the new name of each old one."""
        renamed = {}
        for name in arrays:
            new = name
            for pattern, replacement in self.renames:
                new = re.sub(pattern, replacement, new)
            renamed[name] = new
        if twice := [n for n, c in Counter(renamed.values()).items() if c > 1]:
            both = [name for name, new in renamed.items() if new == twice[0]]
            raise ValueError(f"{' and '.join(both)} both are {twice[0]}")
        return self.joined({renamed[n]: a for n, a in arrays.items()}), renamed


def _joined_vit(arrays: Arrays) -> Arrays:
    """One matrix for query, key and value; gates apart; masked biases zero."""
    found = dict(arrays)
    found.pop("rope_embed.periods", None)
    blocks = sorted({m[0] for n in arrays if (m := re.match(r"blocks\.\d+\.", n))})
    ends = {m[1] for n in arrays if (m := re.match(r"blocks\.\d+\.attn\.(.*)", n))}
    for block in blocks:
        _join_qkv(found, f"{block}attn.", ends)
        _split_gate(found, f"{block}mlp.")
    if "attn_pool.kv.weight" in found:
        for leaf in ("weight", "bias"):
            key, value = np.split(found.pop(f"attn_pool.kv.{leaf}"), 2)
            found[f"attn_pool.k.{leaf}"], found[f"attn_pool.v.{leaf}"] = key, value
    return found


def _join_qkv(found: Arrays, at: str, ends: set[str]) -> None:
    """Joins what a block has; `ends` are the names that some block's attention has."""
    if f"{at}q.weight" in found:
        parts = [found.pop(f"{at}{slot}.weight") for slot in SLOTS]
        found[f"{at}qkv.weight"] = np.concatenate(parts)
    if f"{at}qkv.weight" not in found:
        return
    rows = len(found[f"{at}qkv.weight"])
    apart = {slot: found.pop(f"{at}{slot}.bias", None) for slot in SLOTS}
    lacking = [f"{slot}.bias" for slot, bias in apart.items() if bias is None]
    # What other blocks have is missing in this one, which is told when all is read.
    if f"{at}qkv.bias" not in found and not ends & {"qkv.bias", *lacking}:
        # A bias that no block has is 0; of keys it would not change the softmax.
        none = np.zeros(rows // 3, np.float32)
        biases = [none if b is None else b for b in apart.values()]
        found[f"{at}qkv.bias"] = np.concatenate(biases)
    if (mask := found.pop(f"{at}qkv.bias_mask", None)) is None:
        if "qkv.bias_mask" in ends:
            raise KeyError(f"{at}qkv.bias_mask")
    else:
        # DINOv3's mask is 0 for keys; where it was never set it is not a number.
        found[f"{at}qkv.bias"] = np.where(mask == 1, found[f"{at}qkv.bias"], 0)
        if np.isnan(mask).any():
            raise ValueError(f"{at}qkv.bias_mask holds values that are not numbers")


def _split_gate(found: Arrays, at: str) -> None:
    """Gate and value of a SwiGLU apart, where they are rows of one matrix."""
    first, last = found.get(f"{at}fc1.weight"), found.get(f"{at}fc2.weight")
    if first is None or last is None or len(first) != 2 * last.shape[1]:
        return
    for leaf in ("weight", "bias"):
        gate, value = np.split(found.pop(f"{at}fc1.{leaf}"), 2)
        found[f"{at}gate.{leaf}"], found[f"{at}value.{leaf}"] = gate, value
        found[f"{at}out.{leaf}"] = found.pop(f"{at}fc2.{leaf}")


TORCHVISION = Layout("resnet", ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight"))

# transformers counts stages and layers from 0.
_HF_RESNET: tuple[Rename, ...] = (
    (r"^embedder\.embedder\.convolution\.", "conv1."),
    (r"^embedder\.embedder\.normalization\.", "bn1."),
    (
        r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.",
        lambda m: f"layer{int(m[1]) + 1}.{m[2]}.",
    ),
    (r"\.layer\.(\d+)\.convolution\.", lambda m: f".conv{int(m[1]) + 1}."),
    (r"\.layer\.(\d+)\.normalization\.", lambda m: f".bn{int(m[1]) + 1}."),
    (r"\.shortcut\.convolution\.", ".downsample.0."),
    (r"\.shortcut\.normalization\.", ".downsample.1."),
)
HF_RESNET = Layout(
    "resnet",
    (
        "embedder.embedder.convolution.weight",
        "encoder.stages.0.layers.0.layer.0.convolution.weight",
    ),
    _HF_RESNET,
)

_TIMM = (
    (r"^(register_tokens|storage_tokens)$", "reg_token"),
    (r"\.gamma_([12])$", r".ls\1.gamma"),
    (r"\.attn\.q_bias$", ".attn.q.bias"),
    (r"\.attn\.v_bias$", ".attn.v.bias"),
    # DINOv2 packs gate and value into w12; DINOv3 and timm's EVA have them apart.
    (r"\.mlp\.w12\.", ".mlp.fc1."),
    (r"\.mlp\.(w1|fc1_g)\.", ".mlp.gate."),
    (r"\.mlp\.(w2|fc1_x)\.", ".mlp.value."),
)


def _joined_timm(arrays: Arrays) -> Arrays:
    """As `_joined_vit`; the last matrix of a feed-forward layer has several names."""
    gated = any(".mlp.gate." in name for name in arrays)
    _refuse_eva02(arrays, gated)
    last = ".mlp.out." if gated else ".mlp.fc2."
    pattern = r"\.mlp\.(w3|fc2)\."
    return _joined_vit({re.sub(pattern, last, n): a for n, a in arrays.items()})


def _refuse_eva02(arrays: Arrays, gated: bool) -> None:
    """Refuses EVA-02, which rotates beside its positions, though no array says so.

    Of the networks with learned positions it alone has both gated layers and biases of
    queries and values beside one matrix of queries, keys and values.

    Raises:
        ValueError: saying so.
    """
    first, last = (arrays.get(f"blocks.0.mlp.fc{i}.weight") for i in (1, 2))
    if first is not None and last is not None and len(first) == 2 * last.shape[-1]:
        gated = True
    names = ("pos_embed", "blocks.0.attn.q.bias", "blocks.0.attn.qkv.weight")
    if gated and all(name in arrays for name in names):
        raise ValueError(
            "gated layers beside biases of queries and values alone are those of "
            "EVA-02, whose attention rotates beside its learned positions, which is "
            "not built here"
        )


_PATCH, _QKV = "patch_embed.proj.weight", "attn.qkv.weight"
TIMM = Layout("vit", (_PATCH, f"blocks.0.{_QKV}"), _TIMM, _joined_timm)
# Blocks in chunks, as for FSDP; their numbers run on through the chunks.
CHUNKED = Layout(
    "vit",
    (_PATCH, f"blocks.0.0.{_QKV}"),
    ((r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."), *_TIMM),
    _joined_timm,
)

_HUGGING_FACE = (
    (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
    (r"^embeddings\.register_tokens$", "reg_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.(projection\.)?", "patch_embed.proj."),
    (r"^(encoder\.layer|layers|model\.layer|layer)\.(\d+)\.", r"blocks.\2."),
    (r"\.attention\.(?:attention\.)?([qkv])(?:uery|ey|alue)\.", r".attn.\1."),
    (r"\.attention\.([qkv])_proj\.", r".attn.\1."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\.(intermediate\.dense|mlp\.weights_in)\.", ".mlp.fc1."),
    (r"^(blocks\.\d+)\.(output\.dense|mlp\.weights_out)\.", r"\1.mlp.fc2."),
    (r"\.mlp\.gate_proj\.", ".mlp.gate."),
    (r"^layernorm\.", "norm."),
)


def _joined_hugging_face(arrays: Arrays) -> Arrays:
    gated = any(".mlp.gate." in name for name in arrays)
    names = {"up_proj": "value", "down_proj": "out"}
    names = names if gated else {"up_proj": "fc1", "down_proj": "fc2"}
    new = lambda m: f".mlp.{names[m[1]]}."
    return _joined_timm(
        {re.sub(r"\.mlp\.(up_proj|down_proj)\.", new, n): a for n, a in arrays.items()}
    )


_EMBEDDINGS = "embeddings.patch_embeddings"
HUGGING_FACE = tuple(
    Layout("vit", anchors, _HUGGING_FACE, _joined_hugging_face)
    for anchors in (
        (f"{_EMBEDDINGS}.projection.weight", "embeddings.cls_token"),
        (f"{_EMBEDDINGS}.weight", "embeddings.cls_token"),
    )
)

_BLOCK = r"^Transformer\.encoderblock_(\d+)\."
_MAP = r"^MAPHead_0\."
_BIG_VISION = (
    (r"^embedding\.kernel$", "patch_embed.proj.weight"),
    (r"^embedding\.bias$", "patch_embed.proj.bias"),
    (r"^cls$", "cls_token"),
    (r"^(Transformer\.posembed_input\.)?pos_embedding$", "pos_embed"),
    (_BLOCK, r"blocks.\1."),
    (r"^(blocks\.\d+)\.LayerNorm_0\.", r"\1.norm1."),
    (r"^(blocks\.\d+)\.LayerNorm_[12]\.", r"\1.norm2."),
    (r"^Transformer\.encoder_norm\.", "norm."),
    (rf"{_MAP}probe$", "attn_pool.latent"),
    (rf"{_MAP}LayerNorm_0\.", "attn_pool.norm."),
    (rf"{_MAP}MlpBlock_0\.", "attn_pool.mlp."),
    (rf"{_MAP}MultiHeadDotProductAttention_0\.out\.", "attn_pool.proj."),
    (
        rf"{_MAP}MultiHeadDotProductAttention_0\.([qkv])(uery|ey|alue)\.",
        r"attn_pool.\1.",
    ),
    (r"\.MultiHeadDotProductAttention_\d\.out\.", ".attn.proj."),
    (r"\.MultiHeadDotProductAttention_\d\.([qkv])(uery|ey|alue)\.", r".attn.\1."),
    (r"\.MlpBlock_\d\.", ".mlp."),
    (r"\.Dense_0\.", ".fc1."),
    (r"\.Dense_1\.", ".fc2."),
    (r"\.scale$", ".weight"),
)


def _joined_big_vision(arrays: Arrays) -> Arrays:
    """Axes as torch's: heads next to each other, kernels turned over."""
    found: Arrays = {}
    for name, array in arrays.items():
        if name == "patch_embed.proj.weight":
            found[name] = array.transpose(3, 2, 0, 1)
        elif name.endswith(".kernel"):
            ahead = name.endswith("proj.kernel") and array.ndim == 3
            flat = (-1, array.shape[-1]) if ahead else (len(array), -1)
            found[name.replace(".kernel", ".weight")] = array.reshape(flat).T
        else:
            found[name] = array.reshape(-1) if name.endswith(".bias") else array
    return _joined_vit(found)


def _read_scanned(arrays: Arrays) -> Arrays:
    """Blocks that lie along the first axis, as a loop over layers keeps them, apart."""
    found: Arrays = {}
    for name, array in arrays.items():
        head, block, rest = name.partition("Transformer.encoderblock.")
        if block and not head:
            for i, own in enumerate(array):
                found[f"Transformer.encoderblock_{i}.{rest}"] = own
        else:
            found[name] = array
    renamed = Layout("vit", (), _BIG_VISION).read(found)[0]
    return _joined_big_vision(renamed)


_LAYER = "MlpBlock_{}.Dense_0.kernel"
BIG_VISION = (
    *(
        Layout(
            "vit",
            ("embedding.kernel", f"Transformer.encoderblock_0.{_LAYER.format(i)}"),
            _BIG_VISION,
            _joined_big_vision,
        )
        for i in (0, 3)
    ),
    Layout(
        "vit",
        ("embedding.kernel", f"Transformer.encoderblock.{_LAYER.format(0)}"),
        (),
        _read_scanned,
    ),
)

# Haiku's ResNets, each array by the path of its module and its own name.
_BLOCK_OF_HAIKU = r"^block_group_(\d+)\.~\.block_(\d+)\.~\."
_HAIKU: tuple[Rename, ...] = (
    (_BLOCK_OF_HAIKU, lambda m: f"layer{int(m[1]) + 1}.{m[2]}."),
    (r"^initial_conv\.", "conv1."),
    (r"^initial_batchnorm\.", "bn1."),
    (r"\.conv_(\d)\.", lambda m: f".conv{int(m[1]) + 1}."),
    (r"\.batchnorm_(\d)\.", lambda m: f".bn{int(m[1]) + 1}."),
    (r"\.shortcut_conv\.", ".downsample.0."),
    (r"\.shortcut_batchnorm\.", ".downsample.1."),
    (r"\.~\.(mean|var)_ema\.average$", r".running_\1"),
    (r"\.offset$", ".bias"),
    (r"\.(w|scale)$", ".weight"),
)


def _joined_haiku(arrays: Arrays) -> Arrays:
    """Kernels turned over; scales and means, [1, 1, 1, C] there, without their ones."""
    kernels = re.compile(r"(conv\d|downsample\.0)\.weight$")
    return {
        name: a.transpose(3, 2, 0, 1) if kernels.search(name) else a.reshape(-1)
        for name, a in arrays.items()
    }


HAIKU = Layout(
    "resnet",
    ("initial_conv.w", "initial_batchnorm.scale", "block_group_0.~.block_0.~.conv_0.w"),
    _HAIKU,
    _joined_haiku,
)

# Blocks of the stages of ResNet-50, 101, 152 and 200.
_STAGES = ((3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3), (3, 24, 36, 3))


def _made_simclr(stages: tuple[int, ...], selective: bool) -> list[tuple[str, str]]:
    """Names of convolutions in the order of their making, and of the norms behind.

    Args:
        stages: blocks of each stage.
        selective: of selective kernels.

    Returns:
        Pairs; the convolution that mixes two streams has no norm, "".
    """
    order = [("conv1", "bn1")]
    if selective:
        order = [(f"stem.{i}.conv", f"stem.{i}.bn") for i in (1, 2)] + order
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            at = f"layer{stage + 1}.{block}"
            if block == 0:
                order.append((f"{at}.downsample.0", f"{at}.downsample.1"))
            order += [(f"{at}.conv{i}", f"{at}.bn{i}") for i in (1, 2)]
            if selective:
                order += [(f"{at}.sk.conv", f"{at}.sk.bn"), (f"{at}.sk.mix", "")]
            order.append((f"{at}.conv3", f"{at}.bn3"))
    return order


def _numbered(name: str, word: str) -> int | None:
    found = re.match(rf"{word}(?:_(\d+))?\.", name)
    return int(found[1] or 0) if found else None


def _joined_simclr(arrays: Arrays) -> Arrays:
    """Layers of SimCLR's network, which are numbered in the order of their making.

    In the first block of a stage the shortcut is made before the three convolutions.

    Raises:
        ValueError: if so many convolutions make none of the networks.
    """
    count = len({_numbered(name, "conv2d") for name in arrays} - {None})
    made = [_made_simclr(s, deep) for s in _STAGES for deep in (False, True)]
    by_count = {len(order): order for order in made}
    if count not in by_count:
        raise ValueError(
            f"{count} convolutions make no ResNet-50, 101, 152 or 200 of SimCLR, with "
            f"or without selective kernels (sk1, sk0); those have "
            f"{', '.join(map(str, sorted(by_count)))}"
        )
    order = [conv for conv, _ in by_count[count]]
    norms = [norm for _, norm in by_count[count] if norm]
    leaves = {
        **{"gamma": "weight", "beta": "bias"},
        **{"moving_mean": "running_mean", "moving_variance": "running_var"},
    }
    found: Arrays = {}
    for name, array in arrays.items():
        leaf = name.split(".")[-1]
        if (i := _numbered(name, "conv2d")) is not None and name.count(".") == 1:
            found[f"{order[i]}.weight"] = array.transpose(3, 2, 0, 1)
        elif (i := _numbered(name, "batch_normalization")) is not None and (
            leaf in leaves and name.count(".") == 1
        ):
            found[f"{norms[i]}.{leaves[leaf]}"] = array
        else:
            found[name] = array
    return found


SIMCLR = Layout("resnet", ("conv2d.kernel", "conv2d_52.kernel"), (), _joined_simclr)
