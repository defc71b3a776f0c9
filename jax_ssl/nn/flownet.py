"""FlowNetC and FlowNetS (Fischer et al., 2015, arXiv:1504.06852), and their stacks.

What follows the encoder of single images: a cost volume or a stack of images, levels
that get coarser, and levels that get finer again and say a flow each.

Flow is in units of `FLOW_UNIT` pixels of the images throughout, whatever the level; so
a flow keeps its values when a finer level enlarges it.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.nn.leaky import LeakyConv, LeakyUpConv, enlarged
from jax_ssl.ops.correlation import correlation
from jax_ssl.ops.warp import flow_pixels, warp

FLOW_UNIT = 20.0  # Pixels.
# Released codes begin with He's weights in all layers. A first flow of many pixels is
# beyond what a photometric loss can mend on a small network, so that the layers that
# say a flow begin with a tenth here.
FLOW_GAIN = 0.1
WIDTHS = (256, 512, 512, 1024)

Pyramid = Sequence[Array]  # From fine to coarse.


class FlowNetC(nn.Module, kw_only=True):
    """Compares the features of two images, and says the flow from one to the other.

    Attributes:
        widths: channels of the contracting levels, the first at the scale of the
            features; each further one halves the sides.
        decoder_widths: channels of the expanding levels, the coarsest first. As many as
            `widths` end at the level before the features; each further one doubles the
            sides once more, with a finer level of the pyramid beside it.
        redirected: channels of the features that are kept beside the cost volume.
        max_displacement: reach of the cost volume in cells of the features, 8 pixels.
        stride: cells from one compared displacement to the next.
        dtype: compute dtype; parameters and flows are float32.
    """

    widths: tuple[int, ...] = WIDTHS
    decoder_widths: tuple[int, ...] = (512, 256, 128, 64)
    redirected: int = 32
    max_displacement: int = 20
    stride: int = 2
    dtype: Any = jnp.float32

    @property
    def halvings(self) -> int:
        """How often the sides of the features are halved."""
        return len(self.widths) - 1

    @nn.compact
    def __call__(self, own: Pyramid, other: Pyramid, *, train: bool) -> tuple:
        """Flows from the images of `own` to those of `other`.

        Args:
            own: images and the pyramid that an encoder makes of them.
            other: of the other images.
            train: no matter.

        Returns:
            len(decoder_widths) + 1 flows [B, h, w, 2] float32 in `FLOW_UNIT`s, fine to
            coarse.

        Raises:
            ValueError: if there is no level for each of `decoder_widths`.
        """
        del train
        reach = self.max_displacement, self.stride
        costs = correlation(own[-1], other[-1], *reach)
        kept = LeakyConv(self.redirected, 1, dtype=self.dtype, name="redirect")(own[-1])
        x = jnp.concatenate([kept, costs.astype(kept.dtype)], axis=-1)
        levels = _contracted(x, self.widths, self.dtype)
        return _expanded(own[:-1], levels, self.decoder_widths, self.dtype)


class FlowNetS(nn.Module, kw_only=True):
    """Says the flow from a stack of two images, and of what an earlier network made.

    Attributes:
        trunk_widths: channels of the levels at a half, a quarter, an eighth ...
        trunk_kernels: sides of their kernels.
        widths: see `FlowNetC`, from the scale of the last trunk level on.
        decoder_widths: see `FlowNetC`.
        dtype: compute dtype; parameters and flows are float32.
    """

    trunk_widths: tuple[int, ...] = (64, 128, 256)
    trunk_kernels: tuple[int, ...] = (7, 5, 5)
    widths: tuple[int, ...] = WIDTHS
    decoder_widths: tuple[int, ...] = (512, 256, 128, 64)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, own: Array, other: Array, flow: Array, *, train: bool) -> tuple:
        """Flows from images `own` to `other`, given an earlier one.

        The network reads both images, the flow, `other` warped by it, and how far the
        warped image is from `own`: 14 channels for images of 3.

        Args:
            own: images [B, H, W, C].
            other: images [B, H, W, C].
            flow: [B, h, w, 2] in `FLOW_UNIT`s, not finer than the images.
            train: no matter.

        Returns:
            As `FlowNetC`.
        """
        del train
        flow = enlarged(flow, own.shape[1] // flow.shape[1])
        warped = warp(other, flow_pixels(FLOW_UNIT * flow), border="edge").values
        error = jnp.abs(own - warped)
        x = jnp.concatenate([own, other, flow, warped, error], axis=-1)
        trunk = [x]
        sizes = zip(self.trunk_widths, self.trunk_kernels, strict=True)
        for i, (width, size) in enumerate(sizes):
            x = LeakyConv(width, size, 2, dtype=self.dtype, name=f"trunk{i}")(x)
            trunk.append(x)
        levels = _contracted(x, self.widths, self.dtype)
        return _expanded(trunk[:-1], levels, self.decoder_widths, self.dtype)


def _contracted(x: Array, widths: Sequence[int], dtype: Any) -> list[Array]:
    """Ever coarser levels, inside of a compact method."""
    levels = [LeakyConv(widths[0], dtype=dtype, name="conv0")(x)]
    for i, width in enumerate(widths[1:], 1):
        x = LeakyConv(width, stride=2, dtype=dtype, name=f"down{i}")(levels[-1])
        levels.append(LeakyConv(width, dtype=dtype, name=f"conv{i}")(x))
    return levels


def _expanded(
    finer: Pyramid, contracted: Pyramid, widths: Sequence[int], dtype: Any
) -> tuple[Array, ...]:
    """A flow of every level, from fine to coarse, inside of a compact method.

    Args:
        finer: levels that are finer than the others; as many of the last as needed.
        contracted: from fine to coarse, all of which are read.
        widths: channels, one for each level but the coarsest.
        dtype: compute dtype.
    """
    more = len(widths) + 1 - len(contracted)
    if not 0 <= more <= len(finer):
        raise ValueError(
            f"decoder_widths = {tuple(widths)} must have from {len(contracted) - 1} to "
            f"{len(contracted) - 1 + len(finer)} numbers, one for each doubling."
        )
    levels = [*finer[len(finer) - more :], *contracted]
    count = len(levels)

    def said(x: Array, level: int) -> Array:
        layer = LeakyConv(
            2, gain=FLOW_GAIN, activated=False, dtype=dtype, name=f"flow{level}"
        )
        return layer(x)

    x = levels[-1]
    flows = [said(x, count - 1)]
    for level, width in zip(range(count - 2, -1, -1), widths, strict=True):
        up = LeakyUpConv(width, dtype=dtype, name=f"up{level}")(x)
        flow = LeakyUpConv(2, activated=False, dtype=dtype, name=f"flow_up{level}")
        beside = levels[level].astype(dtype)
        x = jnp.concatenate([beside, up, flow(flows[-1])], axis=-1)
        flows.append(said(x, level))
    return tuple(flow.astype(jnp.float32) for flow in reversed(flows))


def resized_flow(flow: Array, height: int, width: int) -> Array:
    """Flow [B, h, w, 2] in `FLOW_UNIT`s as one in pixels of images of height x width.

    Note:
        Bilinear, and the pixels are those of the images whatever the size of the grid.
    """
    sides = (len(flow), height, width, 2)
    return FLOW_UNIT * jax.image.resize(flow, sides, "bilinear")
