"""Records what torchvision and timm say of the cases in `encoders_cases`.

Run where torch, torchvision and timm are installed, as
`python -m tests.references.record_torch tests/encoders/recorded.py`. The live tests
call the same functions.
"""

import pathlib
import pprint
import sys

import numpy as np
import torch

from tests.references.encoders_cases import RESNETS, VITS
from tests.references.encoders_torch import digest, fill, image


def _declare_torchvision_ops() -> None:
    # A torchvision built for another torch lacks its compiled operators, and cannot be
    # imported unless their schemas exist.
    library = torch.library.Library("torchvision", "DEF")
    boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    library.define("nms" + boxes)
    library.define("qnms" + boxes)
    globals()["_LIBRARY"] = library  # Dropped with its last reference.


try:
    import torchvision
except RuntimeError:
    _declare_torchvision_ops()
    import torchvision

import timm  # noqa: E402  (it imports torchvision)


def _filled(model: torch.nn.Module) -> torch.nn.Module:
    state = {
        name: value
        if name.endswith("num_batches_tracked")
        else torch.tensor(fill(name, tuple(value.shape)))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model.eval()


def _input(size: tuple[int, int]) -> torch.Tensor:
    return torch.tensor(image(2, *size).transpose(0, 3, 1, 2).copy())


def resnet(
    layers: int, stem: str, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Pooled [2, D] and grid [2, h, w, D] of torchvision's network."""
    model = getattr(torchvision.models, f"resnet{layers}")()
    if stem == "small":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = torch.nn.Identity()
    model = _filled(model)
    grids = []
    model.layer4.register_forward_hook(lambda *args: grids.append(args[-1]))
    model.fc = torch.nn.Identity()
    with torch.no_grad():
        pooled = model(_input(size)).numpy()
    return pooled, grids[0].numpy().transpose(0, 2, 3, 1)


def vit(
    patch: int,
    image_size: int,
    depth: int,
    size: tuple[int, int],
    pool: str = "class",
    layer_scale: float = 0.0,
    registers: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Pooled [2, D] and normed patch tokens [2, h, w, D] of timm's network."""
    model = timm.models.VisionTransformer(
        img_size=image_size,
        patch_size=patch,
        embed_dim=192,
        depth=depth,
        num_heads=3,
        num_classes=0,
        global_pool="token" if pool == "class" else "avg",
        init_values=layer_scale or None,
        reg_tokens=registers,
        no_embed_class=registers > 0,
        dynamic_img_size=True,
    )
    model = _filled(model)
    with torch.no_grad():
        tokens = model.forward_features(_input(size))
        pooled = model.forward_head(tokens)
        # One of the two norms is the identity.
        patches = model.fc_norm(tokens[:, 1 + registers :])
    grid = patches.reshape(2, size[0] // patch, size[1] // patch, -1)
    return pooled.numpy(), grid.numpy()


def main(path: str) -> None:
    """Writes the module of recorded numbers."""
    recorded = {}
    for judge, cases in ((resnet, RESNETS), (vit, VITS)):
        for name, case in cases.items():
            kinds = zip(("pooled", "grid"), judge(**case), strict=True)
            recorded[judge.__name__, name] = {
                kind: [float(f"{v:.9g}") for v in digest(value)]
                for kind, value in kinds
            }
    versions = ", ".join(
        f"{module.__name__} {module.__version__.split('+')[0]}"
        for module in (torch, torchvision, timm)
    )
    pathlib.Path(path).write_text(
        f'"""Written by record_torch with {versions}."""\n\n'
        f"RECORDED = {pprint.pformat(recorded)}\n"
    )


if __name__ == "__main__":
    main(sys.argv[1])
