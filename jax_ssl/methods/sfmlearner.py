"""SfMLearner (Zhou et al., 2017, arXiv:1704.07813): depth and motion from films.

One network says of the middle frame how far everything is, another how the camera has
moved between it and the frames around it; these are warped onto it. A mask may say of
each pixel whether that can explain it at all.

Views: {"frames", "inputs", "intrinsics"} of a film of one camera.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn, encoder_input
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree, Views
from jax_ssl.losses.photometric import explainability, explainability_penalty
from jax_ssl.losses.smoothness import second_differences
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.disparity import DisparityDecoder, Norm, PyramidNetwork
from jax_ssl.nn.films import Film, film
from jax_ssl.nn.network import Heads, Network, StatsState
from jax_ssl.nn.norm import norm_groups
from jax_ssl.nn.pose import MOTION_SCALE, EgoMotionNet
from jax_ssl.ops.cameras import compose, euler_motion, inverse, resized_intrinsics
from jax_ssl.ops.scales import area_resize
from jax_ssl.ops.synthesis import inverse_warp
from jax_ssl.ops.warp import Warped


def sfmlearner(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    num_frames: int = 3,
    smoothness_weight: float = 0.5,
    explainability_weight: float = 0.0,
    num_scales: int = 4,
    decoder_widths: tuple[int, ...] = (512, 512, 256, 128, 64, 32, 16),
    pose_widths: tuple[int, ...] = (16, 32, 64, 128, 256, 256, 256),
    motion_scale: float = MOTION_SCALE,
    explain_widths: tuple[int, ...] = (256, 128, 64, 32, 16),
    norm: Norm = "none",
) -> Method:
    """Builds SfMLearner around `encoder`; defaults as in the released code.

    The loss is a sum over the scales and sources.

    Args:
        encoder: returns `Features` with a pyramid, such as `dispnet`; evaluation keeps
            it.
        views: one example -> its film.
        heads: modules in the place of those made here, by the name of their part:
            "decoder" and "pose".
        num_frames: of the film, of which number (T - 1) // 2 is the target: 3, or 5 as
            for the paper's odometry.
        smoothness_weight: of the disparity's second differences at the finest scale;
            each coarser one has half of it.
        explainability_weight: of the cross-entropy that keeps the masks at 1; 0 for no
            masks, as by default in the released code. In the paper it is 0.2.
        num_scales: of disparities and masks.
        decoder_widths: channels of the decoder's levels, the coarsest first; one for
            each time that the encoder halves the images.
        pose_widths: channels of the convolutions of the network of motions. Masks begin
            where as many are left as `explain_widths` has.
        motion_scale: factor of what that network says. Of small ones the disparities
            must do more of the work at first, and may end where their sigmoid is flat.
        explain_widths: channels of the levels of the masks, the coarsest first.
        norm: of decoder and motions, "none" as in the released code or "batch" as in
            the paper; the encoder has a setting of its own.

    Raises:
        ValueError: if a setting is out of range.

    Note:
        Pixels that a source does not show count as if it were grey there, as in the
        released code. Its sampler is black in the last row and column; this one is not.
        For coarse scales a pixel is the mean of an area, where that code picks single
        pixels, and the camera follows the centres of pixels, where it halves c_x.
        The weight decay that its layers declare is not in its loss, and not here. The
        paper has batch norm in all layers, the code in none; `norm` and that of
        `dispnet` are one's choice.
    """
    checks.at_least(2, num_frames=num_frames)
    checks.at_least(0, smoothness_weight=smoothness_weight)
    checks.at_least(0, explainability_weight=explainability_weight)
    checks.at_least(1, decoder_widths=decoder_widths, pose_widths=pose_widths)
    checks.positive(motion_scale=motion_scale)
    checks.at_least(1, explain_widths=explain_widths)
    checks.within(f"[1, {len(decoder_widths)}]", num_scales=num_scales)
    explains = explainability_weight > 0
    if explains and not num_scales <= len(explain_widths) <= len(pose_widths):
        raise ValueError(
            f"explain_widths = {explain_widths} must have num_scales = {num_scales} "
            f"levels or more, and no more than pose_widths = {pose_widths}."
        )
    dtype = getattr(encoder, "dtype", jnp.float32)
    shared = len(explain_widths) if explains else len(pose_widths)
    decoder = DisparityDecoder(
        widths=decoder_widths,
        doubling="transposed",
        feedback=True,
        num_scales=num_scales,
        scale=10.0,
        offset=0.01,
        activation="relu",
        padding="zero",
        norm=norm,
        groups=norm_groups(encoder),
        dtype=dtype,
    )
    pose = EgoMotionNet(
        num_sources=num_frames - 1,
        widths=pose_widths[:shared],
        pose_widths=pose_widths[shared:],
        explain_widths=explain_widths if explains else (),
        num_scales=num_scales,
        scale=motion_scale,
        norm=norm,
        groups=norm_groups(encoder),
        dtype=dtype,
    )
    parts = Network.of(encoder, heads, decoder=decoder, pose=pose).parts
    net = PyramidNetwork(encoder=encoder, decoder=parts["decoder"])

    def read(views: Views) -> Film:
        found = film(views, num_frames)
        if found.frames.shape[1] != num_frames:
            raise ValueError(
                f"the films of the views have {found.frames.shape[1]} frames, and "
                f"num_frames = {num_frames}; the network of motions reads as many as "
                "config.method.num_frames says."
            )
        return found

    def moved(
        params: Params, stats: PyTree, own: Film, train: bool = True
    ) -> tuple[Array, tuple[Array, ...], PyTree]:
        """Target's coordinates to the sources' [B, S, 3, 4], masks, and next stats."""
        order = [own.target, *own.sources]
        stacked = jnp.concatenate([own.inputs[:, i] for i in order], axis=-1)
        (vectors, masks), after = forward(
            parts["pose"], params["pose"], stats["pose"], stacked, train=train
        )
        return euler_motion(vectors), masks, {**stats, "pose": after}

    def init(key: Array, views: Views) -> tuple[Params, StatsState]:
        own = read(views)
        keys = jax.random.split(key)
        params, stats = net.init(keys[0], own.inputs[:, 0])
        stacked = jnp.concatenate([own.inputs[:, i] for i in range(num_frames)], -1)
        params["pose"], stats["pose"] = initialize(parts["pose"], keys[1], stacked)
        return params, StatsState(stats)

    def loss(
        params: Params, state: StatsState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        own = read(views)
        target, images = own.frames[:, own.target], sources_of(own)
        maps, stats = net.maps(params, state.stats, own.inputs[:, own.target])
        motions, masks, stats = moved(params, stats, own)
        photometric = smooth = unexplained = jnp.zeros(())
        inside, explained = [], []
        for s, disparity in enumerate(maps):
            seen = synthesized(disparity, images, own.intrinsics, motions)
            small = area_resize(target, *disparity.shape[1:3])
            error = difference(seen, small)
            if explains:
                logits = jnp.moveaxis(fitting(masks[s], disparity), -2, 1)
                error = error * explainability(logits)
                explained.append(explainability(logits).mean())
                penalty = explainability_penalty(logits).mean((0, 2, 3)).sum()
                unexplained = unexplained + explainability_weight * penalty
            photometric = photometric + error.mean((0, 2, 3)).sum()
            bends = [jnp.abs(b).mean() for b in second_differences(disparity)]
            smooth = smooth + smoothness_weight / 2**s * sum(bends)
            inside.append(seen.inside.mean())
        metrics = {
            "photometric_loss": photometric,
            "smoothness_loss": smooth,
            "inside_share": inside[0],
            "mean_disparity": maps[0].mean(),
            "translation": jnp.linalg.norm(motions[..., 3], axis=-1).mean(),
        }
        if explains:
            metrics["explainability_loss"] = unexplained
            metrics["explained_share"] = explained[0]
        value = photometric + smooth + unexplained
        return value, (StatsState(stats), jax.lax.stop_gradient(metrics))

    def finest(params: Params, state: StatsState, seen: Views) -> Array:
        maps, _ = net.maps(params, state.stats, encoder_input(seen), train=False)
        return maps[0]

    def depth(params: Params, state: StatsState, seen: Views) -> Array:
        return 1 / finest(params, state, seen)[..., 0]

    def poses(params: Params, state: StatsState, seen: Views) -> Array:
        own = read(seen)
        motions, _, _ = moved(params, state.stats, own, train=False)
        back = {i: inverse(motions[:, k]) for k, i in enumerate(own.sources)}
        still = jnp.broadcast_to(jnp.eye(3, 4), motions[:, 0].shape)
        back[own.target] = still  # From each camera to that of the target.
        first = inverse(back[0])
        return jnp.stack([compose(first, back[i]) for i in range(num_frames)], axis=1)

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        own = read(examples["seen"])
        disparity = finest(params, state, examples["seen"])
        motions, masks, _ = moved(params, state.stats, own, train=False)
        images = sources_of(own)
        seen = synthesized(disparity, images, own.intrinsics, motions)
        columns: dict[str, tuple[str, Array]] = {
            "target": ("image", own.frames[:, own.target]),
            "disparity": ("disparity", disparity[..., 0]),
        }
        for k in range(images.shape[1]):
            columns[f"source {k + 1}: as it is"] = "image", images[:, k]
            columns[f"source {k + 1}: warped"] = "image", seen.values[:, k]
            if explains:
                name = f"source {k + 1}: explained"
                columns[name] = "heat", explainability(masks[0][..., k, :])
        caption = "A warped source should look like the target, but for what it hides."
        if explains:
            caption += " Dark in the masks is what the network takes out of the loss."
        return {"Depth and warped sources": Shown(columns, caption)}

    return Method(
        views=views,
        init=init,
        loss=loss,
        shows=shows,
        predicts={"depth": depth, "poses": poses},
        **net.kept(),
    )


def sources_of(own: Film) -> Array:
    """All frames of a film but the target, [B, S, h, w, C]."""
    return jnp.stack([own.frames[:, i] for i in own.sources], axis=1)


def synthesized(
    disparity: Array, images: Array, intrinsics: Array, motions: Array
) -> Warped:
    """The target as each source shows it, at the size of the disparity.

    Args:
        disparity: [B, h, w, 1], 1 / depth.
        images: [B, S, H, W, C], the sources.
        intrinsics: [B, 3, 3] of these.
        motions: [B, S, 3, 4].
    """
    h, w = disparity.shape[1:3]
    k = resized_intrinsics(intrinsics, w / images.shape[3], h / images.shape[2])
    return inverse_warp(area_resize(images, h, w), 1 / disparity[..., 0], k, motions)


def difference(seen: Warped, target: Array) -> Array:
    """Mean absolute differences [B, S, h, w] of colours in [-1, 1].

    Args:
        seen: of the sources, in [0, 1]; grey where they do not show a point.
        target: [B, h, w, C] in [0, 1].
    """
    shown = jnp.where(seen.inside[..., None], seen.values, 0.5)
    return 2 * jnp.abs(shown - target[:, None]).mean(axis=-1)


def fitting(logits: Array, disparity: Array) -> Array:
    """The masks' logits [B, h, w, S, 2], if they have the sides of the disparity.

    Raises:
        ValueError: if they have not.
    """
    if logits.shape[1:3] != disparity.shape[1:3]:
        raise ValueError(
            f"the masks have {logits.shape[1]} x {logits.shape[2]} pixels where the "
            f"disparity has {disparity.shape[1]} x {disparity.shape[2]}; choose an "
            "encoder such as config.encoder.name = 'dispnet', or images whose sides "
            "can be halved as often as the network does."
        )
    return logits
