"""The other entrant: PyTorch and lightly, for so many minutes, then its features.

Run:   run.py beside this file starts it, in an environment with torch and lightly; with
           --help it says what can be set.

The loss, the projection head and, with --views=pil, the views are lightly's. The
encoder is the page's, layer by layer; --views=tensor makes the same kinds of view for a
whole batch at once, for lightly has none. The rate follows the clock: a line over the
first steps, then half a cosine that ends with the time.
"""

import time

BEGAN = time.time()

import argparse  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import pathlib  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from judge import accuracy  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

LOOKS = (0.2, 0.4, 0.6, 0.8)  # Shares of the time, as the page's every six epochs.
LOOKED_AT = 6_000  # Training images, five sixths of them as the bank.
LUMA = (0.299, 0.587, 0.114)


def settings():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True, help="an .npz file of run.py")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--began", type=float, default=BEGAN)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", type=int, default=3)
    parser.add_argument("--patch", type=int, default=2)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--loss", choices=("nt_xent", "dcl"), default="nt_xent")
    parser.add_argument("--temperature", type=float, default=0.2)
    parser.add_argument("--hidden_dim", type=int, default=512)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--weight_decay", type=float, default=0.01)
    parser.add_argument("--warmup_steps", type=int, default=100)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--min_scale", type=float, default=0.2)
    parser.add_argument("--strength", type=float, default=0.5)
    parser.add_argument("--views", choices=("pil", "tensor"), default="pil")
    parser.add_argument("--samples", type=int, default=1, help="a side of a pixel")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def lightly_parts():
    """What is lightly's, where torchvision's compiled operations may be absent."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("nms", "qnms"):
            library.define(name + boxes)
    from lightly.loss import DCLLoss, NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    losses = {"nt_xent": NTXentLoss, "dcl": DCLLoss}
    return losses, SimCLRProjectionHead, SimCLRTransform


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the last norm starts at 0."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv0 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.norm0 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm1.weight)
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != channels:
            conv = nn.Conv2d(inputs, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x):
        y = functional.relu(self.norm0(self.conv0(x)))
        return functional.relu(self.norm1(self.conv1(y)) + self.shortcut(x))


class Encoder(nn.Module):
    """The page's ResNet: patches, then one block a stage, then the mean of the grid."""

    def __init__(self, patch, channels, stages):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, patch, patch, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        widths = [channels * 2**i for i in range(stages)]
        blocks = [Block(channels, channels, 1)]
        blocks += [Block(width // 2, width, 2) for width in widths[1:]]
        self.blocks = nn.Sequential(*blocks)
        self.width = widths[-1]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        # No square root of 2 where the fan of the patches counts every pixel of them:
        # the page's stem is a 1x1 convolution of patches, whose fan-out is its width.
        nn.init.normal_(self.stem.weight, std=math.sqrt(2 / channels))

    def forward(self, x):
        x = functional.relu(self.norm(self.stem(x)))
        return self.blocks(x).mean((2, 3))


def tensor_views(images, options, generator):
    """Random views of uint8 images [B, 3, H, W] as floats [B, 3, size, size].

    The steps of SimCLR for CIFAR-10: crop, mirror, jitter, gray. Saturation and hue are
    one linear map of the colours in each image, as in the NTSC's own hue control.
    """
    count = len(images)

    def draw(low, high):
        return torch.empty(count).uniform_(low, high, generator=generator)

    ratio = torch.exp(draw(math.log(3 / 4), math.log(4 / 3)))
    area = draw(options.min_scale, 1.0)
    width = torch.sqrt(area * ratio).clamp(max=1.0)
    height = torch.sqrt(area / ratio).clamp(max=1.0)
    mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0], maps[:, 1, 1] = width * mirror, height
    maps[:, 0, 2] = draw(-1, 1) * (1 - width)
    maps[:, 1, 2] = draw(-1, 1) * (1 - height)
    shape = (count, 3, options.size, options.size)
    # Of several samples a side the mean is taken: a filter against aliasing.
    fine = (count, 3, *(options.samples * side for side in shape[2:]))
    grid = functional.affine_grid(maps, fine, align_corners=False)
    x = functional.grid_sample(images.float() / 255, grid, align_corners=False)
    x = functional.avg_pool2d(x, options.samples)

    most = 0.8 * options.strength
    jittered = draw(0, 1) < 0.8

    def factor():
        found = torch.where(jittered, draw(max(0, 1 - most), 1 + most), 1.0)
        return found[:, None, None, None]

    x = (x * factor()).clamp(0, 1)
    by = factor()
    mean = (x.mean((2, 3)) @ torch.tensor(LUMA))[:, None, None, None]
    x = (mean + by * (x - mean)).clamp(0, 1)
    saturation = factor()[:, 0, 0, 0]
    turn = 0.2 * options.strength * 2 * math.pi
    angle = torch.where(jittered, draw(-turn, turn), 0.0)
    saturation = torch.where(draw(0, 1) < 0.2, 0.0, saturation)  # Gray.
    to_yiq = torch.tensor([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
    between = torch.zeros(count, 3, 3)
    between[:, 0, 0] = 1
    between[:, 1, 1] = between[:, 2, 2] = saturation * torch.cos(angle)
    between[:, 2, 1] = saturation * torch.sin(angle)
    between[:, 1, 2] = -between[:, 2, 1]
    colours = torch.linalg.inv(to_yiq) @ between @ to_yiq
    x = torch.bmm(colours, x.flatten(2)).view(shape).clamp(0, 1)
    return x.contiguous(memory_format=torch.channels_last)


class Pictures(torch.utils.data.Dataset):
    """Pairs of views by lightly's own transform, an image at a time."""

    def __init__(self, images, transform):
        self.images, self.transform = images, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        from PIL import Image

        return self.transform(Image.fromarray(self.images[row]))


def batches(images, options, transform):
    """Pairs of views without end, in epochs that leave out the rest of a batch."""
    generator = torch.Generator().manual_seed(options.seed)
    if options.views == "pil":
        pairs = transform(
            input_size=options.size,
            cj_strength=options.strength,
            min_scale=options.min_scale,
            gaussian_blur=0.0,
            normalize=None,
        )
        loader = torch.utils.data.DataLoader(
            Pictures(images, pairs),
            batch_size=options.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=options.workers,
            persistent_workers=options.workers > 0,
            generator=generator,
        )
        while True:
            for first, second in loader:
                yield torch.cat([first, second])
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    while True:
        order = torch.randperm(len(images), generator=generator)
        for rows in order.split(options.batch_size):
            if len(rows) == options.batch_size:
                pair = [tensor_views(planes[rows], options, generator) for _ in "ab"]
                yield torch.cat(pair)


@torch.no_grad()
def features(encoder, images):
    """Of uint8 images [N, 32, 32, 3] at their own size, by the running moments."""
    encoder.eval()
    found = []
    for start in range(0, len(images), 500):
        x = torch.from_numpy(images[start : start + 500]).permute(0, 3, 1, 2)
        x = (x.float() / 255).contiguous(memory_format=torch.channels_last)
        found.append(encoder(x).numpy())
    encoder.train()
    return np.concatenate(found)


def optimizer_of(parts, options):
    """AdamW that decays weights, not biases and norms."""
    params = list(parts.parameters())
    groups = [
        {"params": [p for p in params if p.ndim > 1]},
        {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=options.weight_decay)


def main():
    options = settings()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    def elapsed():
        if options.clock == "cpu":
            return time.process_time()
        return time.time() - options.began

    losses, head, transform = lightly_parts()
    data = np.load(options.images)
    train, labels = data["x_train"], data["y_train"]
    encoder = Encoder(options.patch, options.channels, options.stages)
    encoder = encoder.to(memory_format=torch.channels_last)
    projector = head(encoder.width, options.hidden_dim, 128)
    loss_of = losses[options.loss](temperature=options.temperature)
    whole = nn.Sequential(encoder, projector)
    model = torch.compile(whole) if options.compile else whole
    optimizer = optimizer_of(whole, options)
    rows = np.random.default_rng(0).permutation(len(train))[:LOOKED_AT]

    budget = 60 * options.minutes
    start = elapsed()
    looks = list(LOOKS)
    curve, recent, step, slowest = [], [], 0, 0.0
    for views in batches(train, options, transform):
        now = elapsed()
        if now + 1.5 * slowest >= budget:
            break
        share = (now - start) / (budget - start)
        warm = min(1.0, (step + 1) / options.warmup_steps)
        rate = options.rate * warm * (1 + math.cos(math.pi * share)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate
        views = views.contiguous(memory_format=torch.channels_last)
        first, second = model(views).chunk(2)
        loss = loss_of(first, second)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
        recent.append(loss.item())
        if step > 3:
            slowest = 0.9 * slowest + 0.1 * (elapsed() - now)
        if step % 100 == 0 or (looks and share >= looks[0]):
            record = {"step": step, "seconds": round(elapsed(), 1)}
            record["loss"] = round(float(np.mean(recent)), 4)
            recent = []
            if looks and share >= looks[0]:
                looks.pop(0)
                bank, asked = np.split(rows, [len(rows) * 5 // 6])
                record["held_out_knn"] = accuracy(
                    features(encoder, train[bank]),
                    labels[bank],
                    features(encoder, train[asked]),
                    labels[asked],
                )
            curve.append(record)
            print(json.dumps(record), flush=True)
    ended = elapsed()
    np.savez(
        options.output / "features.npz",
        train=features(encoder, train),
        judged=features(encoder, data["x_judged"]),
    )
    import lightly
    import torchvision

    told = {
        "steps": step,
        "epochs": round(step * options.batch_size / len(train), 2),
        "trained_until": round(ended, 1),
        "last_rate": rate,
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "curve": curve,
        "settings": {k: v for k, v in vars(options).items() if k not in PLACES},
        "versions": {
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "lightly": lightly.__version__,
            "numpy": np.__version__,
        },
    }
    (options.output / "entrant.json").write_text(json.dumps(told, indent=1))


PLACES = ("images", "output", "began")

if __name__ == "__main__":
    main()
