"""Methods of two views of one size: SimCLR, MoCo, BYOL, SimSiam and their kin."""

import argparse
import functools
import importlib
import sys

import given
import torch
from torch import nn

from peers import common
from peers.common import Small, still


def solo_learn(code):
    """Files of solo-learn without Lightning: (losses of SimCLR, of BYOL, ...)."""
    root = f"{code}/solo-learn/solo"

    # An older torch's, which it imports.
    importlib.import_module("torch.optim.optimizer").required = object()
    common.stub("solo.utils.misc", gather=lambda x: x, get_rank=lambda: 0)
    names = {
        "simclr": "losses/simclr",
        "byol": "losses/byol",
        "momentum": "utils/momentum",
        "lars": "utils/lars",
        "rates": "utils/lr_scheduler",
    }
    return argparse.Namespace(
        **{k: common.from_file(f"{root}/{v}.py", f"peer_{k}") for k, v in names.items()}
    )


def solo_learn_optimizer(peer, s, parameters):
    optimizer = peer.lars.LARS(
        parameters,
        lr=s["rate"],
        momentum=s["velocity"],
        weight_decay=s["weight_decay"],
        eta=s["trust_coefficient"],
        clip_lr=True,
        exclude_bias_n_norm=True,
    )
    rates = peer.rates.LinearWarmupCosineAnnealingLR(
        optimizer,
        warmup_epochs=s["warmup"],
        max_epochs=given.STEPS,
        warmup_start_lr=s["init_value"],
    )
    return optimizer, rates


def simclr(code, s):
    """The projection head of lightly; solo-learn's loss, LARS and schedule."""
    from lightly.models.modules.heads import SimCLRProjectionHead

    peer = solo_learn(code)
    net = Small()
    head = SimCLRProjectionHead(
        given.WIDTHS[-1], s["hidden_dim"], s["output_dim"], s["head_layers"]
    )
    still(head.layers[-1])
    leaves = common.small("encoder", net) | common.mlp("projector", head.layers)
    del leaves[f"projector/norm{s['head_layers'] - 1}/bias"]
    common.fill(leaves)
    learned = [leaf.tensor for leaf in leaves.values()]
    optimizer, rates = solo_learn_optimizer(peer, s, learned)
    losses = []
    for views in common.pairs("simclr"):
        both = torch.cat([views[:, 0], views[:, 1]])
        index = torch.arange(given.BATCH).repeat(2)
        loss = peer.simclr.simclr_loss_func(
            head(net.features(both)), index, s["temperature"]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
        losses.append(loss.item())
    return losses, leaves


def moco(name, code, s):
    """The released builder, loop and schedule."""
    sys.path.insert(0, f"{code}/moco")
    import main_moco
    import moco.builder

    v2 = s["head_layers"] == 2
    model = moco.builder.MoCo(
        Small,
        dim=s["output_dim"],
        K=s["queue_size"],
        m=s["momentum"],
        T=s["temperature"],
        mlp=v2,
    )
    leaves = {}
    for prefix, net in (("", model.encoder_q), ("teacher", model.encoder_k)):
        head = net.fc if v2 else [net.fc]
        own = common.small("encoder", net) | common.mlp("projector", head)
        leaves |= common.under(prefix, own) if prefix else own
    common.fill(leaves)
    leaves["queue"] = common.Leaf(model.queue, (1, 0))
    leaves["queue"].fill(given.unit_rows("queue", leaves["queue"].shape))
    optimizer = torch.optim.SGD(
        model.parameters(), s["rate"], s["velocity"], weight_decay=s["weight_decay"]
    )
    losses = common.noted_meter(main_moco)
    # It views what is not contiguous, which torch no longer allows.
    main_moco.accuracy = lambda *args, **kwargs: torch.zeros(2, 1)
    args = argparse.Namespace(
        gpu=None,
        print_freq=1000,
        lr=s["rate"],
        cos=not s["drops"],
        schedule=s["drops"],
        epochs=given.STEPS,
    )
    for epoch, views in enumerate(common.pairs(name)):
        main_moco.adjust_learning_rate(optimizer, epoch, args)
        loader = [([views[:, 0], views[:, 1]], None)]
        loss = nn.CrossEntropyLoss()
        main_moco.train(loader, model, loss, optimizer, epoch, args)
    # Ours moves at the end of a step, the released code's before the next keys.
    model._momentum_update_key_encoder()
    return losses, leaves


def byol(code, s):
    """solo-learn's heads, loss, average, LARS and schedule."""
    peer = solo_learn(code)

    def head(inputs):
        layers = nn.Sequential(
            nn.Linear(inputs, s["hidden_dim"]),
            nn.BatchNorm1d(s["hidden_dim"]),
            nn.ReLU(),
            nn.Linear(s["hidden_dim"], s["output_dim"]),
        )
        still(layers[0])
        still(layers[3])
        return layers

    net, old = Small(), Small()
    projector, old_projector = head(given.WIDTHS[-1]), head(given.WIDTHS[-1])
    predictor = head(s["output_dim"])
    leaves = common.small("encoder", net)
    leaves |= common.mlp("projector", projector) | common.mlp("predictor", predictor)
    elder = common.small("encoder", old) | common.mlp("projector", old_projector)
    leaves |= common.under("teacher", elder)
    without = "projector/dense1/bias", "predictor/dense1/bias"
    for name in (*without, f"teacher/{without[0]}"):
        del leaves[name]
    common.fill(leaves)
    parts = [(net, old), (projector, old_projector)]
    for pair in parts:
        peer.momentum.initialize_momentum_params(*pair)
    updater = peer.momentum.MomentumUpdater(s["momentum"], 1.0)
    learned = [leaf.tensor for n, leaf in leaves.items() if not n.startswith("teacher")]
    optimizer, rates = solo_learn_optimizer(peer, s, learned)
    losses = []
    for step, views in enumerate(common.pairs("byol")):
        x = [views[:, 0], views[:, 1]]
        p = [predictor(projector(net.features(v))) for v in x]
        with torch.no_grad():
            z = [old_projector(old.features(v)) for v in x]
        loss = sum(peer.byol.byol_loss_func(p[v], z[1 - v]) for v in range(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
        for pair in parts:
            updater.update(*pair)
        updater.update_tau(step + 1, given.STEPS)
        losses.append(loss.item())
    return losses, leaves


def simsiam(code, s):
    """The released builder, loop and schedule."""
    sys.path.insert(0, f"{code}/simsiam")
    import main_simsiam
    import simsiam.builder

    model = simsiam.builder.SimSiam(Small, s["output_dim"], s["predictor_dim"])
    leaves = common.small("encoder", model.encoder)
    leaves |= common.mlp("projector", model.encoder.fc)
    leaves |= common.mlp("predictor", model.predictor)
    common.fill(leaves)
    optimizer = torch.optim.SGD(
        [
            {"params": model.encoder.parameters(), "fix_lr": False},
            {"params": model.predictor.parameters(), "fix_lr": True},
        ],
        s["rate"],
        momentum=s["velocity"],
        weight_decay=s["weight_decay"],
    )
    losses = common.noted_meter(main_simsiam)
    args = argparse.Namespace(gpu=None, print_freq=1000, epochs=given.STEPS)
    for epoch, views in enumerate(common.pairs("simsiam")):
        main_simsiam.adjust_learning_rate(optimizer, s["rate"], epoch, args)
        loader = [([views[:, 0], views[:, 1]], None)]
        loss = nn.CosineSimilarity(dim=1)
        main_simsiam.train(loader, model, loss, optimizer, epoch, args)
    return losses, leaves


class Bare(Small):
    """A `Small` whose output is its features."""

    forward = Small.features


def steps(module, s, model, optimizer, args, views):
    """The released loop of Barlow Twins and of VICReg, which stands in their `main`."""
    losses = []
    loader = range(1)  # One step is an epoch.
    for step, (x, y) in enumerate(zip(views[:, :, 0], views[:, :, 1], strict=True)):
        module.adjust_learning_rate(args, optimizer, loader, step)
        optimizer.zero_grad()
        loss = model.forward(x, y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def barlow_twins(code, s):
    """The released model, LARS and schedule."""
    module = common.from_file(f"{code}/barlowtwins/main.py", "peer_barlow_twins")
    # The released code counts on the 2048 features of a ResNet-50.
    wide = nn.Linear

    def narrow(inputs, outputs, bias=True):
        return wide(given.WIDTHS[-1] if inputs == 2048 else inputs, outputs, bias=bias)

    module.torchvision.models.resnet50 = lambda **ignored: Bare()
    nn.Linear = narrow
    args = argparse.Namespace(
        projector=f"{s['hidden_dim']}-{s['hidden_dim']}-{s['output_dim']}",
        batch_size=given.BATCH,
        lambd=s["redundancy_weight"],
        epochs=given.STEPS,
        # The released code multiplies by batch / 256.
        learning_rate_weights=s["rate"] * 256 / given.BATCH,
        learning_rate_biases=s["rate_of_biases"] * 256 / given.BATCH,
    )
    try:
        model = module.BarlowTwins(args)
    finally:
        nn.Linear = wide
    leaves = common.small("encoder", model.backbone)
    leaves |= common.mlp("projector", model.projector)
    common.fill(leaves)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim != 1]},
        {"params": [p for p in model.parameters() if p.ndim == 1]},
    ]
    optimizer = module.LARS(
        groups,
        lr=0,
        weight_decay=s["weight_decay"],
        momentum=s["velocity"],
        weight_decay_filter=True,
        lars_adaptation_filter=True,
    )
    views = common.pairs("barlow_twins")
    return steps(module, s, model, optimizer, args, views), leaves


def vicreg(code, s):
    """The released model, LARS and schedule."""
    sys.path.insert(0, f"{code}/vicreg")
    import main_vicreg as module

    module.resnet.small = lambda **ignored: (Bare(), given.WIDTHS[-1])
    args = argparse.Namespace(
        arch="small",
        mlp=f"{s['hidden_dim']}-{s['hidden_dim']}-{s['output_dim']}",
        batch_size=given.BATCH,
        epochs=given.STEPS,
        base_lr=s["rate"] * 256 / given.BATCH,
        sim_coeff=s["invariance_weight"],
        std_coeff=s["variance_weight"],
        cov_coeff=s["covariance_weight"],
    )
    model = module.VICReg(args)
    leaves = common.small("encoder", model.backbone)
    leaves |= common.mlp("projector", model.projector)
    common.fill(leaves)
    optimizer = module.LARS(
        model.parameters(),
        lr=0,
        weight_decay=s["weight_decay"],
        momentum=s["velocity"],
        eta=s["trust_coefficient"],
        weight_decay_filter=module.exclude_bias_and_norm,
        lars_adaptation_filter=module.exclude_bias_and_norm,
    )
    return steps(module, s, model, optimizer, args, common.pairs("vicreg")), leaves


PEERS = {
    "simclr": simclr,
    "moco_v1": functools.partial(moco, "moco_v1"),
    "moco_v2": functools.partial(moco, "moco_v2"),
    "byol": byol,
    "simsiam": simsiam,
    "barlow_twins": barlow_twins,
    "vicreg": vicreg,
}
