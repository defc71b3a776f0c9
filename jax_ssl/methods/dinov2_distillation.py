"""Distillation of DINOv2 (Oquab et al., 2023, arXiv:2304.07193, section 5).

A small network learns what a larger one, which another run has trained and which stays
as it is, says of images and of all their patches. Evaluation keeps the small network's
moving average.

Views: {"global": [B, 2, H, W, C], "local": [B, L, h, w, C]} float, or [B, 2, H, W, C].
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core.method import Load, Method, ViewFn
from jax_ssl.core.types import Array, Params, Variables, Views
from jax_ssl.methods.dinov2 import (
    Centering,
    everything,
    self_distillation,
)
from jax_ssl.nn.heads import PairedHeads
from jax_ssl.nn.network import Copy, Follow, Network
from jax_ssl.nn.transformer import without_drop_path
from jax_ssl.nn.views import two_global_crops


class DistillationState(NamedTuple):
    """State of a distillation beside its params."""

    stats: Any  # Of the student; a ViT has none.
    teacher: Copy  # The larger network; it never moves.
    average: Copy  # Of the student.
    center: Array  # [K], moving mean of the teacher's scores of images.
    patch_center: Array  # [K'], of its scores of patches.


def dinov2_distillation(
    encoder: nn.Module,
    views: ViewFn,
    make_encoder: Callable[[Mapping[str, Any]], Any],
    *,
    teacher: dict,
    centering: Centering = "sinkhorn",
    student_temperature: float = 0.1,
    teacher_temperature: optax.Schedule | float = 0.07,
    momentum: optax.Schedule | float = 0.994,
    center_momentum: float = 0.9,
    num_prototypes: int = 65536,
    num_patch_prototypes: int | None = None,
    hidden_dim: int = 2048,
    bottleneck_dim: int = 256,
    head_layers: int = 3,
    patch_weight: float = 1.0,
    koleo_weight: float = 0.1,
    koleo_groups: int = 1,
) -> Method:
    """Builds the distillation of a trained teacher into `encoder`, a smaller ViT.

    The file of the teacher and its heads, `jax-ssl export --what=teacher` of a run of
    `dinov2`, is named by run.init_from = dict(teacher=FILE). Settings of the heads are
    those of that run; all others are explained there.

    Args:
        encoder: a `ViT`; the student, which misses no patch and no path.
        views: one example -> two global crops and any number of local ones.
        make_encoder: section of a config -> encoder, for the teacher's.
        teacher: the section of its encoder, dict(name="vit_l", ...).
        centering: see `dinov2`.
        student_temperature: see `dinov2`.
        teacher_temperature: see `dinov2`.
        momentum: the weight of the student's old average.
        center_momentum: see `dinov2`.
        num_prototypes: see `dinov2`.
        num_patch_prototypes: see `dinov2`.
        hidden_dim: see `dinov2`.
        bottleneck_dim: see `dinov2`.
        head_layers: see `dinov2`.
        patch_weight: see `dinov2`.
        koleo_weight: see `dinov2`.
        koleo_groups: see `dinov2`.

    Raises:
        ValueError: if the teacher's patches are of another size than the student's, or
            a setting is out of range.

    Note:
        Centring and KoLeo stay on, since the paper does not name them among the
        differences from training.
    """
    encoder = without_drop_path(encoder)
    elder = without_drop_path(make_encoder(teacher))
    patches = [getattr(network, "patch", None) for network in (encoder, elder)]
    if None in patches or patches[0] != patches[1]:
        raise ValueError(
            f"patches of {patches[0]} pixels cannot be compared with the teacher's of "
            f"{patches[1]}; give encoder.patch and method.teacher['patch'] one value, "
            "of two ViTs."
        )
    heads = PairedHeads(
        encoder,
        num_prototypes,
        num_patch_prototypes,
        hidden_dim=hidden_dim,
        bottleneck_dim=bottleneck_dim,
        layers=head_layers,
    )

    def init(key: Array, views: Views) -> tuple[Params, DistillationState]:
        crops = two_global_crops(views)[0][:, 0]
        own = heads.first(encoder, key, crops)
        # Only its shapes matter, for the file of the teacher takes its place.
        known = heads.first(elder, jax.random.fold_in(key, 1), crops)
        centers = jnp.zeros(num_prototypes), jnp.zeros(heads.num_patch_prototypes)
        return own.params, DistillationState(own.stats, known, own, *centers)

    loss = self_distillation(
        encoder,
        elder,
        heads,
        momentum,
        centering=centering,
        student_temperature=student_temperature,
        teacher_temperature=teacher_temperature,
        center_momentum=center_momentum,
        patch_weight=patch_weight,
        koleo_weight=koleo_weight,
        koleo_groups=koleo_groups,
    )

    def fill(
        params: Params, state: DistillationState, variables: Variables
    ) -> tuple[Params, DistillationState]:
        known = state.teacher._replace(params=variables["params"])
        return params, state._replace(teacher=known)

    net = Network(encoder=encoder, **heads.images.parts)
    kept = net.evaluated(
        "projector",
        of="average",
        prototypes=num_prototypes,
        followers=("average",),
    )
    kept["exports"]["teacher"] = everything("average")
    kept["loads"]["teacher"] = Load(everything("teacher"), fill, required=True)
    follow = Follow(momentum, name="average")
    return Method(views=views, init=init, loss=loss, update=follow, **kept)
