"""DINO (Caron et al., 2021, arXiv:2104.14294).

A student that sees every crop predicts, from each, what a slow copy of it says of the
other global crop; centring and sharpening of what the copy says prevent collapse.

Views: {"global": [B, 2, H, W, C], "local": [B, L, h, w, C]} float, or [B, 2, H, W, C].
"""

import math
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.trees import ema
from jax_ssl.core.types import Array, Metrics, Params, Variables, Views
from jax_ssl.losses.distillation import entropy, multi_crop_cross_entropy, sharpened
from jax_ssl.nn.crops import (
    PairOfStats,
    crop_stacks,
    initialize_parts,
    project_crops,
)
from jax_ssl.nn.heads import head_after
from jax_ssl.nn.transformer import without_drop_path


class DINOState(NamedTuple):
    """State that DINO carries beside its params."""

    stats: PairOfStats  # Running statistics of the student.
    teacher: Params  # Encoder and projector.
    teacher_stats: PairOfStats  # Its own; they are not averages of the student's.
    center: Array  # [K], moving mean of the teacher's scores.


def dino(
    encoder: nn.Module,
    views: ViewFn,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: optax.Schedule | float = 0.04,
    momentum: optax.Schedule | float = 0.996,
    center_momentum: float = 0.9,
    num_prototypes: int = 65536,
    hidden_dim: int = 2048,
    bottleneck_dim: int = 256,
    head_layers: int = 3,
    head_norm: str = "none",
    norm_last_layer: bool = True,
) -> Method:
    """Builds DINO around `encoder`; settings as in sections 3.1 and 3.2.

    Three things of the paper's recipe are the optimizer's: clipping array by array
    (`clip_each=3.0`), prototypes that stand still for an epoch
    (`factors=(("^projector/prototypes/", dict(name="after", epochs=1)),)`) and weight
    decay that rises along dict(name="cosine", init_value=0.04, end_value=0.4).

    Args:
        encoder: returns `Features`; evaluation keeps the teacher's, which is better
            throughout (section 5.2). Paths are dropped in the student alone.
        views: one example -> two global crops and any number of local ones.
        student_temperature: τ_s, positive.
        teacher_temperature: τ_t, below τ_s to sharpen; in long runs it rises along
            dict(name="linear", init_value=0.04, end_value=0.07, epochs=30).
        momentum: λ, the weight of the old teacher; the paper's rises along
            dict(name="cosine", init_value=0.996, end_value=1.0).
        center_momentum: m of equation 4, the weight of the old centre.
        num_prototypes: K.
        hidden_dim: width of the inner layers of the projector.
        bottleneck_dim: width of what is compared with the prototypes.
        head_layers: of the projector, before the prototypes.
        head_norm: between them, "none" or "batch" (for convnets; appendix C).
        norm_last_layer: prototypes of length 1; False is for ViT-S only, and a little
            better there.

    Raises:
        ValueError: if a temperature or count is not positive, a momentum not in [0, 1],
            or there is no such norm.

    Note:
        As in the released code, batch norm of the encoder sees all crops of one size
        together and the teacher is in training mode, with running statistics of its
        own. The code looks the teacher's temperature up once per epoch; here every step
        has its own. It takes the gradient of prototypes that stand still away after
        clipping, so that neither decay nor moments see it; here they do not decay
        either, but Adam's moments of them are filled already when they start.
    """
    _check(student_temperature, teacher_temperature, center_momentum)
    head = head_after(
        encoder,
        num_prototypes,
        hidden_dim=hidden_dim,
        bottleneck_dim=bottleneck_dim,
        layers=head_layers,
        norm=head_norm,
        norm_last_layer=norm_last_layer,
    )
    teacher = without_drop_path(encoder)

    def init(key: Array, views: Views) -> tuple[Params, DINOState]:
        stacks = crop_stacks(views)
        chex.assert_shape(stacks[0], (None, 2, None, None, None))
        params, stats = initialize_parts(encoder, head, key, stacks)
        return params, DINOState(stats, params, stats, jnp.zeros(num_prototypes))

    def loss(
        params: Params, state: DINOState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[DINOState, Metrics]]:
        stacks = crop_stacks(views)
        taught, teacher_stats = jax.lax.stop_gradient(
            project_crops(teacher, head, state.teacher, state.teacher_stats, stacks[:1])
        )  # [B, 2, K]
        temperature = at(teacher_temperature, step)
        targets = sharpened(taught, state.center, temperature)
        said, stats = project_crops(
            encoder, head, params, state.stats, stacks, {"drop_path": key}
        )  # [B, V, K]
        value = multi_crop_cross_entropy(said / student_temperature, targets)
        # After its use, and of what the teacher said before centring (equation 4).
        center = ema(state.center, taught.mean((0, 1)), center_momentum)
        state = DINOState(stats, state.teacher, teacher_stats, center)
        certainty = entropy(targets)
        metrics = {
            "teacher_entropy": certainty,
            "teacher_student_kl": jax.lax.stop_gradient(value) - certainty,
            "center_norm": jnp.linalg.norm(center),
            "teacher_temperature": temperature,
            "momentum": at(momentum, step),
        }
        return value, (state, metrics)

    def update(
        params: Params, state: DINOState, *, step: Array
    ) -> tuple[Params, DINOState]:
        # Schedules count from 0, and `step` is 1 after the first optimizer step.
        moved = ema(state.teacher, params, at(momentum, step - 1))
        return params, state._replace(teacher=moved)

    def export(params: Params, state: DINOState) -> Variables:
        del params
        return {"params": state.teacher["encoder"], **state.teacher_stats[0]}

    def project(params: Params, state: DINOState, images: Array) -> Array:
        own, its = (
            {"params": params[name], **stats}
            for name, stats in zip(("encoder", "projector"), state.stats, strict=True)
        )
        features: Any = encoder.apply(own, images, train=False)
        z: Any = head.apply(its, features.pooled, method="bottleneck")
        return z

    def chance(batch_size: int) -> float:
        del batch_size
        return math.log(num_prototypes)

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        export=export,
        update=update,
        project=project,
        chance=chance,
    )


def _check(
    student: float, teacher: optax.Schedule | float, center_momentum: float
) -> None:
    if not student > 0:
        raise ValueError(f"student_temperature = {student} must be positive.")
    if not callable(teacher) and not teacher > 0:
        raise ValueError(f"teacher_temperature = {teacher} must be positive.")
    if not 0 <= center_momentum <= 1:
        raise ValueError(f"center_momentum = {center_momentum} is not in [0, 1].")
