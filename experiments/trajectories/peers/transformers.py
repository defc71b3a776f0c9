"""Methods of vision transformers: DINO, MAE and MoCo v3."""

import argparse
import functools
import sys

import given
import numpy as np
import torch
from torch import nn

from peers import common
from peers.clusters import of_step
from peers.common import Leaf, linear, norm

NORM = functools.partial(nn.LayerNorm, eps=1e-6)


def block(name, layer):
    out = norm(f"{name}/norm0", layer.norm1) | norm(f"{name}/norm1", layer.norm2)
    out |= linear(f"{name}/attention/qkv", layer.attn.qkv)
    out |= linear(f"{name}/attention/out", layer.attn.proj)
    out |= linear(f"{name}/feed_forward/dense0", layer.mlp.fc1)
    return out | linear(f"{name}/feed_forward/dense1", layer.mlp.fc2)


def vit(name, net, positions=True):
    """Leaves of a vision transformer whose parts have timm's names.

    Its positions are no leaf where they are fixed.
    """
    weight = net.patch_embed.proj.weight  # [D, C, p, p]
    values = int(np.prod(weight.shape[1:]))
    dim = weight.shape[0]
    out = {
        f"{name}/patch_embed/kernel": Leaf(weight, (2, 3, 1, 0), (values, dim)),
        f"{name}/patch_embed/bias": Leaf(net.patch_embed.proj.bias),
        f"{name}/class_token": Leaf(net.cls_token, shape=(1, dim)),
    }
    if positions:
        shape = tuple(net.pos_embed.shape[1:])
        out[f"{name}/position_embed"] = Leaf(net.pos_embed, shape=shape)
    for i, layer in enumerate(net.blocks):
        out |= block(f"{name}/block{i}", layer)
    return out | norm(f"{name}/norm", net.norm)


def dino_head(head, learned):
    """Leaves of DINO's projection head; the lengths of its prototypes if learned."""
    out = common.mlp("projector", head.mlp)
    out["prototypes/kernel"] = Leaf(head.last_layer.weight_v, (1, 0))
    if learned:
        out["prototypes/gain"] = Leaf(head.last_layer.weight_g, (1, 0))
    return out


def dino(code, s):
    """The released network, head, loss, loop and schedules."""
    sys.path.insert(0, f"{code}/dino")
    import main_dino
    import utils
    from vision_transformer import DINOHead, VisionTransformer

    utils.SmoothedValue.synchronize_between_processes = lambda self: None
    learned = not s["norm_last_layer"]

    def network():
        net = VisionTransformer(
            img_size=[given.SIDE],
            patch_size=s["patch"],
            embed_dim=s["dim"],
            depth=s["depth"],
            num_heads=s["num_heads"],
            qkv_bias=True,
            norm_layer=NORM,
        )
        head = DINOHead(
            s["dim"],
            s["num_prototypes"],
            norm_last_layer=s["norm_last_layer"],
            hidden_dim=s["hidden_dim"],
            bottleneck_dim=s["bottleneck_dim"],
        )
        net = utils.MultiCropWrapper(net, head)
        return net, vit("encoder", net.backbone) | dino_head(head, learned)

    (student, leaves), (teacher, elder) = network(), network()
    common.fill(leaves)
    teacher.load_state_dict(student.state_dict())
    for p in teacher.parameters():
        p.requires_grad = False
    student = nn.parallel.DistributedDataParallel(student)
    first, last, rise = s["teacher_temperature"]
    loss = main_dino.DINOLoss(
        s["num_prototypes"],
        4,
        first,
        last,
        rise,
        given.STEPS,
        student_temp=s["student_temperature"],
        center_momentum=s["center_momentum"],
    )
    loss.forward = common.Noted(loss.forward)
    optimizer = torch.optim.AdamW(utils.get_params_groups(student))
    # One step is an epoch.
    cosine = functools.partial(
        utils.cosine_scheduler, epochs=given.STEPS, niter_per_ep=1
    )
    rates = cosine(s["rate"], s["end_value"], warmup_epochs=s["warmup"])
    decays, momenta = cosine(*s["weight_decay"]), cosine(s["momentum"], 1)
    args = argparse.Namespace(
        epochs=given.STEPS, clip_grad=s["clip_each"], freeze_last_layer=0
    )
    for epoch, crops in enumerate(of_step("dino")):
        main_dino.train_one_epoch(
            student, teacher, teacher, loss, [(crops, None)], optimizer,
            rates, decays, momenta, epoch, None, args,
        )  # fmt: skip
    leaves |= common.under("teacher", elder)
    leaves["center"] = Leaf(loss.center, shape=(s["num_prototypes"],))
    return loss.forward.losses, leaves


def older_timm():
    """What released codes count on in timm, under today's names."""
    import timm.layers
    import timm.models.vision_transformer as networks

    class Block(networks.Block):
        def __init__(self, *args, qk_scale=None, **kwargs):
            super().__init__(*args, **kwargs)

    networks.Block = Block
    common.stub("timm.models.layers", PatchEmbed=timm.layers.PatchEmbed)
    common.stub("timm.models.layers.helpers", to_2tuple=timm.layers.to_2tuple)
    networks.VisionTransformer.num_tokens = 1
    networks._cfg = dict


def mae(code, s):
    """The released network, loss, loop and schedule."""
    older_timm()
    common.stub("torch._six", inf=float("inf"))
    np.float = float
    sys.path.insert(0, f"{code}/mae")
    import engine_pretrain
    import models_mae
    import util.misc

    util.misc.SmoothedValue.synchronize_between_processes = lambda self: None
    model = models_mae.MaskedAutoencoderViT(
        img_size=given.SIDE,
        patch_size=s["patch"],
        embed_dim=s["dim"],
        depth=s["depth"],
        num_heads=s["num_heads"],
        decoder_embed_dim=s["decoder_width"],
        decoder_depth=s["decoder_depth"],
        decoder_num_heads=s["decoder_heads"],
        norm_layer=NORM,
        norm_pix_loss=s["norm_pix"],
    )
    leaves = vit("encoder", model, positions=False)
    leaves |= linear("decoder/embed", model.decoder_embed)
    shape = (1, s["decoder_width"])
    leaves["decoder/mask_token"] = Leaf(model.mask_token, shape=shape)
    for i, layer in enumerate(model.decoder_blocks):
        leaves |= block(f"decoder/block{i}", layer)
    leaves |= norm("decoder/norm", model.decoder_norm)
    leaves |= linear("decoder/pixels", model.decoder_pred)
    common.fill(leaves)
    learned = [p for p in model.parameters() if p.requires_grad]
    bare = {id(p) for n, p in model.named_parameters() if p.ndim == 1 or "bias" in n}
    groups = [
        {"params": [p for p in learned if id(p) in bare], "weight_decay": 0.0},
        {
            "params": [p for p in learned if id(p) not in bare],
            "weight_decay": s["weight_decay"],
        },
    ]
    optimizer = torch.optim.AdamW(groups, lr=s["rate"], betas=(0.9, s["b2"]))
    count = (given.SIDE // s["patch"]) ** 2
    orders = given.orders("mae", given.BATCH, count)
    # The patches are put into the order of random numbers.
    noise = iter(torch.from_numpy(np.argsort(orders, axis=-1).astype(np.float64)))
    torch.rand = lambda *args, **kwargs: next(noise)
    model.forward = common.Noted(model.forward)
    images = common.tensors(given.images("mae", given.SIDE, given.SIDE, 3))
    each = s["steps_per_epoch"]
    args = argparse.Namespace(
        accum_iter=1,
        mask_ratio=s["mask_ratio"],
        lr=s["rate"],
        min_lr=0.0,
        warmup_epochs=s["warmup"],
        epochs=given.STEPS // each,
    )
    scaler = util.misc.NativeScalerWithGradNormCount()
    for epoch in range(args.epochs):
        loader = [(images[epoch * each + i], None) for i in range(each)]
        engine_pretrain.train_one_epoch(
            model, loader, optimizer, torch.device("cpu"), epoch, scaler, args=args
        )
    return model.forward.losses, leaves


def moco_v3_code(code):
    """The released loop, builder and networks, as modules."""
    older_timm()
    tensorboard = common.stub("torch.utils.tensorboard")
    tensorboard.SummaryWriter = None
    sys.path.insert(0, f"{code}/moco-v3")
    import main_moco
    import moco.builder
    import vits

    return main_moco, moco.builder, vits


def moco_v3(code, s):
    """The released networks, loop and schedules, with a vision transformer."""
    main_moco, builder, vits = moco_v3_code(code)

    def network(**more):
        return vits.VisionTransformerMoCo(
            stop_grad_conv1=True,
            img_size=given.SIDE,
            patch_size=s["patch"],
            embed_dim=s["dim"],
            depth=s["depth"],
            num_heads=s["num_heads"],
            mlp_ratio=4,
            qkv_bias=True,
            norm_layer=NORM,
            **more,
        )

    model = builder.MoCo_ViT(
        network, s["output_dim"], s["hidden_dim"], s["temperature"]
    )

    for net in (model.base_encoder, model.momentum_encoder):
        # Its fixed positions have rows in the first half of the channels and columns
        # in the second, ours as MAE's the other way round. Random weights do not see
        # in which order channels are, but the same weights do.
        rows, columns = net.pos_embed.data.chunk(2, dim=-1)
        net.pos_embed.data = torch.cat([columns, rows], dim=-1)

    def named(net):
        own = vit("encoder", net, positions=False)
        return own | common.mlp("projector", net.head)

    leaves = named(model.base_encoder) | common.mlp("predictor", model.predictor)
    leaves |= common.under("teacher", named(model.momentum_encoder))
    common.fill(leaves)
    optimizer = torch.optim.AdamW(
        model.parameters(), s["rate"], weight_decay=s["weight_decay"]
    )
    return moco_v3_steps("moco_v3", main_moco, model, optimizer, s), leaves


def moco_v3_resnet(code, s):
    """The same with a ResNet's heads, and the released LARS."""
    main_moco, builder, _ = moco_v3_code(code)
    model = builder.MoCo_ResNet(
        common.Small, s["output_dim"], s["hidden_dim"], s["temperature"]
    )

    def named(net):
        return common.small("encoder", net) | common.mlp("projector", net.fc)

    leaves = named(model.base_encoder) | common.mlp("predictor", model.predictor)
    leaves |= common.under("teacher", named(model.momentum_encoder))
    common.fill(leaves)
    optimizer = main_moco.moco.optimizer.LARS(
        model.parameters(),
        s["rate"],
        weight_decay=s["weight_decay"],
        momentum=s["velocity"],
        trust_coefficient=s["trust_coefficient"],
    )
    return moco_v3_steps("moco_v3_resnet", main_moco, model, optimizer, s), leaves


def moco_v3_steps(name, main_moco, model, optimizer, s):
    """Losses of the released loop."""
    losses = common.noted_meter(main_moco)
    views, each = common.pairs(name), s["steps_per_epoch"]
    args = argparse.Namespace(
        gpu=None,
        rank=1,  # It does not write.
        print_freq=1000,
        lr=s["rate"],
        warmup_epochs=s["warmup"],
        epochs=given.STEPS // each,
        moco_m=s["momentum"],
        moco_m_cos=True,
    )
    scaler = torch.cuda.amp.GradScaler()
    for epoch in range(args.epochs):
        loader = [(list(views[epoch * each + i].unbind(1)), None) for i in range(each)]
        main_moco.train(loader, model, optimizer, scaler, None, epoch, args)
    # Ours moves at the end of a step, the released code's before the next keys.
    model._update_momentum_encoder(main_moco.adjust_moco_momentum(args.epochs, args))
    return losses


PEERS = {"dino": dino, "mae": mae, "moco_v3": moco_v3, "moco_v3_resnet": moco_v3_resnet}
