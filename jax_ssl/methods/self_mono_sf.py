"""Monocular scene flow, Self-Mono-SF (Hur & Roth, 2020, arXiv:2004.04143).

From two frames of one camera a network says how far each point is and how it moves in
space. It learns from films of two cameras: the right pictures teach distance, the next
frames motion.

Views: {"left_frames", "left_inputs", "left_camera", "right_frames", ...} of two
rectified cameras, films [B, T, H, W, C] of two frames or more.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.method import Load, Method, PredictFn, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree, Variables, Views
from jax_ssl.losses.scene_flow import (
    DisparityTerms,
    Moving,
    SceneFlowTerms,
    balanced,
    disparity_terms,
    scene_flow_terms,
    visible_in_left,
)
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.films import pair
from jax_ssl.nn.leaky import check_halvings, enlarged
from jax_ssl.nn.network import Copy, Heads, Network, StatsState
from jax_ssl.nn.pairs import coarser, exchanged, flat, known
from jax_ssl.nn.pwc import SceneFlowDecoder, points_of
from jax_ssl.ops.cameras import disparity_of_depth, project, resized_intrinsics
from jax_ssl.ops.warp import flow_pixels, stereo_pixels, warp

QUARTER = 4  # Pixels of a cell of the finest level.


class Seen(NamedTuple):
    """Two frames of both cameras, [2 B, ...], each behind its partner.

    Attributes:
        left: pictures of the left camera [2 B, H, W, C] in [0, 1].
        right: of the right one.
        left_inputs: as the network reads them.
        right_inputs: likewise.
        left_camera: [2 B, 3, 3] in pixels.
        right_camera: likewise.
        baseline: [2 B] metres.
    """

    left: Array
    right: Array
    left_inputs: Array
    right_inputs: Array
    left_camera: Array
    right_camera: Array
    baseline: Array


class Said(NamedTuple):
    """What the network says of frames and their partners, from fine to coarse.

    Attributes:
        flows: scene flows [2 B, H, W, 3] in metres, H being all, a half ... of the
            rows of the pictures.
        disparities: [2 B, H, W, 1] as shares of the width.
    """

    flows: tuple[Array, ...]
    disparities: tuple[Array, ...]


def self_mono_sf(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    widths: tuple[int, ...] = (128, 128, 96, 64, 32),
    context_widths: tuple[int, ...] = (128, 128, 128, 96, 64, 32),
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 1),
    max_displacement: int = 4,
    normalize_features: bool = False,
    level_weights: tuple[float, ...] = (4.0, 2.0, 1.0, 1.0, 1.0),
    disparity_smoothness: float = 0.1,
    point_weight: float = 0.2,
    flow_smoothness: float = 200.0,
    occlusion: bool = True,
) -> Method:
    """Builds Self-Mono-SF around `encoder`; settings as in the released code.

    The loss is that of the disparities and that of the scene flow, the smaller scaled
    to the larger, so that its value is twice the larger one. In each the levels are
    summed with their weights, and both frames or directions. The decoder is the part
    "decoder" of the params.

    Args:
        encoder: returns `Features` with a pyramid whose sides halve, the first level
            half as large as the image, such as "pwcnet"; evaluation keeps it.
        views: one example -> films of two cameras.
        heads: a module in the place of the decoder.
        widths: channels of the layers of a level.
        context_widths: of the layers behind the finest level.
        dilations: of these, as many.
        max_displacement: reach of the cost volumes, in cells of each level.
        normalize_features: whether they are standardized before they are compared, as
            in UFlow; neither paper nor code of this method does.
        level_weights: of the levels, from fine to coarse; what a network has not is
            left out.
        disparity_smoothness: weight, halved from level to level.
        point_weight: of the distance of moved points from those seen in the other
            frame.
        flow_smoothness: weight, halved from level to level.
        occlusion: whether pixels that the other picture does not show are left out.

    Raises:
        ValueError: if a setting is out of range.

    Note:
        Where the released code interpolates pictures for coarse levels, a coarse pixel
        is the mean of an area here, and the layers that say flow and disparity begin
        with a tenth of He's weights.
    """
    checks.at_least(1, widths=widths, context_widths=context_widths)
    checks.at_least(1, dilations=dilations)
    checks.at_least(0, max_displacement=max_displacement, level_weights=level_weights)
    checks.at_least(0, disparity_smoothness=disparity_smoothness)
    checks.at_least(0, point_weight=point_weight, flow_smoothness=flow_smoothness)
    if len(context_widths) != len(dilations):
        raise ValueError(
            f"context_widths = {context_widths} and dilations = {dilations} must have "
            "the same length."
        )
    made = SceneFlowDecoder(
        widths=tuple(widths),
        context_widths=tuple(context_widths),
        dilations=tuple(dilations),
        max_displacement=max_displacement,
        normalize=normalize_features,
        dtype=getattr(encoder, "dtype", jnp.float32),
    )
    network = Network.of(encoder, heads, decoder=made)
    decoder = network.parts["decoder"]

    def init(key: Array, views: Views) -> tuple[Params, StatsState]:
        seen, keys = frames_of(views), jax.random.split(key)
        x = seen.left_inputs
        params, stats = {}, {}
        params["encoder"], stats["encoder"] = initialize(encoder, keys[0], x)
        pyramid = jax.eval_shape(
            lambda p, s: forward(encoder, p, s, x, train=False)[0].pyramid,
            *(params["encoder"], stats["encoder"]),
        )
        _check(x.shape, pyramid)
        levels = [jnp.zeros((1, *level.shape[1:])) for level in (x, *pyramid)]
        camera = seen.left_camera[:1], seen.baseline[:1]
        params["decoder"], stats["decoder"] = initialize(
            decoder, keys[1], levels, levels, *camera
        )
        return params, StatsState(stats)

    def said_of(
        own: Copy, x: Array, camera: Array, baseline: Array, train: bool
    ) -> tuple[Said, PyTree]:
        """What the network says of inputs x [2 B, H, W, C], and next stats."""
        stats = dict(own.stats)
        features, stats["encoder"] = forward(
            encoder, own.params["encoder"], stats["encoder"], x, train=train
        )
        pyramid = features.pyramid
        _check(x.shape, pyramid)
        levels = (x, *pyramid)
        others = jax.tree.map(exchanged, levels)
        found, stats["decoder"] = forward(
            decoder,
            *(own.params["decoder"], stats["decoder"]),
            *(levels, others, camera, baseline),
            train=train,
        )
        return Said(*jax.tree.map(lambda y: enlarged(y, QUARTER), found)), stats

    def right_disparities(own: Copy, seen: Seen, train: bool) -> list[Array]:
        """Disparities of the right pictures, which the network reads mirrored."""
        x = jnp.flip(seen.right_inputs, axis=2)
        camera = seen.right_camera
        camera = camera.at[..., 0, 2].set(x.shape[2] - 1 - camera[..., 0, 2])
        said, _ = said_of(jax.lax.stop_gradient(own), x, camera, seen.baseline, train)
        return [jnp.flip(share, axis=2) for share in said.disparities]

    def loss(
        params: Params, state: StatsState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        seen, own = frames_of(views), Copy(params, state.stats)
        said, stats = said_of(
            own, seen.left_inputs, seen.left_camera, seen.baseline, True
        )
        if len(said.flows) > len(level_weights):
            raise ValueError(
                f"level_weights = {level_weights}: the network says {len(said.flows)} "
                "scene flows; give config.method.level_weights one for each."
            )
        rights = right_disparities(own, seen, True)
        of_flow, of_disparity = jnp.zeros(()), jnp.zeros(())
        metrics: dict[str, Array] = {}
        levels = zip(*said, rights, level_weights, strict=False)
        for i, (flow, share, right, weight) in enumerate(levels):
            visible = visible_in_left(right[..., 0] * right.shape[2])
            if not occlusion:
                visible = jnp.ones_like(visible)
            own_terms, terms = level_terms(seen, flow, share[..., 0], visible, 2**i)
            smooth = disparity_smoothness * own_terms.smoothness / 2**i
            of_disparity += 2 * weight * (own_terms.data + smooth).mean()
            bent = flow_smoothness * terms.smoothness / 2**i
            moved = terms.data + point_weight * terms.points + bent
            of_flow += 2 * weight * moved.mean()  # The sum of both directions.
            if i == 0:
                metrics = {
                    "disparity_error": own_terms.data.mean(),
                    "flow_error": terms.data.mean(),
                    "point_error": terms.points.mean(),
                    "visible": terms.visible.mean(),
                    "disparity_share": share.mean(),
                    "scene_flow_length": jnp.linalg.norm(flow, axis=-1).mean(),
                }
        metrics |= {"disparity_loss": of_disparity, "scene_flow_loss": of_flow}
        value = balanced(of_flow, of_disparity)
        return value, (StatsState(stats), jax.lax.stop_gradient(metrics))

    def level_terms(
        seen: Seen, flow: Array, share: Array, visible: Array, pixels: int
    ) -> tuple[DisparityTerms, SceneFlowTerms]:
        """Losses of a level whose pixel is so many of the pictures' wide."""
        left, right = (coarser(x, pixels) for x in (seen.left, seen.right))
        camera = resized_intrinsics(seen.left_camera, 1 / pixels, 1 / pixels)
        own_terms = disparity_terms(left, right, share * share.shape[2], visible)
        points = points_of(share, camera, seen.baseline)
        moving = Moving(left, points, flow, camera, visible)
        partner = Moving(*(exchanged(x) for x in moving))
        return own_terms, scene_flow_terms(moving, partner, occlusion=occlusion)

    def predicted(
        params: Params, state: StatsState, views: Views
    ) -> tuple[Seen, Array, Array, Array]:
        """What is seen, points [2 B, H, W, 3], scene flows and disparities, pixels."""
        seen, own = frames_of(views), Copy(params, state.stats)
        said, _ = said_of(own, seen.left_inputs, seen.left_camera, seen.baseline, False)
        share = said.disparities[0][..., 0]
        points = points_of(share, seen.left_camera, seen.baseline)
        return seen, points, said.flows[0], share * share.shape[2]

    def predict(name: str) -> PredictFn:
        def call(params: Params, state: StatsState, views: Views) -> Array:
            seen, points, flow, disparity = predicted(params, state, views)
            focal = seen.left_camera[:, 0, 0]
            there = project(points + flow, seen.left_camera)
            found = {
                "disparity": disparity,
                "disparity_next": disparity_of_depth(there.depth, focal, seen.baseline),
                "depth": points[..., 2],
                "flow": there.pixels - flow_pixels(jnp.zeros_like(there.pixels)),
            }
            return found[name][::2]

        return call

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        seen, points, flow, disparity = predicted(params, state, examples["seen"])
        pixels = project(points + flow, seen.left_camera).pixels
        flow = pixels - flow_pixels(jnp.zeros_like(pixels))
        right = right_disparities(Copy(params, state.stats), seen, False)[0]
        visible = visible_in_left(right[..., 0] * right.shape[2])
        columns = {
            "frame": ("image", seen.left),
            "right, warped": (
                "image",
                warp(seen.right, stereo_pixels(disparity, "left")).values,
            ),
            "next, warped": ("image", warp(exchanged(seen.left), pixels).values),
            "disparity": ("disparity", disparity),
            "flow": ("flow", known(flow)),
            "flow back": ("flow", exchanged(known(flow))),
            "hidden on the right": ("mask", (~visible).astype(jnp.uint8)),
        }
        caption = "Warped pictures look like the frame where the prediction is right."
        shown = {name: (kind, x[::2]) for name, (kind, x) in columns.items()}
        return {"Scene flow": Shown(shown, caption)}

    def take(params: Params, state: StatsState) -> Variables:
        return Copy(params, state.stats).variables()

    def fill(
        params: Params, state: StatsState, variables: Variables
    ) -> tuple[Params, StatsState]:
        given = Copy(params, state.stats).holding(variables)
        return given.params, StatsState(given.stats)

    kept = network.evaluated()
    kept["exports"]["scene_flow"] = take
    kept["loads"]["scene_flow"] = Load(take, fill)
    names = ("disparity", "disparity_next", "depth", "flow")
    return Method(
        views=views,
        init=init,
        loss=loss,
        shows=shows,
        predicts={name: predict(name) for name in names},
        **kept,
    )


def frames_of(views: Views) -> Seen:
    """The target frame and the next one of both cameras.

    Raises:
        ValueError: if the views are not films of two cameras, or have one frame.
    """
    films = pair(views, 2)
    both = slice(films.left.target, films.left.target + 2)
    return Seen(
        left=flat(films.left.frames[:, both]),
        right=flat(films.right.frames[:, both]),
        left_inputs=flat(films.left.inputs[:, both]),
        right_inputs=flat(films.right.inputs[:, both]),
        left_camera=jnp.repeat(films.left.intrinsics, 2, axis=0),
        right_camera=jnp.repeat(films.right.intrinsics, 2, axis=0),
        baseline=jnp.repeat(films.baseline, 2),
    )


def _check(shape: Sequence[int], pyramid: Sequence[Array]) -> None:
    check_halvings(tuple(shape), 2 ** len(pyramid))
