"""The feed: decoding by threads, sending to the device, and what a step waits for.

    python experiments/benchmarks/feed.py --markdown=feed.md

Photographs of ImageNet's usual size are cut from scikit-learn's two sample images and
written as JPEGs. (1) Images/s decoded onto 256 px canvases by our threads, beside
PyTorch's DataLoader with as many processes, decoding and resizing with Pillow; the two
alternate, and the best round of each counts. (2) Milliseconds to send a batch.
(3) A train step on CIFAR-sized images fed from the host and from device memory, beside
the same step with its batch at hand.
"""

import argparse
import contextlib
import pathlib
import tempfile
import time

import jax
import numpy as np
import optax
from conditions import conditions
from PIL import Image
from sklearn.datasets import load_sample_images

from jax_ssl.augment.views import two_crops
from jax_ssl.data.arrays import arrays
from jax_ssl.data.folder import folder
from jax_ssl.data.order import batches
from jax_ssl.encoders import convnet
from jax_ssl.methods import simclr
from jax_ssl.parallel.feed import to_global
from jax_ssl.parallel.mesh import make_mesh
from jax_ssl.train.feeds import Feed, ResidentFeed
from jax_ssl.train.loop import Plan, fit
from jax_ssl.train.program import program

CANVAS = 256


def photographs(path, count):
    """`count` JPEGs of about 500 x 375 pixels, quality 90, each a different cut."""
    images = [Image.fromarray(image) for image in load_sample_images().images]
    rng = np.random.default_rng(0)
    for i in range(count):
        image = images[i % 2]
        width, height = rng.integers(440, 560), rng.integers(330, 400)
        left = rng.integers(0, image.width - width + 1)
        top = rng.integers(0, image.height - height + 1)
        cut = image.crop((left, top, left + width, top + height))
        cut.save(path / f"{i:05d}.jpg", quality=90)


def ours(path, workers, batch):
    """Images per second of a first epoch; later ones would come from the cache."""
    source = folder(path=str(path), canvas=CANVAS)
    begun = time.perf_counter()
    stop = len(source) // batch
    feed = batches(
        source, seed=0, batch_size=batch, start=0, stop=stop, workers=workers
    )
    count = sum(len(rows["image"]) for rows in feed)
    return count / (time.perf_counter() - begun)


class Canvases:
    """The files for PyTorch's loader: longer side to 256 pixels, padded, as ours."""

    def __init__(self, path):
        self.names = sorted(path.glob("*.jpg"))

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        image = Image.open(self.names[i]).convert("RGB")
        scale = CANVAS / max(image.size)
        size = [round(side * scale) for side in image.size]
        image = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
        out = np.zeros((CANVAS, CANVAS, 3), np.uint8)
        out[: image.shape[0], : image.shape[1]] = image
        return out


def torch_loader(path, workers, batch):
    """Images per second of PyTorch's DataLoader, whose workers are processes."""
    import torch

    loader = torch.utils.data.DataLoader(
        Canvases(path),
        batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=True,
        multiprocessing_context="forkserver",  # jax has threads, which a fork breaks.
    )
    for warm in loader:  # Starting the processes is not what is measured.
        del warm
        break
    begun = time.perf_counter()
    count = sum(len(images) for images in loader)
    return count / (time.perf_counter() - begun)


def decoding(args):
    """Table rows: threads, ours, PyTorch's, ratio."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name)
        photographs(path, args.images)
        for workers in args.workers:
            best = {"ours": 0.0, "torch": 0.0}
            for _ in range(args.rounds):
                best["ours"] = max(best["ours"], ours(path, workers, args.batch))
                with contextlib.suppress(ImportError):
                    rate = torch_loader(path, workers, args.batch)
                    best["torch"] = max(best["torch"], rate)
            peer = f"{best['torch']:,.0f}" if best["torch"] else "not installed"
            ratio = best["ours"] / best["torch"] if best["torch"] else float("nan")
            rows.append(f"| {workers} | {best['ours']:,.0f} | {peer} | {ratio:.2f} |")
    return rows


def sending(args):
    """Milliseconds to put a batch of canvases on the devices, the best of rounds."""
    mesh = make_mesh()
    image = np.zeros((args.batch, CANVAS, CANVAS, 3), np.uint8)
    times = []
    for _ in range(4 * args.rounds):
        begun = time.perf_counter()
        jax.block_until_ready(to_global({"image": image}, mesh))
        times.append(time.perf_counter() - begun)
    return 1000 * min(times), image.nbytes / 2**20


class Stopwatch:
    """A recorder that keeps the time of the last interval."""

    def __init__(self):
        self.at = self.ms = 0.0

    def train(self, step, metrics, waited):
        now = time.perf_counter()
        self.ms, self.waited = 1000 * (now - self.at), 1000 * waited

    @contextlib.contextmanager
    def paused(self):
        """The interval begins after it, and ends in `train`."""
        yield
        self.at = time.perf_counter()


def stepping(args):
    """Table rows: feed, ms a step, ms of them waiting for data."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2048, 32, 32, 3), np.uint8)
    source = arrays({"image": images})
    mesh = make_mesh()
    method = simclr(convnet(widths=(16, 32)), two_crops(size=32, blur_probability=0.0))
    rows = []
    plan = Plan(num_steps=args.steps, log_every=args.steps)
    for name, maker in (("host", Feed), ("resident", ResidentFeed)):
        best = (float("inf"), 0.0)
        for _ in range(args.rounds):
            watch = Stopwatch()
            feed = maker(source, mesh=mesh, seed=0, batch_size=128)
            made = program(method, optax.sgd(0.1), feed, mesh)
            fit(made, seed=0, plan=plan, recorder=watch)
            best = min(best, (watch.ms / args.steps, watch.waited / args.steps))
        rows.append(f"| {name} | {best[0]:.1f} | {best[1]:.2f} |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--markdown", type=pathlib.Path)
    args = parser.parse_args()
    ms, mib = sending(args)
    text = "\n".join(
        [
            conditions(),
            "",
            "| workers | ours, images/s | PyTorch DataLoader, images/s | ratio |",
            "| ---: | ---: | ---: | ---: |",
            *decoding(args),
            "",
            f"Sending a batch of {args.batch} canvases ({mib:.0f} MiB): {ms:.1f} ms.",
            "",
            "| feed | ms a step | of which waiting for data |",
            "| --- | ---: | ---: |",
            *stepping(args),
            "",
        ]
    )
    print(text)
    if args.markdown:
        args.markdown.write_text(text)


if __name__ == "__main__":
    main()
