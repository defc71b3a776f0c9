"""U-Net (Ronneberger et al., 2015, arXiv:1505.04597).

A contracting path, which is an encoder like any other, and an expanding path, which
reads the pyramid of any encoder. On a pyramid of U-Net's the two are the paper's
network: a level of the pyramid is what the pool then halves.
"""

from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, ComputeDtype, Features
from jax_ssl.nn.dropout import dropped
from jax_ssl.nn.norm import BatchNorm
from jax_ssl.ops.conv import conv_general_dilated

Padding: TypeAlias = Literal["valid", "same"]
UNetNorm: TypeAlias = Literal["none", "batch"]

# Section 3: the standard deviation is the root of 2 / N, N the inputs of a unit.
HE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class DoubleConv(nn.Module, kw_only=True):
    """Two 3 x 3 convolutions, each followed by ReLU.

    Attributes:
        width: channels of both.
        padding: "valid" takes two pixels off each side, "same" adds zeros.
        norm: "batch" norm before each ReLU, in the place of the bias, or "none".
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters are float32.
    """

    width: int
    padding: Padding = "valid"
    norm: UNetNorm = "none"
    groups: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps x [B, h, w, C] to [B, h', w', width].

        Raises:
            ValueError: if nothing would be left.
        """
        if min(x.shape[1:3]) <= (4 if self.padding == "valid" else 0):
            raise ValueError(
                f"a level of {x.shape[1]} x {x.shape[2]} cells is too small for two "
                f"convolutions with padding = {self.padding!r}: give fewer "
                "encoder.widths, encoder.padding = 'same', or larger images."
            )
        for i in range(2):
            x = nn.Conv(
                self.width,
                (3, 3),
                padding=self.padding.upper(),
                use_bias=self.norm == "none",
                kernel_init=HE,
                dtype=self.dtype,
                conv_general_dilated=conv_general_dilated,
                name=f"conv{i}",
            )(x)
            if self.norm == "batch":
                norm = BatchNorm(groups=self.groups, dtype=self.dtype, name=f"norm{i}")
                x = norm(x, train=train)
            x = nn.relu(x)
        return x


class UpConv2(nn.Module):
    """The up-convolution: 2 x 2 taps and stride 2, so that a cell becomes four.

    No output cell reads more than one input cell, hence N is the input's channels.

    Attributes:
        width: channels of the output.
        dtype: compute dtype; parameters are float32.
    """

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B, h, w, C] to [B, 2 h, 2 w, width]."""
        B, h, w, _ = x.shape
        # One product makes the four cells as channels, which are then laid out.
        made = 4 * self.width
        x = nn.Dense(made, kernel_init=HE, use_bias=False, dtype=self.dtype)(x)
        x = x.reshape(B, h, w, 2, 2, self.width).transpose(0, 1, 3, 2, 4, 5)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return x.reshape(B, 2 * h, 2 * w, self.width) + bias.astype(x.dtype)


class UNet(nn.Module, kw_only=True):
    """The contracting path over images.

    Attributes:
        widths: channels of the levels; each but the first has half the sides of the
            one before. The paper's depth of 4 pools has five.
        padding: of the convolutions: "valid", as in the paper, or "same".
        norm: "none", as in the paper, or "batch" norm before each ReLU.
        dropout: share of the outputs of the two coarsest levels that are zero in
            training, a half in the authors' network. The method must hand a key for it
            to the encoder, as `segmenter` does.
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters and `Features.pooled` are float32.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    padding: Padding = "valid"
    norm: UNetNorm = "none"
    dropout: float = 0.0
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
        checks.within("[0, 1)", dropout=self.dropout)
        super().__post_init__()

    @property
    def margin(self) -> int:
        """Pixels that both paths together lose at every side of an image: 92."""
        return 0 if self.padding == "same" else 6 * 2 ** (len(self.widths) - 1) - 4

    def fitting(self, side: int) -> int:
        """The least side of an image from which both paths make `side` or more.

        Every pool then halves an even side: 388 has 572 with the paper's settings.
        """
        lost = 4 if self.padding == "valid" else 0

        def fits(n: int) -> bool:
            for _ in self.widths[1:]:
                n -= lost
                if n <= 0 or n % 2:
                    return False
                n //= 2
            return n > lost

        found = side + 2 * self.margin
        while not fits(found):
            found += 1
        return found

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps images [B, H, W, C] to the outputs of all levels, the last the grid.

        Raises:
            ValueError: if an image is too small.
        """
        levels: list[Array] = []
        for i, width in enumerate(self.widths):
            if i > 0:
                x = halved(x)
            x = DoubleConv(
                width=width,
                padding=self.padding,
                norm=self.norm,
                groups=self.groups,
                dtype=self.dtype,
                name=f"level{i}",
            )(x, train=train)
            if train and self.dropout and i >= len(self.widths) - 2:
                x = dropped(self.make_rng("dropout"), x, self.dropout)
            levels.append(x)
        pooled = x.mean((1, 2), dtype=jnp.float32)
        return Features(pooled, grid=x, pyramid=tuple(levels))


class ExpandingPath(nn.Module, kw_only=True):
    """The expanding path: scores of the pixels from the pyramid of an encoder.

    Each level is made twice as fine, laid beside the encoder's of that size, and
    convolved. Of two grids that differ in size, as they do without padding, the middle
    of the larger one is cut out.

    Attributes:
        num_classes: K.
        widths: channels of its levels, the finest first, one fewer than the pyramid
            has; () for those of the pyramid.
        padding: of the convolutions, that of the encoder.
        norm: "batch" norm before each ReLU, or "none".
        groups: batch-norm groups of the global batch.
        dtype: compute dtype; parameters and scores are float32.
    """

    num_classes: int
    widths: tuple[int, ...] = ()
    padding: Padding = "same"
    norm: UNetNorm = "none"
    groups: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, pyramid: tuple[Array, ...], *, train: bool) -> Array:
        """Maps levels [B, h, w, C], fine to coarse, to [B, h', w', K] float32.

        The size is that of the finest level, or without padding less; see
        `UNet.margin`.

        Raises:
            ValueError: if there is no pyramid, or its levels do not halve.
        """
        if not pyramid:
            raise ValueError(
                "the encoder makes no pyramid, which the expanding path reads; choose "
                "one of several levels, such as encoder.name = 'unet' or 'resnet18'."
            )
        *skips, x = pyramid
        widths = self.widths or tuple(skip.shape[-1] for skip in skips)
        if len(widths) != len(skips):
            raise ValueError(
                f"decoder_widths = {widths} must hold {len(skips)} numbers, one for "
                f"each level but the coarsest of the encoder's {len(pyramid)}."
            )
        for i, width in reversed(list(enumerate(widths))):
            skip = skips[i]
            ratio = round(min(skip.shape[1] / x.shape[1], skip.shape[2] / x.shape[2]))
            if ratio > 1:
                # ReLU as in the authors' network; the text does not say.
                x = nn.relu(UpConv2(width, dtype=self.dtype, name=f"up{i}")(x))
            x = jnp.concatenate(self.matched(x, skip.astype(x.dtype)), axis=-1)
            x = DoubleConv(
                width=width,
                padding=self.padding,
                norm=self.norm,
                groups=self.groups,
                dtype=self.dtype,
                name=f"level{i}",
            )(x, train=train)
        return nn.Conv(
            self.num_classes,
            (1, 1),
            kernel_init=HE,
            dtype=self.dtype,
            conv_general_dilated=conv_general_dilated,
            name="scores",
        )(x).astype(jnp.float32)

    def matched(self, x: Array, skip: Array) -> tuple[Array, Array]:
        """The middle of both grids, of the smaller one's size.

        Raises:
            ValueError: if they are no two sizes of one grid.
        """
        own, other = x.shape[1:3], skip.shape[1:3]
        surplus = [abs(a - b) for a, b in zip(own, other, strict=True)]
        valid = self.padding == "valid"
        if any(n % 2 if valid else n > 1 for n in surplus):
            raise ValueError(
                f"a level of {other[0]} x {other[1]} cells does not fit the one below "
                f"it, which is {own[0]} x {own[1]} when made finer: the sides of the "
                "images must halve evenly at every level of the encoder, and each "
                "level must have the sides, or half the sides, of the one before."
            )
        sides = tuple(map(min, own, other))
        return cut(x, sides), cut(skip, sides)


def cut(x: Array, sides: tuple[int, ...]) -> Array:
    """The middle [B, *sides, C] of x [B, h, w, C]; what is odd goes at the end."""
    top, left = ((n - m) // 2 for n, m in zip(x.shape[1:3], sides, strict=True))
    return x[:, top : top + sides[0], left : left + sides[1]]


def halved(x: Array) -> Array:
    """The largest of each 2 x 2 cells, [B, h // 2, w // 2, C]; an odd end is left.

    On a CPU, with its gradient, it takes a quarter of the time of `nn.max_pool`. The
    gradient of one maximum over all four would compare x, perhaps computed anew and
    rounded otherwise, with the maximum, and has then been 0 / 0.
    """
    height, width = (n // 2 * 2 for n in x.shape[1:3])
    x = x[:, :height, :width]
    rows = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])
