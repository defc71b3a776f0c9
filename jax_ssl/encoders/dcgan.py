"""Strided convolutions of DCGAN (Radford et al., 2016, arXiv:1511.06434).

The network of its discriminator, which is also the encoder of context encoders.
"""

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.nn.norm import BatchNorm
from jax_ssl.nn.upsampling import DCGAN_KERNEL, dcgan_scale
from jax_ssl.ops.conv import conv_general_dilated

SLOPE = 0.2  # Of the leaky ReLU below 0.


class StridedConvNet(nn.Module, kw_only=True):
    """4 x 4 convolutions of stride 2, batch norm but for the first, and leaky ReLU.

    Attributes:
        widths: channels of each level; each halves the sides.
        pool: "mean" averages the grid, "flat" lays it out.
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512)
    pool: Literal["mean", "flat"] = "mean"
    groups: int = 1
    dtype: ComputeDtype = "float32"

    def __post_init__(self) -> None:
        """Refuses settings that no network has.

        Raises:
            ValueError: naming the setting, its value and what it must be.
        """
        self.widths = tuple(self.widths)  # A module must be hashable.
        checks.words(self)
        checks.at_least(1, widths=self.widths)
        checks.not_empty(widths=self.widths)
        checks.at_least(1, groups=self.groups)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to a grid of side H / 2**len(widths).

        Raises:
            ValueError: if the image is too small.
        """
        if min(x.shape[1:3]) < 2 ** len(self.widths):
            raise ValueError(
                f"images of {x.shape[1]} x {x.shape[2]} pixels cannot be halved "
                f"{len(self.widths)} times; give fewer widths = {self.widths}."
            )
        levels = []
        for i, width in enumerate(self.widths):
            x = nn.Conv(
                width,
                (4, 4),
                (2, 2),
                padding=1,
                use_bias=i == 0,
                kernel_init=DCGAN_KERNEL,
                dtype=self.dtype,
                conv_general_dilated=conv_general_dilated,
                name=f"conv{i}",
            )(x)
            if i > 0:
                norm = BatchNorm(
                    groups=self.groups,
                    scale_init=dcgan_scale,
                    dtype=self.dtype,
                    name=f"norm{i}",
                )
                x = norm(x, train=train)
            x = nn.leaky_relu(x, SLOPE)
            levels.append(x)
        flat = x.reshape(x.shape[0], -1).astype(jnp.float32)
        pooled = flat if self.pool == "flat" else x.mean((1, 2), dtype=jnp.float32)
        return Features(pooled, grid=x, pyramid=tuple(levels))


class Discriminator(nn.Module, kw_only=True):
    """Scores of images, or of pairs of an image and a code; high where they are real.

    Attributes:
        widths: of the strided convolutions on the image.
        hidden_dim: of the layers that read the code.
        unary: whether image and code have a score each beside that of the pair
            (BigBiGAN).
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters and scores are float32.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512)
    hidden_dim: int = 1024
    unary: bool = False
    groups: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, z: Array | None = None, *, train: bool) -> Array:
        """Scores [B, 1] of images x [B, H, W, C]; with codes z [B, D] of the pairs.

        With `unary`, [B, 3]: of the pairs, the images and the codes.
        """

        def dense(x: Array, width: int, name: str) -> Array:
            settings = {"kernel_init": DCGAN_KERNEL, "dtype": self.dtype, "name": name}
            return nn.Dense(width, **settings)(x)

        tower = StridedConvNet(
            widths=self.widths,
            pool="flat",
            groups=self.groups,
            dtype=self.dtype,
            name="tower",
        )
        image = tower(x, train=train).pooled
        if z is None:
            return dense(image, 1, "score").astype(jnp.float32)
        code = z
        if self.unary:
            code = nn.leaky_relu(dense(z, self.hidden_dim, "code"), SLOPE)
        pair = jnp.concatenate([image, code.astype(image.dtype)], axis=-1)
        pair = nn.leaky_relu(dense(pair, self.hidden_dim, "pair"), SLOPE)
        scores = [dense(pair, 1, "score")]
        if self.unary:
            scores += [dense(image, 1, "image_score"), dense(code, 1, "code_score")]
        return jnp.concatenate(scores, axis=-1).astype(jnp.float32)
