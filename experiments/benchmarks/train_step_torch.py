"""PyTorch's side of train_step.py, with timm's modules.

Each case is the method's step as its authors wrote it: forward, loss, backward,
optimizer, teacher. The views are ready-made tensors on the device or, for a whole step,
torchvision's of PIL images by the workers of a DataLoader.
"""

import argparse
import copy
import itertools

import torch
import torch.nn.functional as F  # noqa: N812 - its users' usual name
from PIL import Image
from torch import nn

try:
    import timm
except RuntimeError:
    # A torchvision built for another torch lacks its operators; timm only imports it.
    operators = torch.library.Library("torchvision", "DEF")
    operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm
from torchvision import transforms as T  # noqa: N812 - its users' usual name
from train_step import LOCALS, SCALES, TOGETHER, patch_of, serve, threads

MODELS = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "vit_ti": "vit_tiny_patch16_224",
    "vit_s": "vit_small_patch16_224",
    "vit_b": "vit_base_patch16_224",
    "vit_l": "vit_large_patch16_224",
}


def head(widths, bias=False, last_norm=False):
    """Dense layers, batch norm and ReLU between."""
    layers = []
    for i, (before, after) in enumerate(itertools.pairwise(widths)):
        last = i == len(widths) - 2
        layers.append(nn.Linear(before, after, bias=bias))
        if not last or last_norm:
            layers.append(nn.BatchNorm1d(after))
        if not last:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class SimCLR(nn.Module):
    def __init__(self, encoder, settings):
        super().__init__()
        self.encoder = encoder
        width = encoder.num_features
        self.head = head((width, 2048, 128), last_norm=True)

    def forward(self, views):
        z = F.normalize(self.head(self.encoder(views.flatten(0, 1))).float(), dim=-1)
        scores = z @ z.T / 0.1
        scores.fill_diagonal_(float("-inf"))
        positive = torch.arange(len(z), device=z.device) ^ 1
        return F.cross_entropy(scores, positive)


class BYOL(nn.Module):
    def __init__(self, encoder, settings):
        super().__init__()
        width = encoder.num_features
        self.student = nn.Sequential(encoder, self.layers(width))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.predictor = self.layers(256)

    @staticmethod
    def layers(width):
        hidden = (nn.Linear(width, 4096), nn.BatchNorm1d(4096), nn.ReLU())
        return nn.Sequential(*hidden, nn.Linear(4096, 256, bias=False))

    def forward(self, views):
        a, b = views.unbind(1)
        with torch.no_grad():
            taught = [F.normalize(self.teacher(x).float(), dim=-1) for x in (b, a)]
        said = [self.predictor(self.student(x)).float() for x in (a, b)]
        said = [F.normalize(x, dim=-1) for x in said]
        return sum(
            (2 - 2 * (x * y).sum(-1)).mean() for x, y in zip(said, taught, strict=True)
        )

    @torch.no_grad()
    def follow(self):
        own, new = list(self.teacher.parameters()), list(self.student.parameters())
        torch._foreach_lerp_(own, new, 1 - 0.996)


class BarlowTwins(nn.Module):
    def __init__(self, encoder, settings):
        super().__init__()
        self.encoder = encoder
        wide = settings["hidden_dim"]
        self.head = head((encoder.num_features, wide, wide, wide))

    def forward(self, views):
        a, b = (self.head(self.encoder(views[:, v])).float() for v in range(2))
        a, b = (
            (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt() for x in (a, b)
        )
        C = a.T @ b / len(a)
        on = (C.diagonal() - 1).square().sum()
        return on + 0.0051 * (C.square().sum() - C.diagonal().square().sum())


class DINO(nn.Module):
    def __init__(self, encoder, settings):
        super().__init__()
        wide, K = 2048, settings["num_prototypes"]
        mlp = nn.Sequential(
            *(nn.Linear(encoder.num_features, wide), nn.GELU()),
            *(nn.Linear(wide, wide), nn.GELU(), nn.Linear(wide, 256)),
        )
        last = nn.utils.parametrizations.weight_norm(nn.Linear(256, K, bias=False))
        self.student = nn.ModuleList((encoder, mlp, last))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("center", torch.zeros(K))

    def scores(self, networks, crops):
        encoder, mlp, last = networks
        return last(F.normalize(mlp(encoder(crops.flatten(0, 1))), dim=-1)).float()

    def forward(self, views):
        wide, narrow = views
        B = len(wide)
        with torch.no_grad():
            taught = self.scores(self.teacher, wide).unflatten(0, (B, 2))
            targets = ((taught - self.center) / 0.04).softmax(-1)
            self.center.lerp_(taught.mean((0, 1)), 0.1)
        said = [self.scores(self.student, crops) for crops in (wide, narrow)]
        said = torch.cat([x.unflatten(0, (B, -1)) for x in said], 1) / 0.1
        logs = said.log_softmax(-1)
        cross = -torch.einsum("bik,bvk->iv", targets, logs) / B
        same = sum(cross[i, i] for i in range(2))
        return (cross.sum() - same) / (2 * (logs.shape[1] - 1))

    @torch.no_grad()
    def follow(self):
        own, new = list(self.teacher.parameters()), list(self.student.parameters())
        torch._foreach_lerp_(own, new, 1 - 0.996)


class MAE(nn.Module):
    def __init__(self, encoder, settings):
        super().__init__()
        width, patches = encoder.num_features, encoder.patch_embed.num_patches
        self.encoder = encoder
        self.enter = nn.Linear(width, 512)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 512))
        self.positions = nn.Parameter(torch.randn(1, 1 + patches, 512) * 0.02, False)
        block = timm.models.vision_transformer.Block
        self.decoder = nn.Sequential(*(block(512, 16, qkv_bias=True) for _ in range(8)))
        self.leave = nn.Sequential(nn.LayerNorm(512), nn.Linear(512, 16 * 16 * 3))

    def forward(self, views):
        x = self.encoder.patch_embed(views) + self.encoder.pos_embed[:, 1:]
        B, N, D = x.shape
        order = torch.rand(B, N, device=x.device).argsort(1)
        kept = int(N * 0.25)
        x = x.gather(1, order[:, :kept, None].expand(-1, -1, D))
        token = self.encoder.cls_token + self.encoder.pos_embed[:, :1]
        x = self.encoder.blocks(torch.cat([token.expand(B, -1, -1), x], 1))
        x = self.enter(self.encoder.norm(x))
        hidden = self.mask_token.to(x.dtype).expand(B, N - kept, -1)
        tokens = torch.cat([x[:, 1:], hidden], 1)
        back = order.argsort(1)[:, :, None].expand(-1, -1, 512)
        x = torch.cat([x[:, :1], tokens.gather(1, back)], 1) + self.positions
        predicted = self.leave(self.decoder(x))[:, 1:].float()
        side = views.shape[-1] // 16
        target = views.float().unflatten(-1, (side, 16)).unflatten(2, (side, 16))
        target = target.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        mean, var = target.mean(-1, True), target.var(-1, keepdim=True)
        error = (predicted - (target - mean) / (var + 1e-6).sqrt()).square().mean(-1)
        masked = torch.ones(B, N, device=x.device).scatter(1, order[:, :kept], 0.0)
        return (error * masked).sum() / masked.sum()


METHODS = {
    "simclr": SimCLR,
    "byol": BYOL,
    "barlow_twins": BarlowTwins,
    "dino": DINO,
    "mae": MAE,
}


class Images(torch.utils.data.Dataset):
    """uint8 images in memory, as torchvision's CIFAR10 has them, and their views."""

    def __init__(self, count, side, method):
        made = torch.Generator().manual_seed(0)
        shape = (count, side, side, 3)
        self.images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=made)
        self.images = self.images.numpy()
        self.views = 1 if method == "mae" else 2
        cubic = T.InterpolationMode.BICUBIC
        scale = (0.2 if method == "mae" else 0.08, 1.0)
        crop = [T.RandomResizedCrop(side, scale, interpolation=cubic)]
        crop.append(T.RandomHorizontalFlip())
        jitter = (0.4, 0.4, 0.4, 0.1) if side == 32 else (0.8, 0.8, 0.8, 0.2)
        if method == "byol":
            jitter = (0.4, 0.4, 0.2, 0.1)
        colours = [T.RandomApply([T.ColorJitter(*jitter)], 0.8), T.RandomGrayscale(0.2)]
        if side != 32:
            taps = max(3, 2 * (side // 20) + 1)
            colours.append(T.RandomApply([T.GaussianBlur(taps, (0.1, 2.0))], 0.5))
        if method == "byol":
            colours.append(T.RandomSolarize(128, 0.1))
        end = [T.ToTensor()]
        if method == "mae":
            colours = []
        self.transform = T.Compose([*crop, *colours, *end])

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = Image.fromarray(self.images[i])
        views = torch.stack([self.transform(image) for _ in range(self.views)])
        return views[0] if self.views == 1 else views


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", required=True)
    parser.add_argument("--scale", choices=SCALES, required=True)
    parser.add_argument("--mode", choices=("compiled", "eager"), required=True)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    method, encoder, side, B, settings = SCALES[options.scale][options.case]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    half = options.scale == "full"
    torch.manual_seed(0)
    if half:
        torch.set_float32_matmul_precision("high")
    shape = {"num_classes": 0}
    if encoder.startswith("vit"):
        shape |= {"img_size": side, "patch_size": patch_of(side)}
        shape["dynamic_img_size"] = method == "dino"
    network = timm.create_model(MODELS[encoder], **shape)
    if encoder.startswith("resnet") and side == 32:
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    model = METHODS[method](network, settings).to(device).train()
    last = "resnet" in encoder
    if last:
        model = model.to(memory_format=torch.channels_last)

    def images(count, side):
        return torch.randn(B, count, 3, side, side, device=device)

    given = images(2, side)
    if method == "dino":
        local, count = LOCALS[side]
        given = (given, images(count, local))
    elif method == "mae":
        given = given[:, 0]
    own = [p for p in model.parameters() if p.requires_grad]
    if last:
        optimizer = torch.optim.SGD(own, 0.1, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(own, 1e-4, fused=True)
    forward = torch.compile(model) if options.mode == "compiled" else model

    def step(views):
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss = forward(views)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if hasattr(model, "follow"):
            model.follow()
        return loss.item()

    def alone(steps):
        for _ in range(steps):
            step(given)

    turns = {"alone": alone}
    if method != "dino" and not half:
        feed = torch.utils.data.DataLoader(
            Images(TOGETHER * B, side, method),
            batch_size=B,
            shuffle=True,
            num_workers=threads(),
            persistent_workers=True,
        )

        def whole(steps):
            assert steps == len(feed)  # Its workers then wait until the next turn.
            for views in feed:
                step(views)

        turns["whole"] = whole
    for name, turn in turns.items():
        turn(TOGETHER if name == "whole" else 1)
    memory = torch.cuda.max_memory_allocated() if device == "cuda" else None
    serve({"memory": memory}, turns)


if __name__ == "__main__":
    main()
