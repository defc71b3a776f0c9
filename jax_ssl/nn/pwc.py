"""Decoders of PWC-Net's kind: a pyramid, warping and a small cost volume at each level.

One says optical flow (Sun et al., 2018, arXiv:1709.02371), the other scene flow and
disparity (Hur & Roth, 2020, arXiv:2004.04143).
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core.types import Array
from jax_ssl.nn.flownet import FLOW_GAIN, FLOW_UNIT, Pyramid
from jax_ssl.nn.leaky import SLOPE, LeakyConv, enlarged
from jax_ssl.nn.upsampling import UpConv
from jax_ssl.ops.cameras import (
    backproject,
    depth_of_disparity,
    project,
    resized_intrinsics,
)
from jax_ssl.ops.correlation import correlation
from jax_ssl.ops.warp import flow_pixels, warp

FINEST = 2  # Place of the last level that is decoded, at a quarter of the images.
LARGEST_DISPARITY = 0.3  # Share of the image's width.
NEAREST, FARTHEST = 1e-3, 80.0  # Metres.


class FlowDecoder(nn.Module, kw_only=True):
    """Flow, from coarse to fine; each level adds to what the coarser one says.

    Attributes:
        widths: channels of the convolutions of a level.
        context_widths: of the dilated ones behind the finest level.
        dilations: of these, as many.
        max_displacement: reach of the cost volumes, in cells of each level.
        normalize: whether features are standardized before they are compared.
        dtype: compute dtype; parameters and flows are float32.

    Note:
        PWC-Net's convolutions see all those before them, and its levels say the flow
        and no difference.
    """

    widths: tuple[int, ...] = (128, 128, 96, 64, 32)
    context_widths: tuple[int, ...] = (128, 128, 128, 96, 64, 32)
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 1)
    max_displacement: int = 4
    normalize: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, own: Pyramid, other: Pyramid, *, train: bool) -> tuple:
        """Flows from the images of `own` to those of `other`.

        Args:
            own: images and the pyramid that an encoder makes of them, the sides of
                which halve from level to level.
            other: of the other images.
            train: no matter.

        Returns:
            len(own) - 2 flows [B, h, w, 2] float32 in `FLOW_UNIT`s, fine to coarse, the
            first at a quarter of the images.
        """
        del train

        def pixels(flow: Array, stride: int) -> Array:
            return flow_pixels(flow * (FLOW_UNIT / stride))

        def combined(before: Array | None, raw: Array) -> Array:
            return raw if before is None else before + raw

        return _coarse_to_fine(self, own, other, 2, combined, pixels)


class SceneFlowDecoder(nn.Module, kw_only=True):
    """Scene flow and disparity of two frames of one camera.

    The scene flow of a level adds to that of the coarser one; disparities stand for
    themselves. What is compared at a level is warped to where the points, seen at their
    disparity and moved by the scene flow, are seen in the other image.

    Attributes:
        widths: see `FlowDecoder`, and so are the other settings.
        context_widths: of the convolutions behind the finest level.
        dilations: of these.
        max_displacement: reach of the cost volumes.
        normalize: whether features are standardized before they are compared.
        dtype: compute dtype; parameters and outputs are float32.
    """

    widths: tuple[int, ...] = (128, 128, 96, 64, 32)
    context_widths: tuple[int, ...] = (128, 128, 128, 96, 64, 32)
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 1)
    max_displacement: int = 4
    normalize: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        own: Pyramid,
        other: Pyramid,
        intrinsics: Array,
        baseline: Array,
        *,
        train: bool,
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Scene flow from the images of `own` to those of `other`, and disparities.

        Args:
            own: see `FlowDecoder`.
            other: of the other images.
            intrinsics: [B, 3, 3] in pixels of the images.
            baseline: [B] metres, that make disparities of depths.
            train: no matter.

        Returns:
            (scene flows [B, h, w, 3] in metres, disparities [B, h, w, 1] as shares of
            the width), float32, len(own) - 2 each, fine to coarse, the first at a
            quarter of the images.
        """
        del train

        def combined(before: Array | None, raw: Array) -> Array:
            moved = raw[..., :3]
            moved = moved if before is None else before[..., :3] + moved
            share = LARGEST_DISPARITY * jax.nn.sigmoid(raw[..., 3:])
            return jnp.concatenate([moved, share], axis=-1)

        def pixels(values: Array, stride: int) -> Array:
            camera = resized_intrinsics(intrinsics, 1 / stride, 1 / stride)
            points = points_of(values[..., 3], camera, baseline)
            return project(points + values[..., :3], camera, None).pixels

        found = _coarse_to_fine(self, own, other, 4, combined, pixels)
        return tuple(x[..., :3] for x in found), tuple(x[..., 3:] for x in found)


def points_of(share: Array, intrinsics: Array, baseline: Array) -> Array:
    """Points [..., H, W, 3] in metres seen at disparities, from 1 mm to 80 m deep.

    Args:
        share: disparities [..., H, W], as shares of the width.
        intrinsics: [..., 3, 3] in pixels of this grid.
        baseline: [...] metres.
    """
    pixels = jnp.maximum(share * share.shape[-1], 1e-6)
    depth = depth_of_disparity(pixels, intrinsics[..., 0, 0], baseline)
    return backproject(jnp.clip(depth, NEAREST, FARTHEST), intrinsics)


def standardized(a: Array, b: Array) -> tuple[Array, Array]:
    """Two grids [B, h, w, C], of each row's two mean 0 and variance 1 over all of both.

    What is alike in all places says nothing of motion, but is most of what features
    have in common before they are trained (Jonschkowski et al., 2020,
    arXiv:2006.04902).
    """
    both = jnp.stack([a, b], axis=1).astype(jnp.float32)
    axes = tuple(range(1, both.ndim))
    both = both - both.mean(axes, keepdims=True)
    both = both * jax.lax.rsqrt(jnp.square(both).mean(axes, keepdims=True) + 1e-8)
    return both[:, 0].astype(a.dtype), both[:, 1].astype(b.dtype)


def _coarse_to_fine(
    settings: FlowDecoder | SceneFlowDecoder,
    own: Pyramid,
    other: Pyramid,
    channels: int,
    combined: Callable[[Array | None, Array], Array],
    pixels: Callable[[Array, int], Array],
) -> tuple[Array, ...]:
    """What every level says, from fine to coarse, inside of a compact method.

    Args:
        settings: the module.
        own: levels.
        other: levels.
        channels: of what is said.
        combined: (what has been said before, enlarged, or None; what the layers make)
            -> what is said, float32.
        pixels: (what has been said, enlarged; pixels of the image to a cell) -> where
            the cells are seen in `other`.
    """
    dtype = settings.dtype

    def layers(x: Array, widths: Sequence[int], name: str, *dilations: int) -> Array:
        for i, width in enumerate(widths):
            dilation = dilations[i] if dilations else 1
            layer = LeakyConv(width, dilation=dilation, dtype=dtype, name=f"{name}{i}")
            x = layer(x)
        return x

    def said(x: Array, name: str) -> Array:
        layer = LeakyConv(
            channels, gain=FLOW_GAIN, activated=False, dtype=dtype, name=name
        )
        return layer(x).astype(jnp.float32)

    found: list[Array] = []
    x = own[-1]
    for level in range(len(own) - 1, FINEST - 1, -1):
        seen, more, before = other[level], [], None
        if found:
            up = UpConv(settings.widths[-1], "nearest", True, dtype, name=f"up{level}")
            before = enlarged(found[-1], 2)
            seen = warp(seen, pixels(before, 2**level), border="zero").values
            more = [nn.leaky_relu(up(x), SLOPE), before.astype(dtype)]
        seen = seen.astype(dtype)
        pair = (own[level], seen)
        pair = standardized(*pair) if settings.normalize else pair
        costs = correlation(*pair, settings.max_displacement)
        costs = nn.leaky_relu(costs, SLOPE).astype(dtype)
        x = jnp.concatenate([costs, own[level], *more], axis=-1)
        x = layers(x, settings.widths, f"level{level}_conv")
        values = combined(before, said(x, f"level{level}_out"))
        if level == FINEST:
            y = jnp.concatenate([x, values.astype(dtype)], axis=-1)
            y = layers(y, settings.context_widths, "context", *settings.dilations)
            values = combined(values, said(y, "context_out"))
        found.append(values)
    return tuple(reversed(found))
