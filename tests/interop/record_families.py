"""Records what torchvision, timm and transformers say of small networks of each family.

Run where torch, torchvision, timm, transformers and safetensors are installed, as
`python -m tests.interop.record_families`. It writes for each case of `CASES` the names
and shapes of a published file's arrays, and what the library that reads such a file
says of images when `fill` has filled it: pooled features, and a digest of the grid.
"""

import functools
import json
import pathlib
import tempfile

import numpy as np
import torch

from jax_ssl.interop.judges import declare_torchvision_ops

declare_torchvision_ops()

import timm.models  # noqa: E402
import torchvision  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from timm.layers import SwiGLUPacked  # noqa: E402
from timm.models import eva, vision_transformer  # noqa: E402

from tests.interop.families import PATH, filled  # noqa: E402
from tests.references.encoders_torch import digest, image  # noqa: E402

SIZES = {"embed_dim": 32, "depth": 2, "num_heads": 2}
VIT = {"img_size": 16, "patch_size": 4, "num_classes": 0, **SIZES}
HUB = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 128, "image_size": 16, "patch_size": 4},
}


def tensors(arrays):
    return {name: torch.tensor(value) for name, value in arrays.items()}


def batch(*size):
    return torch.tensor(image(2, *size).transpose(0, 3, 1, 2).copy())


def shapes_of(model, drop=()):
    state = model.state_dict()
    return {n: list(v.shape) for n, v in state.items() if not n.startswith(drop)}


def within(prefix, shapes):
    return {prefix + name: shape for name, shape in shapes.items()}


def resnet(block, layers, *, stem=7, **more):
    model = torchvision.models.ResNet(block, [1, 1, 1, 1], **more)
    if stem == 3:
        model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = torch.nn.Identity()
    for i in range(4):
        if i >= layers:
            setattr(model, f"layer{i + 1}", torch.nn.Identity())
    model.fc = torch.nn.Identity()
    return model


def of_resnet(model, shapes, prefix="", size=(32, 40), same=False):
    """What torchvision's network says; `same` pads its pool as TensorFlow does."""
    state = filled(shapes)
    own = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    missing = model.load_state_dict(tensors(own), strict=False).missing_keys
    assert not missing, missing
    if same:
        model.maxpool = torch.nn.MaxPool2d(3, 2, 0, ceil_mode=True)
    grids = []
    model.layer4.register_forward_hook(lambda *args: grids.append(args[-1]))
    with torch.no_grad():
        pooled = model.eval()(batch(*size))
    return pooled.numpy(), grids[0].numpy().transpose(0, 2, 3, 1)


def of_timm(model, shapes, prefix="", size=(16, 16), rename=None, module=None):
    """What timm's network says, which takes the names of the file by its own filter."""
    own = {n.removeprefix(prefix): v for n, v in tensors(filled(shapes)).items()}
    own = {n: v for n, v in own.items() if prefix + n in shapes}
    own = {rename(n) if rename else n: v for n, v in own.items()}
    state = (module or vision_transformer).checkpoint_filter_fn(own, model)
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert not missing, missing
    return timm_features(model, size)


def timm_features(model, size):
    model.eval()
    with torch.no_grad():
        tokens = model.forward_features(batch(*size))
        pooled = model.forward_head(tokens, pre_logits=True)
        if isinstance(model, timm.models.VisionTransformer):
            tokens = model.fc_norm(tokens)
    grid = tokens[:, model.num_prefix_tokens :]
    h, w = size[0] // 4, size[1] // 4
    return pooled.numpy(), grid.reshape(2, h, w, -1).numpy()


def of_hub(model, size=(16, 16), registers=0):
    """What transformers says of a folder of its own, and the folder's names."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        model.save_pretrained(path)
        config = json.loads((path / "config.json").read_text())
        shapes = {
            name: list(value.shape)
            for name, value in load_file(path / "model.safetensors").items()
        }
        save_file(tensors(filled(shapes)), path / "model.safetensors", {"format": "pt"})
        kind = type(model)
        read = kind.from_pretrained(path, attn_implementation="eager").eval()
    more = {}
    network = read
    if config["model_type"] == "vit_mae":
        network = getattr(read, "vit", read)
        network.config.mask_ratio = 0.0
        order = torch.arange((size[0] // 4) * (size[1] // 4)).float()
        more = {"noise": order.repeat(2, 1)}
    if config["model_type"] == "vit":
        network = getattr(read, "vit", read)
    if size != (16, 16) and config["model_type"] == "vit":
        more["interpolate_pos_encoding"] = True
    with torch.no_grad():
        tokens = network(batch(*size), **more).last_hidden_state.numpy()
    grid = tokens[:, 1 + registers :].reshape(2, size[0] // 4, size[1] // 4, -1)
    keep = ("model_type", "num_attention_heads", "layer_norm_eps", "hidden_act")
    kept = {key: config[key] for key in (*keep, "rope_theta") if key in config}
    return shapes, (tokens[:, 0], grid), kept


BASIC = torchvision.models.resnet.BasicBlock
BOTTLENECK = torchvision.models.resnet.Bottleneck
FC = {"fc.weight": [5, 128], "fc.bias": [5]}


def torchvision_wide():
    model = resnet(BOTTLENECK, 1, width_per_group=128)
    shapes = shapes_of(model) | {"fc.weight": [5, 256], "fc.bias": [5]}
    return shapes, of_resnet(model, shapes), {}


def moco():
    model = resnet(BASIC, 2)
    shapes = {}
    for copy in ("encoder_q", "encoder_k"):
        at = f"state_dict.module.{copy}."
        shapes |= within(at, shapes_of(model) | FC)
    shapes |= {"state_dict.module.queue": [128, 8], "state_dict.module.queue_ptr": [1]}
    said = of_resnet(model, shapes, "state_dict.module.encoder_q.")
    return shapes, said, {}


def swav():
    model = resnet(BASIC, 2)
    shapes = within("module.", shapes_of(model))
    shapes |= {
        "module.projection_head.0.weight": [16, 128],
        "module.projection_head.1.running_mean": [16],
        "module.prototypes.weight": [7, 16],
    }
    return shapes, of_resnet(model, shapes, "module."), {}


def simsiam():
    model = resnet(BASIC, 2)
    at = "state_dict.module.encoder."
    shapes = within(at, shapes_of(model) | {"fc.0.weight": [5, 128]})
    shapes |= {
        "state_dict.module.predictor.0.weight": [5, 5],
        "optimizer.state.0.momentum_buffer": [2],
    }
    return shapes, of_resnet(model, shapes, at), {}


def barlow_twins():
    model = resnet(BASIC, 2, stem=3)
    at = "model.module.backbone."
    shapes = within(at, shapes_of(model))
    shapes |= {"model.module.projector.0.weight": [5, 5]}
    shapes |= {"model.module.bn.running_mean": [5]}
    return shapes, of_resnet(model, shapes, at, (16, 24)), {}


def timm_mean():
    model = timm.models.VisionTransformer(**VIT, global_pool="avg", init_values=0.1)
    shapes = shapes_of(model) | {"head.weight": [5, 32], "head.bias": [5]}
    return shapes, of_timm(model, shapes), {}


def timm_resampled():
    """Registers without positions, and images of another size."""
    model = timm.models.VisionTransformer(
        **VIT, reg_tokens=3, no_embed_class=True, dynamic_img_size=True
    )
    shapes = shapes_of(model)
    return shapes, of_timm(model, shapes, size=(24, 12)), {}


def timm_siglip():
    """No class token, an attention head, and the approximate GELU."""
    tanh = functools.partial(torch.nn.GELU, approximate="tanh")
    model = timm.models.VisionTransformer(
        **VIT, class_token=False, global_pool="map", act_layer=tanh
    )
    shapes = shapes_of(model)
    return shapes, of_timm(model, shapes), {}


def dino():
    model = timm.models.VisionTransformer(**VIT)
    shapes = {}
    for copy in ("teacher.", "student.module."):
        at = f"{copy}backbone."
        shapes |= within(at, shapes_of(model))
        shapes |= within(f"{copy}head.", {"mlp.0.weight": [5, 32], "last_layer.g": [5]})
    shapes |= {"dino_loss.center": [1, 5], "optimizer.state.0.exp_avg": [2]}
    return shapes, of_timm(model, shapes, "teacher.backbone."), {}


def mae():
    model = timm.models.VisionTransformer(**VIT)
    shapes = shapes_of(model)
    shapes |= {
        "mask_token": [1, 1, 16],
        "decoder_pos_embed": [1, 17, 16],
        "decoder_embed.weight": [16, 32],
        "decoder_blocks.0.norm1.weight": [16],
        "decoder_pred.weight": [48, 16],
    }
    shapes = within("model.", shapes)
    return shapes, of_timm(model, shapes, "model."), {}


def moco_v3():
    model = timm.models.VisionTransformer(**VIT)
    shapes = {}
    for copy in ("base_encoder", "momentum_encoder"):
        at = f"state_dict.module.{copy}."
        shapes |= within(at, shapes_of(model) | {"head.0.weight": [5, 32]})
    shapes |= {"state_dict.module.predictor.0.weight": [5, 5]}
    return shapes, of_timm(model, shapes, "state_dict.module.base_encoder."), {}


def dinov2():
    """Registers, SwiGLU, layer scale, and blocks in chunks."""
    model = timm.models.VisionTransformer(
        **VIT,
        reg_tokens=4,
        no_embed_class=True,
        init_values=1e-5,
        mlp_layer=SwiGLUPacked,
        act_layer=torch.nn.SiLU,
        mlp_ratio=2 * 24 / 32,
    )
    shapes = {}
    for name, shape in shapes_of(model).items():
        for ours, theirs in (
            ("reg_token", "register_tokens"),
            ("mlp.fc1", "mlp.w12"),
            ("mlp.fc2", "mlp.w3"),
        ):
            name = name.replace(ours, theirs)
        if name.startswith("blocks."):
            # Chunks of one block; the second keeps its number.
            name = name.replace("blocks.", f"blocks.{name.split('.')[1]}.", 1)
        shapes[name] = [1, 17, 32] if name == "pos_embed" else shape
    shapes["mask_token"] = [1, 32]

    def rename(name):
        parts = name.split(".")
        return ".".join([parts[0], *parts[2:]]) if parts[0] == "blocks" else name

    return shapes, of_timm(model, shapes, rename=rename), {}


def dinov3(gated=True, size=(16, 24)):
    """Rotated positions, storage tokens, a masked bias; SwiGLU with three matrices."""
    model = eva.Eva(
        **VIT,
        qkv_bias=True,
        mlp_ratio=2.0,
        swiglu_mlp=gated,
        swiglu_align_to=1,
        global_pool="token",
        init_values=1e-5,
        num_reg_tokens=4,
        rope_type="dinov3",
        rope_temperature=100,
        rope_rotate_half=True,
        use_rot_pos_emb=True,
        use_abs_pos_emb=False,
        use_fc_norm=False,
        dynamic_img_size=True,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-5),
    )
    shapes = {}
    for name, shape in shapes_of(model).items():
        if name.endswith(("q_bias", "v_bias")):
            name, shape = name.replace(name[-6:], "qkv.bias"), [96]
            shapes[f"{name}_mask"] = [96]
        for ours, theirs in (
            ("reg_token", "storage_tokens"),
            ("gamma_1", "ls1.gamma"),
            ("gamma_2", "ls2.gamma"),
            ("mlp.fc1_g", "mlp.w1"),
            ("mlp.fc1_x", "mlp.w2"),
            ("mlp.fc2", "mlp.w3" if gated else "mlp.fc2"),
        ):
            name = name.replace(ours, theirs)
        shapes[name] = shape
    shapes |= {"mask_token": [1, 32], "rope_embed.periods": [4]}
    shapes |= {"local_cls_norm.weight": [32], "local_cls_norm.bias": [32]}

    def rename(name):  # timm's filter reads w1, w2 and w3 of no gated layer.
        for theirs, ours in (("w1", "fc1_g"), ("w2", "fc1_x"), ("w3", "fc2")):
            name = name.replace(f"mlp.{theirs}.", f"mlp.{ours}.")
        return name

    return shapes, of_timm(model, shapes, size=size, rename=rename, module=eva), {}


def hf_vit():
    config = transformers.ViTConfig(**HUB, hidden_act="gelu_pytorch_tanh")
    return of_hub(transformers.ViTForImageClassification(config), (24, 12))


def hf_dinov2():
    config = transformers.Dinov2Config(**HUB, use_swiglu_ffn=True)
    return of_hub(transformers.Dinov2Model(config), (24, 24))


def hf_dinov2_registers():
    config = transformers.Dinov2WithRegistersConfig(**HUB)
    return of_hub(transformers.Dinov2WithRegistersModel(config), (24, 12), 4)


def hf_mae():
    decoder = {
        **{"decoder_num_hidden_layers": 1, "decoder_hidden_size": 16},
        **{"decoder_num_attention_heads": 2, "decoder_intermediate_size": 16},
    }
    config = transformers.ViTMAEConfig(**HUB, **decoder)
    return of_hub(transformers.ViTMAEForPreTraining(config))


def hf_dinov3():
    more = {"num_register_tokens": 4, "use_gated_mlp": True, "hidden_act": "silu"}
    config = transformers.DINOv3ViTConfig(**{**HUB, **more})
    return of_hub(transformers.DINOv3ViTModel(config), (16, 24), 4)


def big_vision(old=False):
    """Arrays that timm reads by its own reader of Google's files."""
    block, att, mlp = "Transformer/encoderblock_{}/", "MultiHeadDotProductAttention_", 0
    att, mlp, last = (f"{att}1", 3, 2) if old else (f"{att}0", 0, 1)
    shapes = {"embedding/kernel": [4, 4, 3, 32], "embedding/bias": [32]}
    for i in range(2):
        at = block.format(i)
        for word in ("query", "key", "value"):
            shapes[f"{at}{att}/{word}/kernel"] = [32, 2, 16]
            shapes[f"{at}{att}/{word}/bias"] = [2, 16]
        shapes |= {
            f"{at}{att}/out/kernel": [2, 16, 32],
            f"{at}{att}/out/bias": [32],
            f"{at}MlpBlock_{mlp}/Dense_0/kernel": [32, 128],
            f"{at}MlpBlock_{mlp}/Dense_0/bias": [128],
            f"{at}MlpBlock_{mlp}/Dense_1/kernel": [128, 32],
            f"{at}MlpBlock_{mlp}/Dense_1/bias": [32],
        }
        for norm in ("LayerNorm_0", f"LayerNorm_{last}"):
            shapes |= {f"{at}{norm}/scale": [32], f"{at}{norm}/bias": [32]}
    shapes |= {"Transformer/encoder_norm/scale": [32]}
    shapes |= {"Transformer/encoder_norm/bias": [32]}
    tanh = functools.partial(torch.nn.GELU, approximate="tanh")
    if old:
        shapes |= {"cls": [1, 1, 32], "head/kernel": [32, 5], "head/bias": [5]}
        shapes |= {"Transformer/posembed_input/pos_embedding": [1, 17, 32]}
        model = timm.models.VisionTransformer(**VIT, act_layer=tanh)
    else:
        shapes |= {"pos_embedding": [1, 16, 32], "MAPHead_0/probe": [1, 1, 32]}
        at = "MAPHead_0/MultiHeadDotProductAttention_0/"
        for word in ("query", "key", "value"):
            shapes |= {f"{at}{word}/kernel": [32, 2, 16], f"{at}{word}/bias": [2, 16]}
        shapes |= {
            f"{at}out/kernel": [2, 16, 32],
            f"{at}out/bias": [32],
            "MAPHead_0/LayerNorm_0/scale": [32],
            "MAPHead_0/LayerNorm_0/bias": [32],
            "MAPHead_0/MlpBlock_0/Dense_0/kernel": [32, 128],
            "MAPHead_0/MlpBlock_0/Dense_0/bias": [128],
            "MAPHead_0/MlpBlock_0/Dense_1/kernel": [128, 32],
            "MAPHead_0/MlpBlock_0/Dense_1/bias": [32],
        }
        shapes = within("params/img/", shapes) | {"params/t": [1], "params/b": [1]}
        model = timm.models.VisionTransformer(
            **VIT, class_token=False, global_pool="map", act_layer=tanh
        )
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file.name, **filled(shapes))
        model.load_pretrained(file.name)
    return shapes, timm_features(model, (16, 16)), {}


CASES = {
    **{"torchvision": torchvision_wide, "moco": moco, "swav": swav},
    **{"simsiam": simsiam, "barlow_twins": barlow_twins},
    **{"timm": timm_mean, "timm_resampled": timm_resampled, "timm_map": timm_siglip},
    **{"dino": dino, "mae": mae, "moco_v3": moco_v3, "dinov2": dinov2},
    **{"dinov3": dinov3, "hf_vit": hf_vit, "hf_dinov2": hf_dinov2},
    **{"hf_dinov2_registers": hf_dinov2_registers, "hf_mae": hf_mae},
    **{"hf_dinov3": hf_dinov3, "big_vision": big_vision},
    "big_vision_old": functools.partial(big_vision, old=True),
}


def short(values):
    return [float(f"{value:.8g}") for value in np.ravel(values)]


if __name__ == "__main__":
    versions = {m.__name__: m.__version__ for m in (torch, torchvision, timm)}
    recorded = {"versions": versions | {"transformers": transformers.__version__}}
    for name, case in CASES.items():
        shapes, (pooled, grid), config = case()
        if name == "torchvision":
            pooled = pooled[:, :64]
        recorded[name] = {
            "shapes": shapes,
            "config": config,
            "pooled": [short(row) for row in pooled],
            "grid": short(digest(grid)),
            "spread": [float(pooled.std()), float(grid.std())],
        }
        print(name, len(shapes), pooled.shape, grid.shape)
    PATH.write_text(json.dumps(recorded).replace('], "', '],\n"') + "\n")
