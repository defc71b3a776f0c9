"""DINOv2 (Oquab et al., 2023, arXiv:2304.07193).

DINO on whole images, iBOT (Zhou et al., 2022, arXiv:2111.07832) on patches that the
student does not see and the teacher does, and KoLeo, which spreads the images' tokens.

Views: {"global": [B, 2, H, W, C], "local": [B, L, h, w, C]} float, or [B, 2, H, W, C].
"""

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
    sharpened,
)
from jax_ssl.losses.koleo import koleo
from jax_ssl.nn.apply import forward, initialize
from jax_ssl.nn.crops import crop_stacks, forward_crops
from jax_ssl.nn.heads import head_after
from jax_ssl.nn.transformer import without_drop_path
from jax_ssl.ops.masks import block_masks, most_masked
from jax_ssl.ops.patches import gather_tokens, grid_shape
from jax_ssl.ops.sinkhorn import sinkhorn


class DINOv2State(NamedTuple):
    """State that DINOv2 carries beside its params."""

    teacher: Params  # Encoder and projectors.
    center: Array  # [K], moving mean of the teacher's scores of images.
    patch_center: Array  # [K'], likewise of masked patches.


def dinov2(
    encoder: nn.Module,
    views: ViewFn,
    *,
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
        ValueError: if the encoder has no mask token, or a setting is out of range.

    Note:
        Both centres move after their use, the patches' by the masked ones alone. A crop
        without masked patches counts as zero in the mean over crops, as in the released
        code. There, drop path is the same for all blocks; here it rises with depth.
        Heads read as many patches of every crop as the heaviest mask could have, so
        that shapes are static.
    """
    if not getattr(encoder, "mask_token", False):
        raise ValueError("dinov2 masks patches; set encoder.mask_token = True (a ViT).")
    _check(student_temperature, mask_probability, mask_ratios, centering)
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
    teacher = without_drop_path(encoder)

    def scores(params: Params, name: str, x: Array) -> Array:
        """Scores [..., K] of tokens [..., D]."""
        rows = x.reshape(-1, x.shape[-1])
        z, _ = forward(heads[name], params[name], {}, rows)
        return z.reshape(*x.shape[:-1], -1)

    def init(key: Array, views: Views) -> tuple[Params, DINOv2State]:
        wide = crop_stacks(views)[0]
        chex.assert_shape(wide, (None, 2, None, None, None))
        keys = jax.random.split(key, 1 + len(heads))
        params = {"encoder": initialize(encoder, keys[0], wide[:, 0])[0]}
        token = jnp.zeros((1, params["encoder"]["class_token"].shape[-1]))
        for own_key, (name, head) in zip(keys[1:], heads.items(), strict=True):
            params[name] = initialize(head, own_key, token)[0]
        centers = (
            jnp.zeros(heads[name].num_prototypes) for name in ("projector", of_patches)
        )
        return params, DINOv2State(params, *centers)

    def loss(
        params: Params, state: DINOv2State, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[DINOv2State, Metrics]]:
        mask_key, *drop_keys = jax.random.split(key, 3)
        wide, *narrow = crop_stacks(views)
        crops = wide.reshape(-1, *wide.shape[2:])  # [B * 2, H, W, C]
        N = len(crops)
        grid = grid_shape(crops.shape[1], crops.shape[2], encoder.patch)
        mask = block_masks(
            mask_key, N, grid, probability=mask_probability, ratios=mask_ratios
        )
        # Numbers of the masked patches first, as many as there can be.
        chosen = jnp.argsort(~mask, axis=1)[:, : most_masked(grid, mask_ratios)]
        counts = jnp.take_along_axis(mask, chosen, axis=1)  # [N, M]

        def masked_patches(grid: Array) -> Array:  # [N, h, w, D] -> [N, M, D]
            return gather_tokens(grid.reshape(N, -1, grid.shape[-1]), chosen)

        old = state.teacher
        seen, _ = forward(teacher, old["encoder"], {}, crops)
        taught = scores(old, "projector", seen.pooled)  # [N, K]
        taught_patches = scores(old, of_patches, masked_patches(seen.grid))  # [N, M, K]
        temperature = at(teacher_temperature, step)
        if centering == "sinkhorn":
            targets = sinkhorn(taught, epsilon=temperature)
            flat = taught_patches.reshape(-1, taught_patches.shape[-1])
            patch_targets = sinkhorn(flat, epsilon=temperature, rows=counts.reshape(-1))
            patch_targets = patch_targets.reshape(taught_patches.shape)
        else:
            targets = sharpened(taught, state.center, temperature)
            patch_targets = sharpened(taught_patches, state.patch_center, temperature)
        targets = jax.lax.stop_gradient(targets).reshape(-1, 2, targets.shape[-1])
        # Sinkhorn of no rows at all is not finite.
        patch_targets = jnp.where(counts[..., None], patch_targets, 0.0)
        patch_targets = jax.lax.stop_gradient(patch_targets)

        own = params["encoder"]
        features, _ = forward(
            encoder, own, {}, crops, mask, rngs={"drop_path": drop_keys[0]}
        )
        pooled = features.pooled.reshape(*wide.shape[:2], -1)  # [B, 2, D]
        tokens = [pooled]
        if narrow:
            rngs = {"drop_path": drop_keys[1]}
            tokens.append(forward_crops(encoder, own, {}, narrow, rngs=rngs)[0])
        said = scores(params, "projector", jnp.concatenate(tokens, axis=1))
        said_of_patches = scores(params, of_patches, masked_patches(features.grid))
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
        center, patch_center = jax.lax.stop_gradient(
            (
                ema(state.center, taught.mean(0), center_momentum),
                ema(state.patch_center, mean, center_momentum),
            )
        )
        certainty = entropy(targets)
        metrics = {
            **terms,
            "teacher_entropy": certainty,
            "teacher_student_kl": terms["dino"] - certainty,
            "center_norm": jnp.linalg.norm(center),
            "masked_share": mask.mean(),
            "teacher_temperature": temperature,
            "momentum": at(momentum, step),
        }
        state = DINOv2State(state.teacher, center, patch_center)
        return value, (state, jax.lax.stop_gradient(metrics))

    def update(
        params: Params, state: DINOv2State, *, step: Array
    ) -> tuple[Params, DINOv2State]:
        # Schedules count from 0, and `step` is 1 after the first optimizer step.
        moved = ema(state.teacher, params, at(momentum, step - 1))
        return params, state._replace(teacher=moved)

    def export(params: Params, state: DINOv2State) -> Variables:
        del params
        return {"params": state.teacher["encoder"]}

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
