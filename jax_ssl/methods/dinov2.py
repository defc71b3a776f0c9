"""DINOv2 (Oquab et al., 2023, arXiv:2304.07193).

DINO on whole images, iBOT (Zhou et al., 2022, arXiv:2111.07832) on patches that the
student does not see and the teacher does, and KoLeo, which spreads the images' tokens.

Views: {"global": [B, 2, H, W, C], "local": [B, L, h, w, C]} float, or [B, 2, H, W, C].
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core import checks
from jax_ssl.core.method import ExportFn, LossFn, Method, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.trees import ema
from jax_ssl.core.types import Array, Metrics, Params, PyTree, State, Variables, Views
from jax_ssl.losses.distillation import (
    entropy,
    masked_cross_entropy,
    multi_crop_cross_entropy,
    teacher_targets,
)
from jax_ssl.losses.koleo import koleo
from jax_ssl.nn.apply import forward
from jax_ssl.nn.heads import PairedHeads, scores
from jax_ssl.nn.network import Copy, Follow, Network
from jax_ssl.nn.transformer import without_drop_path
from jax_ssl.nn.views import two_global_crops
from jax_ssl.ops.masks import block_masks, most_masked
from jax_ssl.ops.patches import gather_tokens, grid_shape

Centering: TypeAlias = Literal["center", "sinkhorn"]
Masks: TypeAlias = Callable[[Array, Array], Array]


class DINOv2State(NamedTuple):
    """State that DINOv2 carries beside its params."""

    stats: Any  # Of the student; a ViT has none.
    teacher: Copy
    center: Array  # [K], moving mean of the teacher's scores of images.
    patch_center: Array  # [K'], of its scores of the patches that are compared.


def dinov2(
    encoder: nn.Module,
    views: ViewFn,
    masks: Masks | None = None,
    *,
    centering: Centering = "sinkhorn",
    student_temperature: float = 0.1,
    teacher_temperature: optax.Schedule | float = 0.07,
    momentum: optax.Schedule | float = 0.994,
    patch_temperature: optax.Schedule | float | None = None,
    center_momentum: float = 0.9,
    patch_center: Literal["compared", "all"] = "compared",
    num_prototypes: int = 65536,
    num_patch_prototypes: int | None = None,
    hidden_dim: int = 2048,
    bottleneck_dim: int = 256,
    head_layers: int = 3,
    mask_probability: float = 0.5,
    mask_ratios: tuple[float, float] = (0.1, 0.5),
    patch_weight: float = 1.0,
    koleo_weight: float = 0.1,
    koleo_groups: int = 1,
) -> Method:
    """Builds DINOv2 around a ViT; settings as in section 4.

    The encoder needs `mask_token=True`; it may have `registers` (Darcet et al., 2024,
    arXiv:2309.16588), `drop_path` and `layer_scale`. With `koleo_weight=0`,
    `centering="center"`, `patch_center="all"` and a `patch_temperature` of its own it
    has the loss of iBOT's released code.

    Args:
        encoder: a `ViT`; evaluation keeps the teacher's.
        views: one example -> two global crops and any number of local ones.
        masks: (key, global crops [N, H, W, C]) -> [N, h * w] bool, the patches that the
            student does not see, in the place of random blocks; N = 2 B, the crops of
            an image side by side.
        centering: "center" as in DINO, or "sinkhorn": three iterations over what the
            teacher says of the global batch, images and patches by themselves.
        student_temperature: τ_s, positive.
        teacher_temperature: τ_t; in the released settings it rises along
            dict(name="linear", init_value=0.04, end_value=0.07, epochs=30).
        momentum: the weight of the old teacher; it rises to 1 along a cosine.
        patch_temperature: τ_t of patches; that of images unless given.
        center_momentum: the weight of the old centres.
        patch_center: which patches move their centre, those "compared", or "all".
        num_prototypes: K.
        num_patch_prototypes: K' of a head of the patches' own; None for one head for
            images and patches.
        hidden_dim: width of the inner layers of the heads.
        bottleneck_dim: width of what is compared with the prototypes.
        head_layers: of the heads, before the prototypes, whose lengths are learned.
        mask_probability: share of the global crops of which the student misses patches.
        mask_ratios: smallest and largest share of patches in those.
        patch_weight: of the patches' loss.
        koleo_weight: of KoLeo, which is summed over the two global crops.
        koleo_groups: of rows that KoLeo searches for neighbours, see `koleo`.

    Raises:
        ValueError: if the encoder has no mask token, or a setting is out of range.

    Note:
        Both centres move after their use. A crop without masked patches counts as zero
        in the mean over crops, as in the released code, whose drop path is that of an
        encoder with `drop_path_uniform`. Heads read as many patches of every crop as
        the heaviest mask could have, so that shapes are static.
    """
    if not getattr(encoder, "mask_token", False):
        raise ValueError("dinov2 masks patches; set encoder.mask_token = True (a ViT).")
    checks.within("[0, 1]", mask_probability=mask_probability)
    checks.within("(0, 1)", mask_ratios=mask_ratios)
    checks.rising(**{f"mask_ratios[{i}]": ratio for i, ratio in enumerate(mask_ratios)})
    heads = PairedHeads(
        encoder,
        num_prototypes,
        num_patch_prototypes,
        hidden_dim=hidden_dim,
        bottleneck_dim=bottleneck_dim,
        layers=head_layers,
    )

    def init(key: Array, views: Views) -> tuple[Params, DINOv2State]:
        own = heads.first(encoder, key, two_global_crops(views)[0][:, 0])
        centers = jnp.zeros(num_prototypes), jnp.zeros(heads.num_patch_prototypes)
        return own.params, DINOv2State(own.stats, own, *centers)

    loss = self_distillation(
        encoder,
        without_drop_path(encoder),
        heads,
        momentum,
        masks=masks,
        mask_probability=mask_probability,
        mask_ratios=mask_ratios,
        centering=centering,
        student_temperature=student_temperature,
        teacher_temperature=teacher_temperature,
        patch_temperature=patch_temperature,
        center_momentum=center_momentum,
        patch_center=patch_center,
        patch_weight=patch_weight,
        koleo_weight=koleo_weight,
        koleo_groups=koleo_groups,
    )
    net = Network(encoder=encoder, **heads.images.parts)
    kept = net.evaluated("projector", of="teacher", prototypes=num_prototypes)
    kept["exports"]["teacher"] = everything("teacher")
    follow = Follow(momentum)
    return Method(views=views, init=init, loss=loss, update=follow, **kept)


def self_distillation(
    encoder: Any,
    elder: Any,
    heads: PairedHeads,
    momentum: optax.Schedule | float,
    *,
    masks: Masks | None = None,
    mask_probability: float = 0.0,
    mask_ratios: tuple[float, float] | None = None,
    centering: Centering,
    student_temperature: float,
    teacher_temperature: optax.Schedule | float,
    patch_temperature: optax.Schedule | float | None = None,
    center_momentum: float,
    patch_center: Literal["compared", "all"] = "compared",
    patch_weight: float,
    koleo_weight: float,
    koleo_groups: int,
) -> LossFn:
    """The loss of DINOv2, whose state has "teacher", "center" and "patch_center".

    Args:
        encoder: the student's.
        elder: the teacher's, without drop path.
        heads: of both.
        momentum: what is logged under that name.
        masks: see `dinov2`, as for the others.
        mask_probability: of the masks that are drawn.
        mask_ratios: None if no patch is hidden and all are compared.
        centering: "center" or "sinkhorn".
        student_temperature: τ_s.
        teacher_temperature: τ_t.
        patch_temperature: τ_t of patches; that of images if None.
        center_momentum: of both centres.
        patch_center: "compared" or "all".
        patch_weight: of the patches' loss.
        koleo_weight: of KoLeo.
        koleo_groups: of KoLeo.
    """
    checks.positive(
        student_temperature=student_temperature, teacher_temperature=teacher_temperature
    )
    if patch_temperature is None:
        patch_temperature = teacher_temperature
    checks.positive(patch_temperature=patch_temperature)
    checks.within("[0, 1]", center_momentum=center_momentum)
    checks.one_of(("compared", "all"), patch_center=patch_center)
    checks.one_of(("center", "sinkhorn"), centering=centering)
    student = Network(encoder=encoder)

    def loss(
        params: Params, state: Any, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[State, Metrics]]:
        mask_key, *drop_keys = jax.random.split(key, 3)
        wide, *narrow = two_global_crops(views)
        crops = wide.reshape(-1, *wide.shape[2:])  # [N, H, W, C], N = 2 B
        grid = grid_shape(crops.shape[1], crops.shape[2], encoder.patch)
        hidden: Array | None = None  # Patches that the student does not see, [N, h w].
        most = math.prod(grid)  # How many of a crop can count, at most.
        counted = jnp.ones((len(crops), most), bool)
        if masks is not None:
            hidden = counted = masks(mask_key, crops)
        elif mask_ratios is not None:
            hidden = counted = block_masks(
                mask_key,
                len(crops),
                grid,
                probability=mask_probability,
                ratios=mask_ratios,
            )
            most = most_masked(grid, mask_ratios)
        # Numbers of the patches that count first, as many as there can be.
        chosen = jnp.argsort(~counted, axis=1)[:, :most]
        counts = jnp.take_along_axis(counted, chosen, axis=1)  # [N, M]

        def compared(grid: Array) -> Array:  # [N, h, w, D] -> [N, M, D]
            return gather_tokens(grid.reshape(len(grid), -1, grid.shape[-1]), chosen)

        old: Copy = state.teacher
        seen, _ = forward(elder, old.params["encoder"], old.stats["encoder"], crops)
        taught = scores(heads.images, old, seen.pooled)  # [N, K]
        taught_patches = scores(heads.patches, old, compared(seen.grid))  # [N, M, K']
        temperature = at(teacher_temperature, step)
        targets = teacher_targets(taught, state.center, temperature, centering)
        targets = targets.reshape(-1, 2, targets.shape[-1])
        patch_targets = teacher_targets(
            taught_patches,
            state.patch_center,
            at(patch_temperature, step),
            centering,
            counts,
        )

        own = Copy(params, state.stats)
        features, _ = forward(
            encoder,
            params["encoder"],
            state.stats["encoder"],
            crops,
            hidden,
            rngs={"drop_path": drop_keys[0]},
        )
        pooled = features.pooled.reshape(*wide.shape[:2], -1)  # [B, 2, D]
        tokens = [pooled]
        if narrow:
            one = {"encoder": params["encoder"]}
            rngs = {"drop_path": drop_keys[1]}
            tokens.append(
                student.crops(one, state.stats, narrow, rngs=rngs)[0]["encoder"]
            )
        said = scores(heads.images, own, jnp.concatenate(tokens, axis=1))
        said_of_patches = scores(heads.patches, own, compared(features.grid))
        terms = {
            "dino": multi_crop_cross_entropy(said / student_temperature, targets),
            "ibot": masked_cross_entropy(
                said_of_patches / student_temperature, patch_targets, counts
            ),
            "koleo": koleo(pooled[:, 0], groups=koleo_groups)
            + koleo(pooled[:, 1], groups=koleo_groups),
        }
        value = (
            terms["dino"] + patch_weight * terms["ibot"] + koleo_weight * terms["koleo"]
        )

        mean = jnp.where(counts[..., None], taught_patches, 0).sum((0, 1))
        mean = mean / jnp.maximum(counts.sum(), 1)
        if patch_center == "all":
            mean = scores(heads.patches, old, seen.grid).mean((0, 1, 2))
        state = state._replace(
            center=ema(state.center, taught.mean(0), center_momentum),
            patch_center=ema(state.patch_center, mean, center_momentum),
        )
        certainty = entropy(targets)
        metrics = {
            **terms,
            "teacher_entropy": certainty,
            "teacher_student_kl": terms["dino"] - certainty,
            "center_norm": jnp.linalg.norm(state.center),
            "masked_share": counted.mean(),
            "teacher_temperature": temperature,
            "momentum": at(momentum, step),
        }
        return value, jax.lax.stop_gradient((state, metrics))

    return loss


def everything(name: str) -> ExportFn:
    """Exports all parts of the `Copy` that a state has under `name`."""

    def export(params: Params, state: PyTree) -> Variables:
        del params
        return {"params": getattr(state, name).params}

    return export
