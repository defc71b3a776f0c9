"""Monodepth (Godard et al., 2017, arXiv:1609.03677): disparity from pairs of pictures.

A network reads the left picture alone and says the disparities of both. Each picture is
put together from the other one, and the two maps of disparity must agree.

Views: {"left_frames", "left_inputs", "left_camera", "right_frames", ...} of films of
two rectified cameras, of which the target frame is read. The matrices of the cameras
may be missing; then depth is up to scale.
"""

from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn, encoder_input
from jax_ssl.core.types import Array, Batch, Metrics, Params, Views
from jax_ssl.losses.photometric import left_right_error, ssim_distance
from jax_ssl.losses.smoothness import smoothness
from jax_ssl.nn.disparity import DisparityDecoder, PyramidNetwork
from jax_ssl.nn.films import Pair, pair, two_cameras
from jax_ssl.nn.network import Heads, Network, StatsState
from jax_ssl.ops.cameras import depth_of_disparity
from jax_ssl.ops.scales import area_resize
from jax_ssl.ops.warp import stereo_pixels, warp

SIDES = ("left", "right")


def monodepth(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    ssim_weight: float = 0.85,
    smoothness_weight: float = 0.1,
    smoothness_along: Literal["both", "rows"] = "both",
    left_right_weight: float = 1.0,
    num_scales: int = 4,
    decoder_widths: tuple[int, ...] = (512, 512, 256, 128, 64, 32, 16),
    max_disparity: float = 0.3,
) -> Method:
    """Builds Monodepth around `encoder`; defaults as in the paper and its code.

    Args:
        encoder: returns `Features` with a pyramid, such as `monodepth_vgg`; evaluation
            keeps it.
        views: one example -> its pair of films.
        heads: a module in the place of that made here, "decoder".
        ssim_weight: of (1 - SSIM) / 2; the rest is that of the absolute difference.
        smoothness_weight: of the finest scale; each coarser one has half of it.
        smoothness_along: "both" directions, as in the paper, or the "rows" alone: in
            the released code, with which the paper's numbers were made, the index of
            the sum ends before the maps of the other direction.
        left_right_weight: of the disagreement of the two maps; 0 leaves it out.
        num_scales: of the disparities.
        decoder_widths: channels of the decoder's levels, the coarsest first; one for
            each time that the encoder halves the images.
        max_disparity: where the network's sigmoid is 1, as a share of the width.

    Raises:
        ValueError: if a setting is out of range.

    Note:
        All losses are of disparities as shares of the width, as in the released code.
        The mean with the mirrored picture's is a setting of the protocols.
    """
    checks.within("[0, 1]", ssim_weight=ssim_weight)
    checks.at_least(0, smoothness_weight=smoothness_weight)
    checks.at_least(0, left_right_weight=left_right_weight)
    checks.within("(0, 1]", max_disparity=max_disparity)
    checks.at_least(1, decoder_widths=decoder_widths)
    checks.within(f"[1, {len(decoder_widths)}]", num_scales=num_scales)
    decoder = DisparityDecoder(
        widths=decoder_widths,
        doubling="nearest",
        feedback=True,
        num_scales=num_scales,
        num_maps=2,
        scale=max_disparity,
        padding="zero",
        dtype=getattr(encoder, "dtype", jnp.float32),
    )
    parts = Network.of(encoder, heads, decoder=decoder).parts
    net = PyramidNetwork(encoder=encoder, decoder=parts["decoder"])

    def init(key: Array, views: Views) -> tuple[Params, StatsState]:
        params, stats = net.init(key, pictures(views).left.inputs[:, 0])
        return params, StatsState(stats)

    def loss(
        params: Params, state: StatsState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        two = pictures(views)
        t = two.left.target
        maps, stats = net.maps(params, state.stats, two.left.inputs[:, t])
        frames = {"left": two.left.frames[:, t], "right": two.right.frames[:, t]}
        terms = []
        for scale, both in enumerate(maps):
            images, shares = {}, {}
            for i, side in enumerate(SIDES):
                images[side] = area_resize(frames[side], *both.shape[1:3])
                shares[side] = both[..., i]
            terms += [terms_of(images, shares, side, scale) for side in SIDES]
        photometric, rough, apart = (sum(each) for each in zip(*terms, strict=True))
        metrics = {
            "photometric_loss": photometric,
            "smoothness_loss": smoothness_weight * rough,
            "left_right_loss": left_right_weight * apart,
            "mean_disparity": maps[0].mean(),
        }
        value = photometric + smoothness_weight * rough + left_right_weight * apart
        return value, (StatsState(stats), jax.lax.stop_gradient(metrics))

    def terms_of(
        images: Mapping[str, Array], shares: Mapping[str, Array], side: str, scale: int
    ) -> tuple[Array, Array, Array]:
        """Photometric error, roughness and disagreement of one camera at one scale."""
        (other,) = set(SIDES) - {side}
        image, own, width = images[side], shares[side], images[side].shape[2]
        shown = warped(images[other], own, side)
        distance = ssim_distance(shown, image, "valid").mean()
        difference = jnp.abs(shown - image).mean()
        edges = smoothness(own[..., None], image)
        rough = edges.x.mean()
        if smoothness_along == "both":
            rough = rough + edges.y.mean()
        apart = left_right_error(width * own, width * shares[other], side) / width
        return (
            ssim_weight * distance + (1 - ssim_weight) * difference,
            rough / 2**scale,
            apart.mean(),
        )

    def share(params: Params, state: StatsState, images: Array) -> Array:
        """Disparities of both cameras as shares of the width, [B, h, w, 2]."""
        return net.maps(params, state.stats, images, train=False)[0][0]

    def disparity(params: Params, state: StatsState, seen: Views) -> Array:
        found = share(params, state, encoder_input(seen))[..., 0]
        return found.shape[-1] * found

    def depth(params: Params, state: StatsState, seen: Views) -> Array:
        found = disparity(params, state, seen)
        if not two_cameras(seen):
            return depth_of_disparity(found, 1.0, 1.0)
        two = pair(seen)
        return depth_of_disparity(found, two.left.intrinsics[:, 0, 0], two.baseline)

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        two = pictures(examples["seen"])
        t = two.left.target
        left, right = two.left.frames[:, t], two.right.frames[:, t]
        both = share(params, state, encoder_input(examples["seen"]))
        columns = {
            "left: as it is": ("image", left),
            "left: out of the right one": (
                "image",
                warped(right, both[..., 0], "left"),
            ),
            "left: disparity": ("disparity", both[..., 0]),
            "right: as it is": ("image", right),
            "right: out of the left one": (
                "image",
                warped(left, both[..., 1], "right"),
            ),
            "right: disparity": ("disparity", both[..., 1]),
        }
        caption = (
            "Both maps are read from the left picture alone. What only one camera sees "
            "is doubled in the picture that is put together."
        )
        return {"Each picture out of the other": Shown(columns, caption)}

    return Method(
        views=views,
        init=init,
        loss=loss,
        shows=shows,
        predicts={"depth": depth, "disparity": disparity},
        **net.kept(),
    )


def pictures(views: Views) -> Pair:
    """The films of two cameras, which are not read here and may be unknown."""
    if isinstance(views, Mapping) and "right_frames" in views:
        views = {f"{side}_camera": jnp.eye(3, 4) for side in SIDES} | dict(views)
    return pair(views)


def warped(other: Array, share: Array, side: str) -> Array:
    """A camera's picture put together from the other's, [B, H, W, C].

    Args:
        other: [B, H, W, C] of the other camera.
        share: [B, H, W] disparities of the camera, as shares of the width.
        side: of the camera, "left" or "right".
    """
    return warp(other, stereo_pixels(share.shape[-1] * share, side), "edge").values
