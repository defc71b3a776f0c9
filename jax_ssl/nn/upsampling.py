"""Decoders from a vector or a grid to an image, each level twice as fine."""

from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.nn.norm import BatchNorm, norm_groups
from jax_ssl.ops.conv import nearest_conv, transposed_conv

Upsampling: TypeAlias = Literal["nearest", "transposed"]

# DCGAN (Radford et al., 2016, arXiv:1511.06434), and codes that follow it.
DCGAN_KERNEL = nn.initializers.normal(0.02)
HE = nn.initializers.he_normal()


def dcgan_scale(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """First scales of batch norms that go with `DCGAN_KERNEL`, N(1, 0.02²)."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class UpConv(nn.Module):
    """A convolution that doubles the sides of a grid.

    Attributes:
        features: channels of the output.
        form: "nearest": every cell is doubled and 3 x 3 taps follow, which leaves no
            checkerboard; "transposed": 4 x 4 taps and stride 2, as in DCGAN.
        use_bias: whether an offset is learned.
        dtype: compute dtype; parameters are float32.
        kernel_init: He's for "nearest" and DCGAN's for "transposed" unless given.
    """

    features: int
    form: Upsampling = "nearest"
    use_bias: bool = False
    dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B, H, W, C] to [B, 2 H, 2 W, features]."""
        nearest = self.form == "nearest"
        size, init = (3, HE) if nearest else (4, DCGAN_KERNEL)
        shape = (size, size, x.shape[-1], self.features)
        init = self.kernel_init or init
        kernel = self.param("kernel", init, shape).astype(self.dtype)
        conv = nearest_conv if nearest else transposed_conv
        y = conv(x.astype(self.dtype), kernel)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,))
        return y.astype(self.dtype)


class ImageDecoder(nn.Module, kw_only=True):
    """Batch norm, ReLU and up-convolutions from a code to an image.

    Attributes:
        shape: of the image, (H, W, C).
        widths: channels of the grids, the coarsest first; each is half as fine as the
            next, and the last half as fine as the image.
        form: of the up-convolutions.
        tanh: whether the image's values are squashed into [-1, 1].
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters and the image are float32.
    """

    shape: tuple[int, ...]
    widths: tuple[int, ...] = (256, 128, 64)
    form: Upsampling = "nearest"
    tanh: bool = False
    groups: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps vectors [B, D], or grids [B, h, w, D], to images [B, H, W, C] float32.

        A vector is laid out by a dense layer, a grid is mapped by 1 x 1 taps. What the
        doublings make beyond H x W is cut off.

        Raises:
            ValueError: if as many doublings of the grid are not the image, or less.
        """
        doublings = len(self.widths)
        init = HE if self.form == "nearest" else DCGAN_KERNEL
        start = [-(-side // 2**doublings) for side in self.shape[:2]]
        if x.ndim == 4 and list(x.shape[1:3]) != start:
            raise ValueError(
                f"decoder_widths = {self.widths} doubles {doublings} times, which makes"
                f" {self.shape[0]} x {self.shape[1]} pixels of {start[0]} x {start[1]} "
                f"cells, and the encoder has {x.shape[1]} x {x.shape[2]}; give one "
                "width for each doubling."
            )

        def dense(width: int, name: str) -> nn.Dense:
            settings = {"use_bias": False, "kernel_init": init, "dtype": self.dtype}
            return nn.Dense(width, name=name, **settings)

        def activated(x: Array, name: str) -> Array:
            scale = nn.initializers.ones if self.form == "nearest" else dcgan_scale
            norm = BatchNorm(
                groups=self.groups, scale_init=scale, dtype=self.dtype, name=name
            )
            return nn.relu(norm(x, train=train))

        first = self.widths[0]
        if x.ndim == 2:
            x = dense(start[0] * start[1] * first, "start")(x)
            x = x.reshape(-1, *start, first)
        else:
            x = dense(first, "start")(x)
        x = activated(x, "norm0")
        for i, width in enumerate(self.widths[1:], 1):
            x = UpConv(width, self.form, dtype=self.dtype, name=f"up{i}")(x)
            x = activated(x, f"norm{i}")
        last = UpConv(self.shape[2], self.form, True, self.dtype, name="pixels")
        x = last(x)[:, : self.shape[0], : self.shape[1]].astype(jnp.float32)
        return nn.tanh(x) if self.tanh else x


def image_decoder(
    encoder: nn.Module,
    shape: tuple[int, ...],
    widths: tuple[int, ...],
    form: Upsampling,
    *,
    tanh: bool = False,
) -> ImageDecoder:
    """A decoder with the batch-norm groups and the compute dtype of `encoder`."""
    return ImageDecoder(
        shape=shape,
        widths=widths,
        form=form,
        tanh=tanh,
        groups=norm_groups(encoder),
        dtype=getattr(encoder, "dtype", jnp.float32),
    )
