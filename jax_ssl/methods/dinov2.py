"""DINOv2 (Oquab et al., 2023, arXiv:2304.07193).

DINO on whole images, iBOT (Zhou et al., 2022, arXiv:2111.07832) on patches that the
student does not see and the teacher does, and KoLeo, which spreads the images' tokens.
The teacher may also be a larger network that another run has trained: distillation.

Views: {"global": [B, 2, H, W, C], "local": [B, L, h, w, C]} float, or [B, 2, H, W, C].
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.trees import ema
from jax_ssl.core.types import Array, Metrics, Params, Variables, Views
from jax_ssl.losses.distillation import (
    entropy,
    masked_cross_entropy,
    multi_crop_cross_entropy,
    teacher_targets,
)
from jax_ssl.losses.koleo import koleo
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.crops import crop_stacks, forward_crops
from jax_ssl.nn.heads import head_after
from jax_ssl.nn.transformer import without_drop_path
from jax_ssl.ops.masks import block_masks, most_masked
from jax_ssl.ops.patches import gather_tokens, grid_shape


class DINOv2State(NamedTuple):
    """State that DINOv2 carries beside its params."""

    teacher: Params  # Encoder and projectors.
    center: Array  # [K], moving mean of the teacher's scores of images.
    patch_center: Array  # [K'], likewise of the patches that are compared.
    average: Params | None = None  # Of the student, where the teacher is frozen.


def dinov2(
    encoder: nn.Module,
    views: ViewFn,
    make_encoder: Callable[[Mapping[str, Any]], Any] | None = None,
    *,
    teacher: dict | None = None,
    centering: Literal["center", "sinkhorn"] = "sinkhorn",
    student_temperature: float = 0.1,
    teacher_temperature: optax.Schedule | float = 0.07,
    momentum: optax.Schedule | float = 0.994,
    center_momentum: float = 0.9,
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
    """Builds DINOv2 around a ViT; settings as in section 4 and appendix B.

    The encoder needs `mask_token=True`; it may have `registers` (Darcet et al., 2024,
    arXiv:2309.16588), `drop_path` and `layer_scale`. With `koleo_weight=0` and
    `centering="center"` this is iBOT.

    Args:
        encoder: a `ViT`; evaluation keeps the teacher's.
        views: one example -> two global crops and any number of local ones.
        make_encoder: section of a config -> encoder, for the teacher's.
        teacher: the section of a larger encoder that another run of this method has
            trained, dict(name="vit_l", ...); `run.teacher_from` says where. It and its
            heads stay as they are, the student misses no patch and no path, its loss is
            that of all patches, and evaluation keeps its moving average (section 5,
            "model distillation"). None: the teacher is the student's moving average.
        centering: "center" as in DINO, or "sinkhorn": three iterations over what the
            teacher says of the global batch, images and patches by themselves.
        student_temperature: τ_s, positive.
        teacher_temperature: τ_t; in the released settings it rises along
            dict(name="linear", init_value=0.04, end_value=0.07, epochs=30).
        momentum: the weight of the old teacher; it rises to 1 along a cosine.
        center_momentum: the weight of the old centres.
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
        ValueError: if a student that misses patches has no mask token, the teacher's
            patches are of another size, or a setting is out of range.

    Note:
        Both centres move after their use, the patches' by the masked ones alone. A crop
        without masked patches counts as zero in the mean over crops, as in the released
        code, whose drop path is that of an encoder with `drop_path_uniform`. Heads read
        as many patches of every crop as the heaviest mask could have, so
        that shapes are static.
    """
    frozen = teacher is not None
    if not frozen and not getattr(encoder, "mask_token", False):
        raise ValueError("dinov2 masks patches; set encoder.mask_token = True (a ViT).")
    _check(student_temperature, mask_probability, mask_ratios, centering)
    elder = without_drop_path(encoder)
    if teacher is not None:
        encoder, elder = elder, _larger(teacher, make_encoder, encoder)
    sizes = {
        "hidden_dim": hidden_dim,
        "bottleneck_dim": bottleneck_dim,
        "layers": head_layers,
        "norm_last_layer": False,
    }
    heads = {"projector": head_after(encoder, num_prototypes, **sizes)}
    if num_patch_prototypes is not None:
        own = head_after(encoder, num_patch_prototypes, **sizes)
        heads["patch_projector"] = own
    of_patches = "patch_projector" if len(heads) > 1 else "projector"

    def scores(params: Params, name: str, x: Array) -> Array:
        """Scores [..., K] of tokens [..., D]."""
        rows = x.reshape(-1, x.shape[-1])
        z, _ = forward(heads[name], params[name], {}, rows)
        return z.reshape(*x.shape[:-1], -1)

    def first(network: Any, key: Array, images: Array) -> Params:
        keys = jax.random.split(key, 1 + len(heads))
        params = {"encoder": initialize(network, keys[0], images)[0]}
        token = jnp.zeros((1, params["encoder"]["class_token"].shape[-1]))
        for own_key, (name, head) in zip(keys[1:], heads.items(), strict=True):
            params[name] = initialize(head, own_key, token)[0]
        return params

    def init(key: Array, views: Views) -> tuple[Params, DINOv2State]:
        wide = crop_stacks(views)[0]
        chex.assert_shape(wide, (None, 2, None, None, None))
        params = first(encoder, key, wide[:, 0])
        known = params
        if frozen:
            known = first(elder, jax.random.fold_in(key, 1), wide[:, 0])
        return params, DINOv2State(
            teacher=known,
            center=jnp.zeros(num_prototypes),
            patch_center=jnp.zeros(heads[of_patches].num_prototypes),
            average=params if frozen else None,
        )

    def loss(
        params: Params, state: DINOv2State, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[DINOv2State, Metrics]]:
        mask_key, *drop_keys = jax.random.split(key, 3)
        wide, *narrow = crop_stacks(views)
        crops = wide.reshape(-1, *wide.shape[2:])  # [B * 2, H, W, C]
        N = len(crops)
        grid = grid_shape(crops.shape[1], crops.shape[2], encoder.patch)
        if frozen:
            hidden, most = None, grid[0] * grid[1]
            mask = jnp.ones((N, most), bool)
        else:
            hidden = mask = block_masks(
                mask_key, N, grid, probability=mask_probability, ratios=mask_ratios
            )
            most = most_masked(grid, mask_ratios)
        # Numbers of the patches that count first, as many as there can be.
        chosen = jnp.argsort(~mask, axis=1)[:, :most]
        counts = jnp.take_along_axis(mask, chosen, axis=1)  # [N, M]

        def compared(grid: Array) -> Array:  # [N, h, w, D] -> [N, M, D]
            return gather_tokens(grid.reshape(N, -1, grid.shape[-1]), chosen)

        old = state.teacher
        seen, _ = forward(elder, old["encoder"], {}, crops)
        taught = scores(old, "projector", seen.pooled)  # [N, K]
        taught_patches = scores(old, of_patches, compared(seen.grid))  # [N, M, K]
        temperature = at(teacher_temperature, step)
        targets = teacher_targets(taught, state.center, temperature, centering)
        targets = targets.reshape(-1, 2, targets.shape[-1])
        patch_targets = teacher_targets(
            taught_patches, state.patch_center, temperature, centering, counts
        )

        own = params["encoder"]
        features, _ = forward(
            encoder, own, {}, crops, hidden, rngs={"drop_path": drop_keys[0]}
        )
        pooled = features.pooled.reshape(*wide.shape[:2], -1)  # [B, 2, D]
        tokens = [pooled]
        if narrow:
            rngs = {"drop_path": drop_keys[1]}
            tokens.append(forward_crops(encoder, own, {}, narrow, rngs=rngs)[0])
        said = scores(params, "projector", jnp.concatenate(tokens, axis=1))
        said_of_patches = scores(params, of_patches, compared(features.grid))
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
            "masked_share": mask.mean(),
            "teacher_temperature": temperature,
            "momentum": at(momentum, step),
        }
        return value, jax.lax.stop_gradient((state, metrics))

    def update(
        params: Params, state: DINOv2State, *, step: Array
    ) -> tuple[Params, DINOv2State]:
        # Schedules count from 0, and `step` is 1 after the first optimizer step.
        name = "average" if frozen else "teacher"
        moved = ema(getattr(state, name), params, at(momentum, step - 1))
        return params, state._replace(**{name: moved})

    def export_teacher(params: Params, state: DINOv2State) -> Variables:
        del params
        return {"params": state.average if frozen else state.teacher}

    def export(params: Params, state: DINOv2State) -> Variables:
        return {"params": export_teacher(params, state)["params"]["encoder"]}

    def project(params: Params, state: DINOv2State, images: Array) -> Array:
        del state
        own = {"params": params["encoder"]}
        features: Any = encoder.apply(own, images, train=False)
        its = {"params": params["projector"]}
        z: Any = heads["projector"].apply(its, features.pooled, method="bottleneck")
        return z

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        export=export,
        update=update,
        project=project,
        export_teacher=export_teacher,
    )


def _check(
    temperature: float, probability: float, ratios: tuple[float, float], centering: str
) -> None:
    if not temperature > 0:
        raise ValueError(f"student_temperature = {temperature} must be positive.")
    if not 0 <= probability <= 1:
        raise ValueError(f"mask_probability = {probability} is not in [0, 1].")
    if not 0 < ratios[0] <= ratios[1] < 1:
        raise ValueError(f"mask_ratios = {ratios} must rise within (0, 1).")
    if centering not in ("center", "sinkhorn"):
        raise ValueError(f"centering = {centering!r} is not 'center' or 'sinkhorn'.")


def _larger(
    section: Mapping[str, Any],
    make_encoder: Callable[[Mapping[str, Any]], Any] | None,
    student: Any,
) -> Any:
    if make_encoder is None:
        raise ValueError(f"teacher = {section!r} needs dinov2(make_encoder=...).")
    teacher = make_encoder(section)
    sizes = [getattr(network, "patch", None) for network in (student, teacher)]
    if None in sizes or sizes[0] != sizes[1]:
        raise ValueError(
            f"patches of {sizes[0]} pixels cannot be compared with the teacher's of "
            f"{sizes[1]}; give encoder.patch and method.teacher['patch'] one value, of "
            "two ViTs."
        )
    return without_drop_path(teacher)
