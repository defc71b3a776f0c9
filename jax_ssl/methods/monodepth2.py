"""Monodepth2 (Godard et al., 2019, arXiv:1806.01260): depth from films, self-taught.

A network says of one image how far everything is, another how the camera has moved; the
frames before and after, or that of a second camera, are then warped onto the target.
Each pixel counts in the source that explains it best, and none that stands still.

Views: {"frames", "inputs", "intrinsics"} of a film of one camera, or
{"left_frames", "left_inputs", "left_camera", "right_frames", ...} of two.
"""

from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.method import Method, PredictFn, Shown, ViewFn, encoder_input
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree, Views
from jax_ssl.losses.photometric import minimum_reprojection, photometric_error
from jax_ssl.losses.smoothness import mean_normalized, smoothness
from jax_ssl.nn.disparity import DisparityDecoder, PyramidNetwork
from jax_ssl.nn.films import Film, Pair, chained, film, pair, scaled, two_cameras
from jax_ssl.nn.network import GridNetwork, Heads, Network, StatsState
from jax_ssl.nn.pose import MOTION_SCALE, PoseDecoder
from jax_ssl.ops.cameras import (
    disparity_of_depth,
    inverse,
    motion_of,
    resized_intrinsics,
    rotation_exp,
)
from jax_ssl.ops.scales import area_resize, bilinear_resize
from jax_ssl.ops.synthesis import inverse_warp


def monodepth2(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    sources: Literal["mono", "stereo", "both"] = "mono",
    reprojection: Literal["minimum", "average"] = "minimum",
    auto_mask: bool = True,
    full_resolution: bool = True,
    ssim_weight: float = 0.85,
    smoothness_weight: float = 1e-3,
    num_scales: int = 4,
    decoder_widths: tuple[int, ...] = (256, 128, 64, 32, 16),
    pose_width: int = 256,
    motion_scale: float = MOTION_SCALE,
    min_depth: float = 0.1,
    max_depth: float = 100.0,
    nominal_baseline: float | None = 0.1,
) -> Method:
    """Builds Monodepth2 around `encoder`; defaults as in the released code.

    Args:
        encoder: returns `Features` with a pyramid; evaluation keeps it. The motions are
            read from a second one of the same settings, for two frames at once.
        views: one example -> its film.
        heads: modules in the place of those made here, by the name of their part:
            "decoder" and, but for stereo, "pose_encoder" and "pose".
        sources: what the target is put together from: the other frames of its film
            ("mono"), the other camera's frame of the same time ("stereo"), or "both".
        reprojection: which error of a pixel counts: the "minimum" over the sources, or
            their "average".
        auto_mask: whether pixels count for nothing that a source explains better as it
            is than warped.
        full_resolution: whether the disparities of all scales are enlarged to the size
            of the images; otherwise the images are reduced to that of the disparities.
        ssim_weight: of (1 - SSIM) / 2; the rest is that of the absolute difference.
        smoothness_weight: of the finest scale; each coarser one has half of it.
        num_scales: of the disparities.
        decoder_widths: channels of the decoder's levels, the coarsest first; one for
            each time that the encoder halves the images.
        pose_width: channels of the decoder of motions.
        motion_scale: factor of what that network says. Of small ones the disparities
            must do more of the work at first, and may end where their sigmoid is flat.
        min_depth: where the network's sigmoid is 1.
        max_depth: where it is 0.
        nominal_baseline: length that stands for the distance of the two cameras in the
            unit of these depths; None for its true length in metres.

    Raises:
        ValueError: if a setting is out of range.

    Note:
        The paper begins with weights of ImageNet's labels; here nothing is labelled
        (its table 1 has such a row too). All pairs of frames go through the network of
        motions at once, so that its batch norm sees them together. Pictures of coarse
        scales are means of areas, where the released code has Lanczos' filter.
    """
    checks.within("[0, 1]", ssim_weight=ssim_weight)
    checks.at_least(0, smoothness_weight=smoothness_weight)
    checks.at_least(1, num_scales=num_scales, pose_width=pose_width)
    checks.at_least(1, decoder_widths=decoder_widths)
    checks.within(f"[1, {len(decoder_widths)}]", num_scales=num_scales)
    checks.positive(motion_scale=motion_scale)
    checks.positive(min_depth=min_depth, nominal_baseline=nominal_baseline)
    checks.rising(min_depth=min_depth, max_depth=max_depth)
    dtype = getattr(encoder, "dtype", jnp.float32)
    moves, paired = sources != "stereo", sources != "mono"
    made: dict[str, nn.Module] = {
        "decoder": DisparityDecoder(
            widths=decoder_widths, num_scales=num_scales, dtype=dtype
        )
    }
    if moves:
        made["pose_encoder"] = encoder.clone()
        made["pose"] = PoseDecoder(width=pose_width, scale=motion_scale, dtype=dtype)
    parts = Network.of(encoder, heads, **made).parts
    net = PyramidNetwork(encoder=encoder, decoder=parts["decoder"])

    def read(views: Views) -> tuple[Film, Pair | None]:
        return film(views, 1 + moves), pair(views) if paired else None

    def unit(two: Pair) -> Array:
        """Metres that stand for 1 of the network's depths, [B]."""
        one = jnp.ones_like(two.baseline)
        return two.baseline / nominal_baseline if nominal_baseline else one

    def ego() -> GridNetwork:
        return GridNetwork(pose_encoder=parts["pose_encoder"], pose=parts["pose"])

    def steps(
        params: Params,
        stats: PyTree,
        inputs: Array,
        order: list[tuple[int, int]],
        train: bool = True,
    ) -> tuple[Array, PyTree]:
        """Motions from an earlier frame's coordinates to a later one's, [B, P, 3, 4].

        `inputs` [B, T, h, w, C], of which `order` names P pairs.
        """
        pairs = [jnp.concatenate([inputs[:, i], inputs[:, j]], -1) for i, j in order]
        own = ego().copy(params, stats, until="pose")
        stacked = jnp.stack(pairs, axis=1)
        out, moved = ego().together(own.params, own.stats, stacked, train=train)
        twist = out["pose"]
        motions = motion_of(rotation_exp(twist[..., 3:]), twist[..., :3])
        return motions, {**stats, **moved}

    def surroundings(
        params: Params, stats: PyTree, views: Views, train: bool = True
    ) -> tuple[Array, Array, PyTree]:
        """Sources [B, S, h, w, C], target's coordinates to theirs [B, S, 3, 4]."""
        own, two = read(views)
        t, frames, motions = own.target, [], []
        if moves:
            order = [(min(i, t), max(i, t)) for i in own.sources]
            found, stats = steps(params, stats, own.inputs, order, train)
            for k, i in enumerate(own.sources):
                motions.append(found[:, k] if i > t else inverse(found[:, k]))
                frames.append(own.frames[:, i])
        if two is not None:
            frames.append(two.right.frames[:, t])
            motions.append(two.motion.at[..., 3].divide(unit(two)[:, None]))
        return jnp.stack(frames, axis=1), jnp.stack(motions, axis=1), stats

    def depth_of(sigmoid: Array) -> Array:
        return 1 / (1 / max_depth + (1 / min_depth - 1 / max_depth) * sigmoid)

    def init(key: Array, views: Views) -> tuple[Params, StatsState]:
        own, _ = read(views)
        keys = jax.random.split(key)
        params, stats = net.init(keys[0], own.inputs[:, 0])
        if moves:
            two_frames = jnp.concatenate([own.inputs[:, 0], own.inputs[:, 1]], -1)
            params_of, stats_of = ego().init(keys[1], two_frames)
            params, stats = {**params, **params_of}, {**stats, **stats_of}
        return params, StatsState(stats)

    def errors(images: Array, target: Array) -> Array:
        """Of images [..., S, h, w, C] against a target [..., h, w, C]."""
        wanted = jnp.broadcast_to(target[..., None, :, :, :], images.shape)
        found = photometric_error(images, wanted, ssim_weight)
        average = reprojection == "average"
        return found.mean(-3, keepdims=True) if average else found

    def loss(
        params: Params, state: StatsState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del step
        own, _ = read(views)
        target = own.frames[:, own.target]
        maps, stats = net.maps(params, state.stats, own.inputs[:, own.target])
        images, motions, stats = surroundings(params, stats, views)
        height, width = target.shape[1:3]
        rough = jnp.stack([roughness(d, target) / 2**s for s, d in enumerate(maps)])
        large = [bilinear_resize(d, height, width) for d in maps]
        # Of one size all scales are one program.
        stacks = [jnp.stack(large)] if full_resolution else [d[None] for d in maps]
        losses, moving = [], []
        for i, stack in enumerate(stacks):
            h, w = stack.shape[2:4]
            k = resized_intrinsics(own.intrinsics, w / width, h / height)
            shown, wanted = area_resize(images, h, w), area_resize(target, h, w)
            synthesis = jax.vmap(inverse_warp, (None, 0, None, None))
            warped = synthesis(shown, depth_of(stack[..., 0]), k, motions).values
            found = errors(warped, wanted)
            still = jnp.broadcast_to(errors(shown, wanted), found.shape)
            own_key = jax.random.fold_in(key, i)
            least = minimum_reprojection(found, still if auto_mask else None, own_key)
            losses += [*least.error.mean((1, 2, 3))]
            moving += [*least.moving.mean((1, 2, 3))]
        photometric = jnp.stack(losses).mean()
        smooth = smoothness_weight * rough.mean()
        metrics = {
            "photometric_loss": photometric,
            "smoothness_loss": smooth,
            "static_share": 1 - moving[0],
            "mean_disparity": maps[0].mean(),
        }
        if moves:
            length = jnp.linalg.norm(motions[:, : len(own.sources), :, 3], axis=-1)
            metrics["translation"] = length.mean()
        value = photometric + smooth
        return value, (StatsState(stats), jax.lax.stop_gradient(metrics))

    def finest(params: Params, state: StatsState, seen: Views) -> Array:
        maps, _ = net.maps(params, state.stats, encoder_input(seen), train=False)
        return maps[0][..., 0]

    def depth(params: Params, state: StatsState, seen: Views) -> Array:
        found = depth_of(finest(params, state, seen))
        known = paired and two_cameras(seen)
        return found * unit(pair(seen))[:, None, None] if known else found

    def disparity(params: Params, state: StatsState, seen: Views) -> Array:
        two = pair(seen)
        focal = two.left.intrinsics[:, 0, 0]
        return disparity_of_depth(depth(params, state, seen), focal, two.baseline)

    def poses(params: Params, state: StatsState, seen: Views) -> Array:
        own, two = read(seen)
        count = own.inputs.shape[1]
        order = [(i, i + 1) for i in range(count - 1)]
        found, _ = steps(params, state.stats, own.inputs, order, train=False)
        chain = chained(found)
        return chain if two is None else scaled(chain, unit(two))

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        seen = examples["seen"]
        own, _ = read(seen)
        target = own.frames[:, own.target]
        sigmoid = finest(params, state, seen)
        images, motions, _ = surroundings(params, state.stats, seen, train=False)
        warped = inverse_warp(images, depth_of(sigmoid), own.intrinsics, motions).values
        still = errors(images, target) if auto_mask else None
        least = minimum_reprojection(errors(warped, target), still)
        columns: dict[str, tuple[str, Array]] = {
            "target": ("image", target),
            "disparity": ("disparity", sigmoid),
        }
        for i in range(images.shape[1]):
            columns[f"source {i + 1}: as it is"] = "image", images[:, i]
            columns[f"source {i + 1}: warped"] = "image", warped[:, i]
        columns["error"] = "heat", least.error
        if auto_mask:
            columns["counts"] = "image", least.moving[..., None].astype(jnp.float32)
        caption = "A warped source should look like the target, but for what it hides."
        if auto_mask:
            caption += " White counts; in the black no warped source is the best."
        return {"Depth and warped sources": Shown(columns, caption)}

    predicts: dict[str, PredictFn] = {"depth": depth}
    predicts |= {"disparity": disparity} if paired else {}
    predicts |= {"poses": poses} if moves else {}
    return Method(
        views=views, init=init, loss=loss, shows=shows, predicts=predicts, **net.kept()
    )


def roughness(disparity: Array, image: Array) -> Array:
    """The edge-aware changes of disparities [B, h, w, 1] by their mean, a scalar.

    Args:
        disparity: of one scale.
        image: [B, H, W, C], whose edges may be those of the disparity.
    """
    small = area_resize(image, *disparity.shape[1:3])
    edges = smoothness(mean_normalized(disparity), small)
    return edges.x.mean() + edges.y.mean()
