"""DINO (Caron et al., 2021, arXiv:2104.14294).

A student that sees every crop predicts, from each, what a slow copy of it says of the
other global crop; centring and sharpening of what the copy says prevent collapse.

Views: {"global": [B, 2, H, W, C], "local": [B, L, h, w, C]} float, or [B, 2, H, W, C].
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.trees import ema
from jax_ssl.core.types import Array, Metrics, Params, Views
from jax_ssl.losses.distillation import entropy, multi_crop_cross_entropy, sharpened
from jax_ssl.nn.heads import prototype_head
from jax_ssl.nn.network import Copy, Follow, Heads, Network
from jax_ssl.nn.transformer import without_drop_path
from jax_ssl.nn.views import two_global_crops


class DINOState(NamedTuple):
    """State that DINO carries beside its params."""

    stats: Any  # Running statistics of the student.
    teacher: Copy
    center: Array  # [K], moving mean of the teacher's scores.


def dino(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
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
    (`factors=(("^prototypes/", dict(name="after", epochs=1)),)`) and weight
    decay that rises along dict(name="cosine", init_value=0.04, end_value=0.4).

    Args:
        encoder: returns `Features`; evaluation keeps the teacher's, which is better
            throughout (section 5.2). Paths are dropped in the student alone.
        views: one example -> two global crops and any number of local ones.
        heads: modules in the place of those made here, by the name of their part.
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
    checks.positive(
        student_temperature=student_temperature, teacher_temperature=teacher_temperature
    )
    checks.within("[0, 1]", center_momentum=center_momentum)
    made = prototype_head(
        encoder,
        num_prototypes,
        hidden_dim=hidden_dim,
        bottleneck_dim=bottleneck_dim,
        layers=head_layers,
        norm=head_norm,
        norm_last_layer=norm_last_layer,
    )
    net = Network.of(encoder, heads, **made)
    elder = Network.of(without_drop_path(encoder), heads, **made)
    follow = Follow(momentum)

    def init(key: Array, views: Views) -> tuple[Params, DINOState]:
        params, stats = net.init(key, two_global_crops(views)[0][:, 0])
        teacher = net.copy(params, stats, until="prototypes")
        return params, DINOState(stats, teacher, jnp.zeros(num_prototypes))

    def loss(
        params: Params, state: DINOState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[DINOState, Metrics]]:
        stacks = two_global_crops(views)
        taught, teacher_stats = jax.lax.stop_gradient(
            elder.crops(*state.teacher, stacks[:1])
        )
        scores = taught["prototypes"]  # [B, 2, K]
        temperature = at(teacher_temperature, step)
        targets = sharpened(scores, state.center, temperature)
        said, stats = net.crops(params, state.stats, stacks, rngs={"drop_path": key})
        value = multi_crop_cross_entropy(
            said["prototypes"] / student_temperature, targets
        )
        # After its use, and of what the teacher said before centring (equation 4).
        center = ema(state.center, scores.mean((0, 1)), center_momentum)
        certainty = entropy(targets)
        metrics = {
            "teacher_entropy": certainty,
            "teacher_student_kl": jax.lax.stop_gradient(value) - certainty,
            "center_norm": jnp.linalg.norm(center),
            "teacher_temperature": temperature,
            "momentum": at(momentum, step),
        }
        teacher = state.teacher._replace(stats=teacher_stats)
        return value, (DINOState(stats, teacher, center), metrics)

    kept = net.evaluated(
        "projector",
        of="teacher",
        chance=math.log(num_prototypes),
        prototypes=num_prototypes,
    )
    return Method(views=views, init=init, loss=loss, update=follow, **kept)
