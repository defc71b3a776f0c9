"""Weights by a formula under the published torch names, and digests of features.

Both sides of a comparison fill their weights from `fill`, so no weight file is needed:
`from_torch` turns the torch leaf of a name and shape into ours.
"""

import re
import zlib

import numpy as np


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in [-1, 1) that depend on the name alone; the same on every machine."""
    bits = np.random.Philox(key=zlib.crc32(name.encode()))
    raw = bits.random_raw(int(np.prod(shape))) >> np.uint64(11)
    return (raw * 2.0**-52 - 1).reshape(shape)


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The torch leaf `name`, float32.

    Variances are small, so that a wrong epsilon shows; scales are of their size, so
    that activations neither vanish nor explode.
    """
    u = uniform(name, shape)
    if name.endswith("running_var"):
        value = 10 ** (u - 2)  # 1e-3 ... 1e-1
    elif name.endswith("running_mean"):
        value = 0.05 * u
    elif re.search(r"(cls_token|pos_embed|reg_token|patch_embed\..*)$", name):
        value = 0.03 * u
    elif name.endswith("bias"):
        value = 0.1 * u
    elif re.search(r"ls\d\.gamma$", name):
        value = 0.5 + 0.2 * u
    elif len(shape) == 1:
        is_batch_norm = re.search(r"(bn\d|downsample\.1)\.weight$", name)
        value = 0.1 + 0.05 * u if is_batch_norm else 1 + 0.5 * u
    else:
        value = u * np.sqrt(3 / np.prod(shape[1:]))
    return value.astype(np.float32)


def image(batch: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Images [B, H, W, C] float32 in [-1, 1)."""
    return uniform("image", (batch, height, width, channels)).astype(np.float32)


def resnet_name(path: str) -> str:
    """Torch name of our ResNet leaf "stage0_block1/conv0/kernel"."""
    *modules, leaf = path.split("/")
    kind = {"kernel": "weight", "scale": "weight", "bias": "bias"}
    kind |= {"mean": "running_mean", "var": "running_var"}
    if modules[0].startswith("stem"):
        return {"stem_conv": "conv1", "stem_norm": "bn1"}[modules[0]] + "." + kind[leaf]
    stage, block = map(int, re.findall(r"\d+", modules[0]))
    part = {"conv_shortcut": "downsample.0", "norm_shortcut": "downsample.1"}.get(
        modules[1],
        re.sub(
            r"(conv|norm)(\d)",
            lambda m: {"conv": "conv", "norm": "bn"}[m[1]] + str(int(m[2]) + 1),
            modules[1],
        ),
    )
    return f"layer{stage + 1}.{block}.{part}.{kind[leaf]}"


VIT_PARTS = {
    "attention/qkv": "attn.qkv",
    "attention/out": "attn.proj",
    "feed_forward/dense0": "mlp.fc1",
    "feed_forward/dense1": "mlp.fc2",
    "norm0": "norm1",
    "norm1": "norm2",
    "branch0": "ls1",
    "branch1": "ls2",
}


def vit_name(path: str, final_norm: str = "norm") -> str:
    """Torch name of our ViT leaf "block0/attention/qkv/kernel"."""
    tokens = {"class_token": "cls_token", "position_embed": "pos_embed"}
    tokens |= {"register_tokens": "reg_token"}
    if path in tokens:
        return tokens[path]
    module, leaf = path.rsplit("/", 1)
    kind = {"kernel": "weight", "scale": "weight", "bias": "bias"}[leaf]
    if module == "patch_embed":
        return f"patch_embed.proj.{kind}"
    if module == "norm":
        return f"{final_norm}.{kind}"
    block, part = module.split("/", 1)
    if part.startswith("branch"):
        kind = "gamma"
    return f"blocks.{block.removeprefix('block')}.{VIT_PARTS[part]}.{kind}"


def from_torch(name: str, shape: tuple[int, ...], patch: int = 0) -> np.ndarray:
    """Our leaf of `shape`, filled from the torch leaf `name`."""
    if name == "patch_embed.proj.weight":
        dim, channels = shape[1], shape[0] // patch**2
        leaf = fill(name, (dim, channels, patch, patch))
        return leaf.transpose(2, 3, 1, 0).reshape(shape)
    if name in ("cls_token", "pos_embed", "reg_token"):
        return fill(name, (1, *shape))[0]
    if len(shape) == 4:
        return fill(name, (shape[3], shape[2], shape[0], shape[1])).transpose(
            2, 3, 1, 0
        )
    if len(shape) == 2:
        return fill(name, shape[::-1]).T
    return fill(name, shape)


def digest(x: np.ndarray) -> list[float]:
    """Mean, standard deviation, two weighted sums and the ends of an array."""
    x = np.asarray(x, np.float64)
    flat = x.reshape(-1)
    place = np.arange(flat.size)
    sums = [(np.cos(f * place) * flat).mean() for f in (0.1, 1.7)]
    return [float(v) for v in [flat.mean(), flat.std(), *sums, *flat[:2], flat[-1]]]
