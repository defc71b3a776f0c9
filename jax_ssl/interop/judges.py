"""Networks of torchvision, timm and transformers, which read a file for themselves.

Only `jax-ssl import --verify` comes here; torch is nowhere else in the library.
"""

import functools
import pathlib
from typing import Any

import numpy as np

from jax_ssl.interop.importing import Imported, unwrapped


def judged(found: Imported, images: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
    """What the library of a file says of images, by its own reader.

    Args:
        found: the import, whose settings the network is built with.
        images: [B, H, W, C] float32, already standardized.

    Returns:
        The name of the judge, pooled features [B, D] and grid [B, h, w, D].

    Raises:
        ValueError: if no library reads such files.
    """
    family, kind = found.certificate["family"], found.certificate["kind"]
    declare_torchvision_ops()
    if family.startswith("hf_"):
        return "transformers", *_transformers(found, images)
    if kind == "npz":
        return "timm", *_timm_npz(found, images)
    if "TensorFlow" in kind:
        raise ValueError(
            f"--verify: nothing that reads {family}'s files by itself can be installed "
            "beside torch; leave it out."
        )
    if found.card["encoder"]["name"].startswith("resnet"):
        return "torchvision", *_torchvision(found, images)
    return "timm", *_timm(found, images)


@functools.cache
def declare_torchvision_ops() -> Any:
    """Makes a torchvision without its compiled operators importable."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # One built for another torch asks for schemas of its operators alone.
        library = torch.library.Library("torchvision", "DEF")
        boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define("nms" + boxes)
        library.define("qnms" + boxes)
        return library  # Dropped with its last reference.
    return None


def _state(found: Imported) -> dict[str, Any]:
    """Tensors behind the prefix, read by torch or by safetensors."""
    import argparse

    import torch

    whole: dict[str, Any] = {}
    for path in found.weights.files:
        if found.weights.kind == "safetensors":
            from safetensors.torch import load_file

            whole |= load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):
                read = torch.load(path, map_location="cpu", weights_only=True)
            whole |= _flat(read)
    prefix = found.certificate["prefix"]
    whole = unwrapped(found.weights.files[0], whole)
    return {
        name.removeprefix(prefix): value.float() if value.is_floating_point() else value
        for name, value in whole.items()
        if name.startswith(prefix)
    }


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        elif hasattr(value, "is_floating_point"):
            found[f"{prefix}{key}"] = value
    return found


def _loaded(model: Any, state: dict[str, Any]) -> Any:
    result = model.load_state_dict(state, strict=False)
    if result.missing_keys:
        raise ValueError(f"--verify: torch misses {result.missing_keys[:5]}.")
    return model.eval()


def _batch(images: np.ndarray) -> Any:
    import torch

    return torch.tensor(images.transpose(0, 3, 1, 2).copy())


def _torchvision(found: Imported, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import torch
    from torchvision.models import resnet

    own = found.card["encoder"]
    block = resnet.Bottleneck if own["bottleneck"] else resnet.BasicBlock
    model = resnet.ResNet(
        block, [1, 1, 1, 1], width_per_group=64 * own["inner_width"], num_classes=1
    )
    first = model.inplanes = 64 * own["width"]
    channels = images.shape[-1]
    model.conv1 = torch.nn.Conv2d(channels, first, 7, 2, 3, bias=False)
    model.bn1 = torch.nn.BatchNorm2d(first)
    if own["stem"] == "small":
        model.conv1 = torch.nn.Conv2d(channels, first, 3, 1, 1, bias=False)
        model.maxpool = torch.nn.Identity()
    for i in range(4):
        stage: Any = torch.nn.Identity()
        if i < len(own["stage_sizes"]):
            blocks = own["stage_sizes"][i]
            stage = model._make_layer(block, first * 2**i, blocks, 2 if i else 1)
        setattr(model, f"layer{i + 1}", stage)
    model.fc = torch.nn.Identity()
    _loaded(model, _state(found))
    grids: list[Any] = []
    model.layer4.register_forward_hook(lambda *args: grids.append(args[-1]))
    with torch.no_grad():
        pooled = model(_batch(images)).numpy()
    return pooled, grids[0].numpy().transpose(0, 2, 3, 1)


def timm_vit(own: dict[str, Any], channels: int = 3) -> Any:
    """Network of timm's with the settings of one of ours."""
    import torch
    from timm.layers import SwiGLUPacked
    from timm.models.vision_transformer import VisionTransformer

    norm = functools.partial(torch.nn.LayerNorm, eps=own["norm_epsilon"])
    gated = own["feed_forward"] == "swiglu"
    activation: Any = torch.nn.SiLU if gated else torch.nn.GELU
    if own["activation"] == "gelu_tanh":
        activation = functools.partial(torch.nn.GELU, approximate="tanh")
    pools = {"class": "token", "mean": "avg", "normed_mean": "avg", "map": "map"}
    return VisionTransformer(
        img_size=own["image_size"],
        patch_size=own["patch"],
        in_chans=channels,
        embed_dim=own["dim"],
        depth=own["depth"],
        num_heads=own["num_heads"],
        mlp_ratio=own["mlp_ratio"] * (2 if gated else 1),
        num_classes=0,
        global_pool=pools[own["pool"]],
        fc_norm=own["pool"] == "mean",
        class_token=own["class_token"],
        init_values=own["layer_scale"] or None,
        reg_tokens=own["registers"],
        no_embed_class=own["registers"] > 0,
        dynamic_img_size=True,
        norm_layer=norm,
        act_layer=activation,
        **({"mlp_layer": SwiGLUPacked} if gated else {}),
    )


def timm_eva(own: dict[str, Any], **more: Any) -> Any:
    """DINOv3 of timm's with the settings of one of ours."""
    import torch
    from timm.models.eva import Eva

    gated = own["feed_forward"] == "swiglu"
    return Eva(
        img_size=own["image_size"],
        patch_size=own["patch"],
        embed_dim=own["dim"],
        depth=own["depth"],
        num_heads=own["num_heads"],
        mlp_ratio=own["mlp_ratio"],
        swiglu_mlp=gated,
        swiglu_align_to=1,
        num_classes=0,
        global_pool="token",
        init_values=own["layer_scale"],
        num_reg_tokens=own["registers"],
        rope_type="dinov3",
        rope_temperature=own["rope_base"],
        rope_rotate_half=True,
        use_rot_pos_emb=True,
        use_abs_pos_emb=False,
        use_fc_norm=False,
        dynamic_img_size=True,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=own["norm_epsilon"]),
        **more,
    )


def timm_features(model: Any, own: dict[str, Any], images: np.ndarray) -> Any:
    """Pooled features and normed patches of one of timm's transformers."""
    import torch

    with torch.no_grad():
        tokens = model.forward_features(_batch(images))
        pooled = model.forward_head(tokens, pre_logits=True)
        if own["pool"] == "mean":
            tokens = model.fc_norm(tokens)
    front = own["registers"] + int(own["class_token"])
    h, w = (side // own["patch"] for side in images.shape[1:3])
    grid = tokens[:, front:].reshape(len(images), h, w, -1)
    return pooled.numpy(), grid.numpy()


def _timm(found: Imported, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import re

    from timm.models import eva, vision_transformer

    own, state = dict(found.card["encoder"]), _state(found)
    chunk = re.compile(r"^blocks\.\d+\.(\d+)\.")
    state = {chunk.sub(r"blocks.\1.", name): value for name, value in state.items()}
    if own["positions"] == "rope":
        biased = any(name.endswith("qkv.bias") for name in state)
        model = timm_eva(own, qkv_bias=biased)
        state = eva.checkpoint_filter_fn(state, model)
    else:
        model = timm_vit(own, images.shape[-1])
        state = vision_transformer.checkpoint_filter_fn(state, model)
    return timm_features(_loaded(model, state), own, images)


def _timm_npz(found: Imported, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    own = dict(found.card["encoder"])
    model = timm_vit(own, images.shape[-1])
    model.load_pretrained(str(found.weights.files[0]))
    return timm_features(model.eval(), own, images)


def _transformers(found: Imported, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import torch
    from transformers import AutoConfig, AutoModel

    folder = pathlib.Path(found.weights.files[0]).parent
    if not found.weights.config:
        raise ValueError(
            "--verify: transformers needs the config.json beside the weights."
        )
    config = AutoConfig.from_pretrained(folder)
    more: dict[str, Any] = {}
    if config.model_type == "vit_mae":
        config.mask_ratio = 0.0
        # Patches enter in the order of the noise, which is random unless given.
        h, w = (side // config.patch_size for side in images.shape[1:3])
        more["noise"] = torch.arange(h * w).float().repeat(len(images), 1)
    model = AutoModel.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    own = found.card["encoder"]
    with torch.no_grad():
        said = model(_batch(images), **more)
    if config.model_type == "resnet":
        pooled = said.pooler_output.flatten(1).numpy()
        return pooled, said.last_hidden_state.numpy().transpose(0, 2, 3, 1)
    tokens = said.last_hidden_state.numpy()
    h, w = (side // own["patch"] for side in images.shape[1:3])
    grid = tokens[:, 1 + own["registers"] :].reshape(len(images), h, w, -1)
    return tokens[:, 0], grid
