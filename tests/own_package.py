"""Things of one's own that tests name in configs, as "tests.own_package:nnclr"."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.core.fields import INDEX, Field
from jax_ssl.core.types import Features
from jax_ssl.data.source import Source
from jax_ssl.methods.simclr import simclr


def nnclr(encoder, views, *, temperature: float = 0.2, hidden_dim=16):
    """SimCLR by another name."""
    settings = {"temperature": temperature, "hidden_dim": hidden_dim}
    return simclr(encoder, views, output_dim=8, **settings)


class Tiny(nn.Module, kw_only=True):
    """A convolution."""

    width: int = 8

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.relu(nn.Conv(self.width, (3, 3))(x))
        return Features(x.mean((1, 2)), x)


class Bare(Tiny):
    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(3)(x.reshape(len(x), -1))


class Flat(Tiny):
    @nn.compact
    def __call__(self, x, *, train):
        return Features(x.mean((1, 2, 3)), x)


class Trainless(Tiny):
    @nn.compact
    def __call__(self, x):
        return Features(x.mean((1, 2)), x)


def noise(*, amount: float = 0.1):
    """Two noisy views."""

    def views(key, example):
        x = example["image"].astype(jnp.float32) / 255
        return x[None] + amount * jax.random.normal(key, (2, *x.shape))

    return views


@dataclasses.dataclass(frozen=True, eq=False)
class Blobs(Source):
    def read(self, rows):
        every = {
            "image": lambda r: np.full((8, 8, 3), 3 * r % 256, np.uint8),
            "label": lambda r: np.int32(r % 2),
        }
        kept = self.fields.keys() & every.keys()
        return {name: np.stack([every[name](r) for r in rows]) for name in kept}


def blobs(*, count: int = 64, split: str = "train"):
    """Grey squares."""
    image = Field("image", (8, 8, 3), np.dtype("uint8"))
    label = Field("label", (), np.dtype("int32"))
    return Blobs("blobs", {"image": image, "label": label, "index": INDEX}, count)


class Stopping:
    """A tracker that ends the run before step 3 is saved."""

    def __init__(self, run):
        pass

    def write(self, record):
        if record["step"] == 3:
            raise KeyboardInterrupt

    def close(self):
        pass


def seven(encoder, views):
    return 7


number = 7
