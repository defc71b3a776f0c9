"""UnFlow: optical flow without labels (Meister et al., 2018, arXiv:1711.07837).

A network says the flow from each of two frames to the other. What moves along it should
look the same, and come back by the other flow; pixels that do not come back are hidden
in the other frame, and count for nothing but a penalty.

Views: {"frames", "inputs"} of a film of two frames or more, [B, T, H, W, C]; of two
cameras the left one is read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.method import Load, Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree, Variables, Views
from jax_ssl.losses.flow import DataTerm, FlowTerms, data_error, flow_terms
from jax_ssl.losses.photometric import forward_backward_occlusion
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.films import film
from jax_ssl.nn.flownet import (
    FLOW_UNIT,
    FlowNetC,
    FlowNetS,
    resized_flow,
)
from jax_ssl.nn.leaky import check_halvings
from jax_ssl.nn.network import Copy, Heads, Network
from jax_ssl.nn.pairs import coarser, exchanged, flat, known
from jax_ssl.nn.pwc import FlowDecoder
from jax_ssl.ops.warp import flow_pixels, warp

Stack: TypeAlias = Literal["C", "CS", "CSS", "PWC"]
STACKS: Mapping[Stack, tuple[str, ...]] = {
    "C": ("flownet_c",),
    "CS": ("flownet_c", "flownet_s"),
    "CSS": ("flownet_c", "flownet_s", "flownet_s2"),
    "PWC": ("pwc",),
}


class UnFlowState(NamedTuple):
    """State that UnFlow carries beside its params."""

    stats: PyTree  # Running statistics of all parts.
    frozen: Params  # Parts that do not learn; {} where all do.


def unflow(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    network: Stack = "C",
    trained: Literal["last", "all"] = "last",
    widths: tuple[int, ...] | None = None,
    decoder_widths: tuple[int, ...] = (512, 256, 128, 64),
    max_displacement: int | None = None,
    displacement_stride: int = 2,
    data_term: DataTerm = "census",
    radii: tuple[int, ...] = (3, 2, 2, 1, 1),
    level_weights: tuple[float, ...] = (12.7, 4.35, 3.9, 3.4, 1.1),
    data_weight: float = 1.0,
    smoothness_weight: float = 3.0,
    consistency_weight: float = 0.2,
    occlusion: bool = True,
    occlusion_weight: float = 12.4,
    border: float | None = 0.1,
) -> Method:
    """Builds UnFlow around `encoder`, which sees the frames one by one.

    The loss is the sum over both directions and over levels. Weights and radii are
    those of the released code. Its penalty on the size of weights, 4e-4 / 2 ‖w‖², is
    `config.optimizer.weight_decay` of "adam".

    Args:
        encoder: returns `Features` with a pyramid whose sides halve: "flownet" for C
            and its stacks, "pwcnet" for PWC. Evaluation keeps it.
        views: one example -> a film.
        heads: modules in the place of those made here, by the name of their part.
        network: "C", FlowNetC; "CS" and "CSS", one or two FlowNetS behind it that see
            what the earlier ones have found; or "PWC", a coarse-to-fine decoder, which
            the paper has not.
        trained: of a stack the "last" network alone, as in the paper, or "all". The
            others then come from the file of a run of the shorter stack, named by
            run.init_from = dict(earlier=RUN/export/flow.npz).
        widths: channels of the contracting levels of C and S, (256, 512, 512, 1024), or
            of the layers of a level of PWC, (128, 128, 96, 64, 32); None for these.
        decoder_widths: channels of the expanding levels of C and S, coarsest first. As
            many as `widths` end at a quarter of the sides; (512, 256, 128, 64, 32, 16)
            at full resolution, as the released code can.
        max_displacement: reach of the cost volume, in cells; None for 20 in C and 4 in
            PWC.
        displacement_stride: cells from one compared displacement to the next, in C.
        data_term: "census", or "brightness", the difference of pixels.
        radii: of the census at each level, from fine to coarse.
        level_weights: of the levels, likewise; what a network has not is left out.
        data_weight: of the data term.
        smoothness_weight: of the second-order smoothness.
        consistency_weight: of the forward-backward consistency; 0 in the paper where it
            begins, on SYNTHIA.
        occlusion: whether hidden pixels are found and left out; False in the paper
            where it begins.
        occlusion_weight: of the penalty on pixels that are left out. It has no gradient
            and shows in the loss alone, here as in the released code.
        border: pixels within this share of the shorter side from the border count for
            nothing; None leaves out those that the flow leads out of the picture.

    Raises:
        ValueError: if a setting is out of range.

    Note:
        The released code's mask of the border follows the random cut of the images;
        here it is that of the view. Its first-order, gradient and symmetry terms are
        left out.
    """
    checks.one_of(STACKS, network=network)
    checks.one_of(("last", "all"), trained=trained)
    checks.one_of(("census", "brightness"), data_term=data_term)
    checks.at_least(0, data_weight=data_weight, smoothness_weight=smoothness_weight)
    checks.at_least(0, consistency_weight=consistency_weight, radii=radii)
    checks.at_least(0, occlusion_weight=occlusion_weight, level_weights=level_weights)
    checks.at_least(1, displacement_stride=displacement_stride)
    checks.within("[0, 0.5)", border=border)
    if len(radii) < len(level_weights):
        raise ValueError(f"radii = {radii} must have one for each of level_weights.")
    dtype = getattr(encoder, "dtype", jnp.float32)
    sizes: dict[str, Any] = {"dtype": dtype}
    if widths is not None:
        sizes["widths"] = tuple(widths)
    reach: dict[str, Any] = {}
    if max_displacement is not None:
        reach["max_displacement"] = max_displacement
    made: dict[str, nn.Module] = {}
    if network == "PWC":
        if widths is not None:  # The layers behind the finest level are alike.
            dilations = tuple(2**i for i in range(len(widths) - 1))
            sizes |= {"context_widths": tuple(widths), "dilations": (*dilations, 1)}
        made["pwc"] = FlowDecoder(**sizes, **reach)
    else:
        sizes["decoder_widths"] = tuple(decoder_widths)
        made["flownet_c"] = FlowNetC(**sizes, **reach, stride=displacement_stride)
        trunk = {
            f"trunk_{name}": getattr(encoder, name)
            for name in ("widths", "kernels")
            if hasattr(encoder, name)
        }
        for name in STACKS[network][1:]:
            made[name] = FlowNetS(**sizes, **trunk)
    parts = Network.of(encoder, heads, **made).parts
    names = list(parts)
    learn = names if trained == "all" or len(made) == 1 else names[-1:]

    def pairs(views: Views) -> tuple[Array, Array]:
        """The target frame and the next one, [2 B, H, W, C], to compare and to read."""
        if isinstance(views, Mapping):  # Its camera is not read, and may be unknown.
            views = {"intrinsics": jnp.eye(3), **views}
        seen = film(views, 2)
        both = slice(seen.target, seen.target + 2)
        return flat(seen.frames[:, both]), flat(seen.inputs[:, both])

    def check(shape: tuple[int, ...], pyramid: Sequence[Array]) -> None:
        cell = round(shape[1] / pyramid[-1].shape[1])
        check_halvings(shape, cell * 2 ** getattr(parts[names[1]], "halvings", 0))

    def init(key: Array, views: Views) -> tuple[Params, UnFlowState]:
        _, x = pairs(views)
        keys = iter(jax.random.split(key, len(parts)))
        params, stats = {}, {}
        params["encoder"], stats["encoder"] = initialize(encoder, next(keys), x)
        pyramid = jax.eval_shape(
            lambda p, s: forward(encoder, p, s, x, train=False)[0].pyramid,
            *(params["encoder"], stats["encoder"]),
        )
        check(x.shape, pyramid)
        levels = [jnp.zeros((1, *level.shape[1:])) for level in (x, *pyramid)]
        args: tuple = (levels, levels)
        for name in names[1:]:
            params[name], stats[name] = initialize(parts[name], next(keys), *args)
            args = x[:1], x[:1], jnp.zeros((*x[:1].shape[:3], 2))
        frozen = {name: own for name, own in params.items() if name not in learn}
        return {name: params[name] for name in learn}, UnFlowState(stats, frozen)

    def everything(params: Params, state: UnFlowState) -> Copy:
        found = {**jax.lax.stop_gradient(state.frozen), **params}
        return Copy({name: found[name] for name in names}, state.stats)

    def flows_of(
        params: Params, state: UnFlowState, x: Array, train: bool
    ) -> tuple[tuple[Array, ...], PyTree]:
        """Flows of the last network [2 B, h, w, 2], fine to coarse, and next stats."""
        own, stats = everything(params, state).params, dict(state.stats)

        def apply(name: str, *args: Any) -> Any:
            learns = train and name in learn
            out, stats[name] = forward(
                parts[name], own[name], stats[name], *args, train=learns
            )
            return out

        pyramid = apply("encoder", x).pyramid
        check(x.shape, pyramid)
        seen = (x, *pyramid)
        flows = apply(names[1], seen, jax.tree.map(exchanged, seen))
        for name in names[2:]:
            flows = apply(name, x, exchanged(x), flows[0])
        return flows, stats

    def weighted(terms: FlowTerms) -> Array:
        total = data_weight * terms.data + smoothness_weight * terms.smoothness
        if consistency_weight:
            total = total + consistency_weight * terms.consistency
        if occlusion:
            total = total + occlusion_weight * terms.occlusion
        return 2 * total.mean()  # The sum of the directions.

    def loss(
        params: Params, state: UnFlowState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[UnFlowState, Metrics]]:
        del key, step
        frames, x = pairs(views)
        flows, stats = flows_of(params, state, x, train=True)
        if len(flows) > len(level_weights):
            raise ValueError(
                f"level_weights = {level_weights}: the network says {len(flows)} flows;"
                " give config.method.level_weights and radii one for each."
            )
        value, metrics = jnp.zeros(()), {}
        levels = zip(flows, level_weights, radii, strict=False)
        for i, (flow, weight, radius) in enumerate(levels):
            pixels = frames.shape[1] // flow.shape[1]
            own = coarser(frames, pixels)
            flow, other = flow * (FLOW_UNIT / pixels), exchanged(own)
            margin = None if border is None else round(border * min(own.shape[1:3]))
            terms = flow_terms(
                *(own, other, flow, exchanged(flow)),
                term=data_term,
                radius=radius,
                margin=margin,
                occlusion=occlusion,
            )
            value = value + weight * weighted(terms)
            if i == 0:
                metrics = {f"{n}_loss": x.mean() for n, x in terms._asdict().items()}
                metrics["occluded"] = metrics.pop("occluded_loss")
                still = jnp.zeros_like(flow)
                everywhere = jnp.ones(flow.shape[:3], bool)
                # Of no flow, for comparison; all pixels count but the outermost.
                metrics["zero_flow_data_loss"] = data_error(
                    own, other, still, everywhere, data_term, radius
                ).mean()
                metrics["flow_length"] = (
                    pixels * jnp.hypot(*jnp.moveaxis(flow, -1, 0)).mean()
                )
        return value, (
            state._replace(stats=stats),
            jax.lax.stop_gradient(metrics),
        )

    def both_ways(params: Params, state: UnFlowState, seen: Views) -> Array:
        """Flows of pairs [B, 2, H, W, 2] in pixels, there and back."""
        _, x = pairs(seen)
        flows, _ = flows_of(params, state, x, train=False)
        flow = resized_flow(flows[0], *x.shape[1:3])
        return flow.reshape(-1, 2, *flow.shape[1:])

    def predict(params: Params, state: UnFlowState, seen: Views) -> Array:
        return both_ways(params, state, seen)[:, 0]

    def shows(
        params: Params, state: UnFlowState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        frames, _ = pairs(examples["seen"])
        first, second = frames[::2], frames[1::2]
        there, back = jnp.moveaxis(both_ways(params, state, examples["seen"]), 1, 0)
        warped = warp(second, flow_pixels(there), border="edge").values
        hidden = forward_backward_occlusion(there, back).occluded
        columns = {
            "frame": ("image", first),
            "next frame": ("image", second),
            "next frame, warped": ("image", warped),
            "flow": ("flow", known(there)),
            "flow back": ("flow", known(back)),
            "does not come back": ("mask", hidden.astype(jnp.uint8)),
        }
        caption = (
            "Where the warped frame is not the first, the flow is wrong or hidden."
        )
        return {"Flow": Shown(columns, caption)}

    def encoder_of(params: Params, state: UnFlowState) -> Variables:
        own = everything(params, state)
        return {"params": own.params["encoder"], **own.stats["encoder"]}

    def holding(
        params: Params, state: UnFlowState, given: Copy
    ) -> tuple[Params, UnFlowState]:
        """Params and state with given parts in the place of theirs."""
        moving, still = (
            {name: given.params.get(name, own) for name, own in tree.items()}
            for tree in (params, state.frozen)
        )
        return moving, UnFlowState({**state.stats, **given.stats}, still)

    def fill_encoder(
        params: Params, state: UnFlowState, variables: Variables
    ) -> tuple[Params, UnFlowState]:
        stats = dict(variables)
        own = {"encoder": stats.pop("params")}
        return holding(params, state, Copy(own, {"encoder": stats}))

    def load(kept: Sequence[str], required: bool = False) -> Load:
        def take(params: Params, state: UnFlowState) -> Variables:
            own = everything(params, state)
            return Network(**parts).copy(*own, until=kept[-1]).variables()

        def fill(
            params: Params, state: UnFlowState, variables: Variables
        ) -> tuple[Params, UnFlowState]:
            empty: dict[str, Any] = {name: {} for name in kept}
            return holding(params, state, Copy(empty, empty).holding(variables))

        return Load(take, fill, required, export="flow")

    loads = {"encoder": Load(encoder_of, fill_encoder), "flow": load(names)}
    if len(made) > 1:
        loads["earlier"] = load(names[:-1], required=trained == "last")
    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        exports={"encoder": encoder_of, "flow": loads["flow"].take},
        loads=loads,
        shows=shows,
        predicts={"flow": predict},
    )
