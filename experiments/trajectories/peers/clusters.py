"""SwAV and DeepCluster-v2, of one repository and with NVIDIA's LARC."""

import argparse
import logging
import math
import sys

import given
import numpy as np
import torch
from torch import nn

from peers import common
from peers.pairs import Bare


def released(code, name, s):
    """(module of the loop, model without its ResNet, optimizer's maker)."""
    common.stub("apex")
    larc = common.from_file(f"{code}/apex/parallel/LARC.py", "apex.parallel.LARC")
    common.stub("apex.parallel", LARC=larc)
    sys.modules["apex.parallel.LARC"] = larc
    common.stub("src.logger", create_logger=None, PD_Stats=None)
    common.stub("src.multicropdataset", MultiCropDataset=None)
    sys.modules.pop("src", None)
    sys.path.insert(0, f"{code}/swav")
    module = __import__(name)
    module.logger = logging.getLogger("peer")
    import src.resnet50 as networks

    count = s["num_prototypes"]
    model = networks.ResNet(
        networks.BasicBlock,
        [1, 1, 1, 1],
        normalize=True,
        hidden_mlp=s["hidden_dim"],
        output_dim=s["output_dim"],
        nmb_prototypes=[count] * s["num_heads"] if "num_heads" in s else count,
    )
    for unused in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"):
        setattr(model, unused, nn.Identity())
    model.small = Bare()
    model.small.fc = nn.Identity()
    model.projection_head[0] = nn.Linear(given.WIDTHS[-1], s["hidden_dim"])
    model.forward_backbone = model.small.features
    leaves = common.small("encoder", model.small)
    leaves |= common.mlp("projector", model.projection_head)
    model.projection_head[0].bias.requires_grad = False
    return module, larc.LARC, model, leaves


def schedule(s):
    """As `main` makes it: a line whose last step has the peak, then a cosine."""
    left = given.STEPS - s["warmup"]
    rise = np.linspace(s["init_value"], s["rate"], s["warmup"])
    span = s["rate"] - s["end_value"]
    fall = [
        s["end_value"] + 0.5 * span * (1 + math.cos(math.pi * t / left))
        for t in range(left)
    ]
    return np.concatenate([rise, fall])


def larc_of(larc, s, model):
    sgd = torch.optim.SGD(
        model.parameters(),
        lr=s["rate"],
        momentum=s["velocity"],
        weight_decay=s["weight_decay"],
    )
    return larc(optimizer=sgd, trust_coefficient=s["trust_coefficient"], clip=False)


def of_step(name):
    """The crops of every step, [[large, large, small, small], ...]."""
    large, small = (common.tensors(x) for x in given.crops(name))
    return [[*a.unbind(1), *b.unbind(1)] for a, b in zip(large, small, strict=True)]


def settings(s, **more):
    return argparse.Namespace(
        crops_for_assign=[0, 1],
        nmb_crops=[2, 2],
        temperature=s["temperature"],
        world_size=1,
        rank=0,
        use_fp16=False,
        **more,
    )


def swav(code, s):
    """The released network's heads, loop, Sinkhorn iterations and queue."""
    module, larc, model, leaves = released(code, "main_swav", s)
    leaves["prototypes"] = common.Leaf(model.prototypes.weight)
    common.fill(leaves)
    module.args = settings(
        s,
        epsilon=s["epsilon"],
        sinkhorn_iterations=s["iterations"],
        freeze_prototypes_niters=s["freeze_prototypes_steps"],
    )
    optimizer = larc_of(larc, s, model)
    model = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    losses = common.noted_meter(module)
    crops, each, queue = of_step("swav"), s["steps_per_epoch"], None
    for epoch in range(given.STEPS // each):
        if epoch >= s["queue_start_epoch"] and queue is None:
            queue = torch.zeros(2, s["queue_size"], s["output_dim"])
        loader = crops[epoch * each : (epoch + 1) * each]
        rates = schedule(s)
        _, queue = module.train(loader, model, optimizer, epoch, rates, queue)
    # Ours makes the prototypes unit rows after a step, the released code before.
    weight = model.module.prototypes.weight
    weight.data.copy_(nn.functional.normalize(weight.data, dim=1, p=2))
    return losses, leaves


class Loader(list):
    """Batches of an epoch, and the data set that they are of."""

    dataset = range(given.NUM_EXAMPLES)


def deepcluster_v2(code, s):
    """The released network's heads, loop, memory and clustering.

    What the clusterings found is kept too: ours is given it, for its first centres are
    drawn otherwise.
    """
    module, larc, model, leaves = released(code, "main_deepclusterv2", s)
    common.fill(leaves)
    module.args = settings(
        s,
        nmb_prototypes=[s["num_prototypes"]] * s["num_heads"],
        feat_dim=s["output_dim"],
        freeze_prototypes_niters=10**9,
    )
    optimizer = larc_of(larc, s, model)
    model = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    losses = common.noted_meter(module)
    crops = of_step("deepcluster_v2")
    numbers = torch.from_numpy(given.indices("deepcluster_v2")).long()
    each = given.NUM_EXAMPLES // given.BATCH
    index = torch.arange(given.NUM_EXAMPLES)
    shape = (given.NUM_EXAMPLES, s["output_dim"])
    memory = torch.stack(
        [torch.from_numpy(given.unit_rows(f"banks/{i}", shape)) for i in range(2)]
    ).to(torch.float64)
    clustered = []
    cluster = module.cluster_memory

    def noted(net, *rest):
        found = cluster(net, *rest)
        heads = net.module.prototypes
        centres = [
            getattr(heads, f"prototypes{i}").weight.detach().clone()
            for i in range(s["num_heads"])
        ]
        clustered.append((found, torch.stack(centres)))
        return found

    module.cluster_memory = noted
    for epoch in range(given.STEPS // each):
        steps = range(epoch * each, (epoch + 1) * each)
        loader = Loader([(numbers[i], crops[i]) for i in steps])
        rates = schedule(s)
        _, index, memory = module.train(
            loader, model, optimizer, epoch, rates, index, memory
        )
    for i in range(2):
        leaves[f"banks/{i}"] = common.Leaf(memory[i][torch.argsort(index)])
    labels, centres = (torch.stack(x).numpy() for x in zip(*clustered, strict=True))
    more = {"labels": labels.astype(np.uint8), "prototypes": centres.astype(np.float32)}
    return losses, leaves, more


PEERS = {"swav": swav, "deepcluster_v2": deepcluster_v2}
