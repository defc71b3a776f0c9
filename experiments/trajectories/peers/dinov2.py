"""DINOv2, with iBOT's loss of patches, by the released training module."""

import argparse
import functools
import importlib
import sys

import given
import torch

from peers import common
from peers.clusters import of_step
from peers.common import Leaf
from peers.transformers import dino_head, vit

CENTERING = {"center": "centering", "sinkhorn": "sinkhorn_knopp"}


class Settings(dict):
    """Settings that are read as fields and as keys."""

    __getattr__ = dict.__getitem__


class Joined:
    """Sequences of different lengths in a row, as xFormers' masks keep them."""

    def __init__(self, lengths):
        self.lengths = lengths

    @classmethod
    def from_tensor_list(cls, tensors):
        joined = torch.cat(tensors, dim=1)
        return cls([tensor.shape[1] for tensor in tensors]), joined

    def split(self, joined):
        return list(joined.split(self.lengths, dim=1))


def dinov2_module(code):
    """The released training module, without FSDP and xFormers, which need GPUs."""
    sys.path.insert(0, f"{code}/dinov2")
    fmha = argparse.Namespace(BlockDiagonalMask=Joined)
    common.stub("xformers.ops", fmha=fmha)
    importlib.import_module("dinov2")
    common.stub(
        "dinov2.fsdp",
        get_fsdp_wrapper=None,
        ShardedGradScaler=None,
        get_fsdp_modules=lambda m: [argparse.Namespace(params=list(m.parameters()))],
        reshard_fsdp_model=lambda m: None,
    )
    from dinov2.layers.block import Block, NestedTensorBlock
    from dinov2.models import vision_transformer

    path = f"{code}/dinov2/dinov2/train/ssl_meta_arch.py"
    ssl_meta_arch = common.from_file(path, "peer_dinov2")

    def one_by_one(self, x):
        forward = functools.partial(Block.forward, self)
        return list(map(forward, x)) if isinstance(x, list) else forward(x)

    NestedTensorBlock.forward = one_by_one
    return ssl_meta_arch.SSLMetaArch, vision_transformer


def dinov2(code, s):
    """The released training module, groups of parameters and schedules."""
    arch, networks = dinov2_module(code)
    from dinov2.utils.utils import CosineScheduler

    def network(patch_size, img_size, init_values, **ignored):
        return networks.DinoVisionTransformer(
            img_size=img_size,
            patch_size=patch_size,
            init_values=init_values,
            embed_dim=s["dim"],
            depth=s["depth"],
            num_heads=s["num_heads"],
            block_fn=networks.Block,
            block_chunks=0,
        )

    networks.vit_of_these_settings = network
    unread = ("ffn_layer", "block_chunks", "qkv_bias", "proj_bias", "ffn_bias")
    unread += ("num_register_tokens", "interpolate_offset", "interpolate_antialias")
    student = Settings(
        arch="vit_of_these_settings",
        patch_size=s["patch"],
        layerscale=s["layer_scale"],
        drop_path_rate=0.0,
        drop_path_uniform=True,
        pretrained_weights="",
        **dict.fromkeys(unread),
    )
    head = dict(
        head_n_prototypes=s["num_prototypes"],
        head_bottleneck_dim=s["bottleneck_dim"],
        head_nlayers=3,
        head_hidden_dim=s["hidden_dim"],
    )
    koleo = s["koleo_weight"]
    cfg = Settings(
        student=student,
        crops=Settings(global_crops_size=given.SIDE, local_crops_number=2),
        compute_precision=Settings(grad_scaler=False),
        dino=Settings(loss_weight=1.0, koleo_loss_weight=koleo, **head),
        ibot=Settings(
            loss_weight=s["patch_weight"],
            separate_head=False,
            mask_ratio_min_max=(0.1, 0.5),
            mask_sample_probability=0.5,
        ),
        train=Settings(centering=CENTERING[s["centering"]]),
        optim=Settings(
            layerwise_decay=s["layer_decay"], patch_embed_lr_mult=s["patch_factor"]
        ),
    )
    model = arch(cfg)
    model.need_to_synchronize_fsdp_streams = False
    for loss in (model.dino_loss, model.ibot_patch_loss):
        loss.student_temp = s["student_temperature"]
        loss.center_momentum = s["center_momentum"]

    def named(side):
        net = side["backbone"]
        out = vit("encoder", net) | dino_head(side["dino_head"], learned=True)
        out["encoder/mask_embed"] = Leaf(net.mask_token)
        for i, layer in enumerate(net.blocks):
            for j, scale in enumerate((layer.ls1, layer.ls2)):
                out[f"encoder/block{i}/branch{j}/scale"] = Leaf(scale.gamma)
        return out

    leaves = named(model.student) | common.under("teacher", named(model.teacher))
    common.fill(leaves)
    model.train()
    groups = model.get_params_groups()
    for group in groups:
        group["foreach"] = False
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999))
    rise, peak = s["warmup"], s["rate"]
    rates = CosineScheduler(peak, s["end_value"], given.STEPS, rise).schedule
    decays = CosineScheduler(*s["weight_decay"], given.STEPS).schedule
    momenta = CosineScheduler(s["momentum"], 1.0, given.STEPS).schedule
    first, last, rise = s["teacher_temperature"]
    warm = CosineScheduler(last, last, rise, rise, first)
    losses = []

    def noted(loss):
        losses.append(loss.item())
        loss.backward()

    model.backprop_loss = noted
    count = (given.SIDE // s["patch"]) ** 2
    every = torch.from_numpy(given.hidden("dinov2", count))
    for step, crops in enumerate(of_step("dinov2")):
        masks = every[step].transpose(0, 1).flatten(0, 1)  # Crop by crop.
        places = masks.flatten().nonzero().flatten()
        each = (1 / masks.sum(-1).clamp(min=1.0))[:, None].expand_as(masks)
        images = {
            "collated_global_crops": torch.cat(crops[:2]),
            "collated_local_crops": torch.cat(crops[2:]),
            "collated_masks": masks,
            "mask_indices_list": places,
            "n_masked_patches": torch.tensor([len(places)]),
            "upperbound": len(places),
            "masks_weight": each[masks],
        }
        for group in optimizer.param_groups:
            still = group["is_last_layer"] and step < s["frozen"]
            group["lr"] = 0.0 if still else rates[step] * group["lr_multiplier"]
            group["weight_decay"] = decays[step] * group["wd_multiplier"]
        optimizer.zero_grad()
        model.forward_backward(images, teacher_temp=warm[step])
        optimizer.step()
        model.update_teacher(momenta[step])
    if s["centering"] == "sinkhorn":
        return losses, leaves
    # They move when they are used next.
    for name, loss in (("center", model.dino_loss), ("patch", model.ibot_patch_loss)):
        loss.apply_center_update()
        name = "center" if name == "center" else "patch_center"
        leaves[name] = Leaf(loss.center, shape=(s["num_prototypes"],))
    return losses, leaves


PEERS = {"dinov2": dinov2, "dinov2_sinkhorn": dinov2}
