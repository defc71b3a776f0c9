"""What else says how large a network is: a file that lacks its end has no gap in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from jax_ssl.encoders import resnet18, resnet34, resnet50, resnet101, resnet152

# By blocks of the stages, and whether these are bottlenecks.
RESNETS: dict[tuple[tuple[int, ...], bool], str] = {
    **{
        (known.keywords["stage_sizes"], known.keywords["bottleneck"]): name
        for name, known in (
            *(("resnet18", resnet18), ("resnet34", resnet34), ("resnet50", resnet50)),
            *(("resnet101", resnet101), ("resnet152", resnet152)),
        )
    },
    ((2, 2, 2, 2), True): "resnet26",
    ((3, 24, 36, 3), True): "resnet200",
}
# Blocks of published vision transformers by their width.
DEPTHS: dict[int, tuple[int, ...]] = {
    **{192: (12,), 320: (14,), 384: (12,), 512: (12, 20), 640: (12,), 768: (12,)},
    **{832: (21,), 896: (18,), 1024: (24,), 1152: (27,), 1280: (32,), 1408: (40,)},
    **{1536: (40,), 1664: (48,), 1792: (56,), 4096: (40,)},
}
# Settings of a ViT that a config.json of the hub says too, and its words for them.
SAID = {"dim": "hidden_size", "patch": "patch_size", "registers": "num_register_tokens"}
# What lies in a file where these settings are not off.
ARRAYS = {
    "class_token": "a class token",
    "layer_scale": "layer scale (ls1.gamma and ls2.gamma)",
    "registers": "register (storage) tokens",
}


def check_stages(
    sizes: Sequence[int], bottleneck: bool, config: Mapping[str, Any]
) -> None:
    """Refuses a ResNet whose stages are neither told nor those of a known one.

    Args:
        sizes: blocks of each stage of the file.
        bottleneck: whether they have three convolutions.
        config: config.json beside the file, of the hub's or timm's; {} without.

    Raises:
        ValueError: naming the blocks that are missing, or too many.
    """
    sizes = tuple(sizes)
    named = {name: known for (known, deep), name in RESNETS.items()}
    architecture = str(config.get("architecture", "")).partition(".")[0]
    if isinstance(config.get("depths"), list):
        likely, origin = tuple(map(int, config["depths"])), "config.json"
    elif architecture in named:
        likely, origin = named[architecture], f"{architecture}, as config.json says,"
    else:
        known = [stages for stages, deep in RESNETS if deep == bottleneck]
        if sizes in known:
            return
        likely = min(known, key=lambda stages: _apart(stages, sizes))
        origin = RESNETS[likely, bottleneck]
    if sizes == likely:
        return
    lacking, spare = _blocks(likely, sizes), _blocks(sizes, likely)
    lines = [f"without {_listed(lacking)}"] if lacking else []
    lines += [f"with {_listed(spare)} too much"] if spare else []
    told = ",".join(map(str, sizes)) + ("," if len(sizes) == 1 else "")
    raise ValueError(
        f"stages of {list(sizes)} blocks are not those of {origin} ({list(likely)}), "
        f"but {' and '.join(lines)}, nor of another ResNet known here; if they are all "
        f"of the network, say so by --set stage_sizes={told}"
    )


def _blocks(these: Sequence[int], those: Sequence[int]) -> list[str]:
    """Blocks of one network that the other has not, by torchvision's names."""
    padded = [*those, *(0 for _ in these)]
    pairs = enumerate(zip(these, padded, strict=False))
    return [f"layer{i + 1}.{j}" for i, (a, b) in pairs for j in range(b, a)]


def _apart(these: Sequence[int], those: Sequence[int]) -> int:
    return len(_blocks(these, those)) + len(_blocks(those, these))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def check_depth(settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuses a ViT that is not as deep, or as wide, as is told, or as its like are.

    Args:
        settings: "dim", "depth", "patch" and "registers" that the file's shapes say.
        config: config.json beside the file, of the hub's or timm's; {} without.

    Raises:
        ValueError: naming what is missing, or too much.
    """
    for name, word in SAID.items():
        if isinstance(config.get(word), int) and config[word] != settings[name]:
            raise ValueError(
                f"config.json says {word} = {config[word]}, and the arrays have "
                f"{settings[name]}; one of the two is of another network"
            )
    kind = str(config.get("model_type", ""))
    none = config.get(SAID["registers"]) == 0
    if kind.endswith("with_registers") and not (settings["registers"] or none):
        raise ValueError(f"{ARRAYS['registers']} of a {kind} are missing")
    dim, depth = settings["dim"], settings["depth"]
    args = config.get("model_args")
    args = args if isinstance(args, Mapping) else {}
    told = config.get("num_hidden_layers", args.get("depth"))
    depths: tuple[int, ...]
    if isinstance(told, int):
        depths, origin = (told,), f"{told} blocks, as config.json says"
    elif dim in DEPTHS:
        depths = DEPTHS[dim]
        words = " or ".join(map(str, depths))
        origin = f"{words} blocks, as published networks of width {dim} have"
    else:
        return
    if depth in depths:
        return
    likely = min(depths, key=lambda n: abs(n - depth))
    first, last = min(depth, likely), max(depth, likely) - 1
    blocks = f"block {first} is" if first == last else f"blocks {first} to {last} are"
    raise ValueError(
        f"it has {depth} blocks, and not {origin}: {blocks} "
        f"{'missing' if depth < likely else 'too much'}, counted from 0; if it is all "
        f"of the network, say so by --set depth={depth}"
    )


def check_has(
    has: Sequence[str],
    settings: Mapping[str, Any],
    chosen: Mapping[str, Any],
    config: Mapping[str, Any],
) -> None:
    """Refuses a ViT without what every network of its family has.

    Args:
        has: settings that none of them has off.
        settings: that the file's shapes say.
        chosen: settings that were told, which stand above it.
        config: config.json beside the file, which may say so; {} without.

    Raises:
        ValueError: naming it.
    """
    for name in has:
        told = name in chosen or config.get(SAID.get(name, "")) == settings[name]
        if not settings[name] and not told:
            raise ValueError(
                f"{ARRAYS[name]} of the family is missing; if the network was made "
                f"without, say so by --set {name}={settings[name]}"
            )
