"""Methods that know images by number, and W-MSE: NPID and its memory, and whitening."""

import argparse
import functools
import sys

import given
import torch
from torch import nn

from peers import common
from peers.common import Small
from peers.pairs import Bare


def npid(name, code, s):
    """The released memory, criterion and normalisation.

    Its loop is in scripts that today's Python does not read (`async` is a word now).
    """
    sys.path.insert(0, f"{code}/lemniscate.pytorch")
    from lib.LinearAverage import LinearAverage
    from lib.NCEAverage import NCEAverage
    from lib.NCECriterion import NCECriterion
    from lib.normalize import Normalize

    net, unit = Small(s["output_dim"]), Normalize(2)
    leaves = common.small("encoder", net) | common.mlp("projector", [net.fc])
    common.fill(leaves)
    sizes = (s["output_dim"], given.NUM_EXAMPLES)
    if s["objective"] == "softmax":
        memory = LinearAverage(*sizes, s["temperature"], s["momentum"])
        criterion = nn.CrossEntropyLoss()
    else:
        memory = NCEAverage(*sizes, s["num_negatives"], s["temperature"], s["momentum"])
        criterion = NCECriterion(given.NUM_EXAMPLES)
        # Its backward pass resizes a tensor in place, which torch no longer allows.
        bmm = torch.bmm
        torch.bmm = lambda a, b: bmm(a if a.ndim == 3 else a[:, None], b)
    leaves["bank"] = common.Leaf(memory.memory)
    leaves["bank"].fill(given.unit_rows("bank", leaves["bank"].shape))
    optimizer = torch.optim.SGD(
        net.parameters(), s["rate"], s["velocity"], weight_decay=s["weight_decay"]
    )
    images = common.tensors(given.images(name, given.SIDE, given.SIDE, 3))
    numbers = torch.from_numpy(given.indices(name)).long()
    noise = torch.from_numpy(given.slots(name, s["num_negatives"])).long()
    losses = []
    for step in range(given.STEPS):
        for group in optimizer.param_groups:
            dropped = sum(step >= drop for drop in s["drops"])
            group["lr"] = s["rate"] * 0.1**dropped
        if s["objective"] == "nce":
            # One slot more than noise, which its forward pass gives to the image.
            drawn = torch.cat([numbers[step][:, None], noise[step]], 1)
            memory.multinomial.draw = lambda count, drawn=drawn: drawn.flatten()
        optimizer.zero_grad()
        loss = criterion(memory(unit(net(images[step])), numbers[step]), numbers[step])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, leaves


def w_mse(code, s):
    """The released model and loss; the loop stands in its script."""
    sys.path.insert(0, f"{code}/self-supervised")
    from methods import base
    from methods.w_mse import WMSE

    base.get_model = lambda arch, dataset: (Bare(), given.WIDTHS[-1])
    cfg = argparse.Namespace(
        arch=None,
        dataset=None,
        knn=5,
        num_samples=s["num_views"],
        eval_head=False,
        emb=s["output_dim"],
        head_layers=2,
        head_size=s["hidden_dim"],
        add_bn=True,
        w_eps=0,
        norm=True,
        w_iter=s["iterations"],
        w_size=s["sub_batch_size"],
        bs=given.BATCH,
    )
    model = WMSE(cfg).train()
    leaves = common.small("encoder", model.model) | common.mlp("projector", model.head)
    del leaves["projector/dense1/bias"]  # Whitening takes it away.
    common.fill(leaves)
    common.still(model.head[3])
    optimizer = torch.optim.Adam(
        model.parameters(), lr=s["rate"], weight_decay=s["weight_decay"]
    )
    rates = torch.optim.lr_scheduler.MultiStepLR(optimizer, s["drops"], gamma=0.2)
    side = given.SIDE
    views = common.tensors(given.images("w_mse", s["num_views"], side, side, 3))
    orders = iter(
        torch.from_numpy(given.orders("w_mse", s["iterations"], given.BATCH))
        .long()
        .flatten(0, 1)
    )
    randperm, torch.randperm = torch.randperm, lambda size: next(orders)
    losses = []
    for step in range(given.STEPS):
        if step < s["warmup"]:
            for group in optimizer.param_groups:
                group["lr"] = s["rate"] * (step + 1) / s["warmup"]
        optimizer.zero_grad()
        loss = model(list(views[step].unbind(1)))
        loss.backward()
        optimizer.step()
        rates.step()  # An epoch is one step.
        losses.append(loss.item())
    torch.randperm = randperm
    return losses, leaves


PEERS = {
    "npid_softmax": functools.partial(npid, "npid_softmax"),
    "npid_nce": functools.partial(npid, "npid_nce"),
    "w_mse": w_mse,
}
