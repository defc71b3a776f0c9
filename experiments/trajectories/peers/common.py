"""What all judges share: official code on a CPU, and weights laid out for torch."""

import importlib.util
import sys
import types

import given
import numpy as np
import torch
import torch.distributed
from torch import nn


def prepare():
    """Double precision, one thread, one process that calls itself a group, no CUDA."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    # torchvision cannot be imported without their schemas where it was built for
    # another torch.
    library = torch.library.Library("torchvision", "DEF")
    boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    library.define("nms" + boxes)
    library.define("qnms" + boxes)
    prepare.library = library
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    torch.Tensor.cuda = lambda self, *args, **kwargs: self
    nn.Module.cuda = lambda self, *args, **kwargs: self
    torch.cuda.synchronize = lambda *args: None


def stub(name, **content):
    """A module that a released file imports and that 20 steps do not need."""
    module = types.ModuleType(name)
    module.__path__ = []
    vars(module).update(content)
    sys.modules[name] = module
    if "." in name:
        parent, child = name.rsplit(".", 1)
        if parent not in sys.modules:
            stub(parent)
        setattr(sys.modules[parent], child, module)
    return module


def from_file(path, name):
    """One file of a package as a module, without the package."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Small(nn.Module):
    """`ConvNet` in torch, with the fields of a ResNet that wrappers read."""

    def __init__(self, num_classes=10, **ignored):
        super().__init__()
        first, second = given.WIDTHS
        self.conv0 = nn.Conv2d(3, first, 3, padding=1, bias=False)
        self.norm0 = nn.BatchNorm2d(first)
        self.conv1 = nn.Conv2d(first, second, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(second)
        self.fc = nn.Linear(second, num_classes)

    def features(self, x):
        x = torch.relu(self.norm0(self.conv0(x)))
        x = nn.functional.max_pool2d(x, 2)
        return torch.relu(self.norm1(self.conv1(x))).mean((2, 3))

    def forward(self, x):
        return self.fc(self.features(x))


class Leaf:
    """A torch tensor that is a leaf of ours.

    Attributes:
        tensor: of any torch module.
        axes: its axes in the order of ours.
        shape: of ours.
    """

    def __init__(self, tensor, axes=None, shape=None):
        self.tensor = tensor
        self.axes = axes or tuple(range(tensor.ndim))
        self.shape = shape or tuple(tensor.shape[a] for a in self.axes)

    def fill(self, values):
        turned = tuple(self.tensor.shape[a] for a in self.axes)
        values = np.asarray(values).reshape(turned)
        values = values.transpose(np.argsort(self.axes))
        self.tensor.data.copy_(torch.from_numpy(np.ascontiguousarray(values)))

    def ours(self):
        values = self.tensor.detach().numpy()
        return values.transpose(self.axes).reshape(self.shape)


def linear(name, layer):
    out = {f"{name}/kernel": Leaf(layer.weight, (1, 0))}
    if layer.bias is not None:
        out[f"{name}/bias"] = Leaf(layer.bias)
    return out


def norm(name, layer):
    if layer.weight is None:
        return {}
    return {f"{name}/scale": Leaf(layer.weight), f"{name}/bias": Leaf(layer.bias)}


def small(name, net):
    """Leaves of a `Small` without its last layer."""
    out = {}
    for i in range(2):
        kernel = Leaf(getattr(net, f"conv{i}").weight, (2, 3, 1, 0))
        out[f"{name}/conv{i}/kernel"] = kernel
        out |= norm(f"{name}/norm{i}", getattr(net, f"norm{i}"))
    return out


def mlp(name, layers):
    """Leaves of linear layers and their norms in a row.

    A bias that a norm takes away again has no place in ours; it is set to 0.
    """
    out, i = {}, -1
    layers = list(layers)
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.Linear):
            i += 1
            following = layers[place + 1] if place + 1 < len(layers) else None
            own = linear(f"{name}/dense{i}", layer)
            if isinstance(following, nn.BatchNorm1d):
                bias = own.pop(f"{name}/dense{i}/bias", None)
                if bias is not None:
                    bias.tensor.data.zero_()
            out |= own
        elif isinstance(layer, nn.BatchNorm1d):
            out |= norm(f"{name}/norm{i}", layer)
    return out


def under(prefix, leaves):
    return {f"{prefix}/{name}": leaf for name, leaf in leaves.items()}


def fill(leaves):
    """Gives all leaves their first values; a teacher's are those of its student."""
    for name, leaf in leaves.items():
        leaf.fill(given.weight(name.removeprefix("teacher/"), leaf.shape))


def still(layer):
    """A bias that ours does not have: it stays 0."""
    layer.bias.data.zero_()
    layer.bias.requires_grad = False


def tensors(images):
    """Images [..., H, W, C] for torch, [..., C, H, W]."""
    return torch.from_numpy(np.moveaxis(images, -1, -3).astype(np.float64))


def pairs(name):
    """The two views of all steps, [STEPS, BATCH, 2, C, H, W]."""
    return tensors(given.images(name, 2, given.SIDE, given.SIDE, 3))


class Noted:
    """A function whose results are noted down as losses."""

    def __init__(self, fn):
        self.fn, self.losses = fn, []

    def __call__(self, *args, **kwargs):
        out = self.fn(*args, **kwargs)
        first = out[0] if isinstance(out, tuple) else out
        self.losses.append(float(first.detach()))
        return out


def noted_meter(module):
    """Replaces the meters of a released loop by ones that note its losses down."""
    losses = []

    class Meter(module.AverageMeter):
        def update(self, val, n=1):
            super().update(val, n)
            if isinstance(val, float) and n == given.BATCH:
                losses.append(val)

    module.AverageMeter = Meter
    return losses
