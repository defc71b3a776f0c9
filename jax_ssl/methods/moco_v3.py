"""MoCo v3 (Chen, Xie & He, 2021, arXiv:2104.02057).

MoCo without its queue: negatives are the other keys of a large batch, a predictor
follows the query network, and both views are queries. Its subject is the training of
vision transformers.

Views: [B, 2, H, W, C] float.
"""

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.types import Array, Metrics, Params
from jax_ssl.losses.contrastive import Form, check_form, info_nce_in_batch
from jax_ssl.losses.prediction import output_std
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Copy, Follow, Heads, Network
from jax_ssl.nn.views import pair
from jax_ssl.ops.normalize import l2_normalize


class MoCoV3State(NamedTuple):
    """State that MoCo v3 carries beside its params."""

    stats: Any  # Running statistics of the query's encoder and heads.
    teacher: Copy  # "Momentum encoder": encoder and projector.


def moco_v3(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    temperature: float = 0.2,
    momentum: optax.Schedule | float = 0.99,
    hidden_dim: int = 4096,
    output_dim: int = 256,
    head_layers: int = 3,
    predictor_norm: Literal["none", "plain"] = "plain",
    similarity: Form = "auto",
) -> Method:
    """Builds MoCo v3 around `encoder`; settings as in sections 3 to 5, for ViT.

    For a ResNet the released code has `temperature=1.0, head_layers=2` and
    `predictor_norm="none"`. Dense layers of the heads have no bias, and the projector
    ends in a batch norm without scale and offset.

    A ViT keeps its random patch projection (section 4.2), by
    `rates=(("^encoder/patch_embed/", None),)` of the optimizer, and has
    `positions="sincos", scheme="moco_v3"` of the encoder (section 5).

    Args:
        encoder: returns `Features`; evaluation keeps the query's.
        views: one example -> [2, H, W, C].
        heads: modules in the place of those made here, by the name of their part.
        temperature: τ of equation 1, positive.
        momentum: the weight of the old teacher; the released code's rises along
            dict(name="cosine", init_value=0.99, end_value=1.0), from 0.996 in runs of
            1000 epochs.
        hidden_dim: width of the inner layers of both heads.
        output_dim: width of queries and keys.
        head_layers: of the projector; the predictor has 2.
        predictor_norm: norm after the predictor's last layer, see `MLP.last_norm`.
        similarity: "gather", "ring" or "auto", the form of `info_nce_in_batch`.

    Raises:
        ValueError: if the temperature is not positive, there is no layer, or the
            similarity has no such form.

    Note:
        As in the released code, the loss of each direction is multiplied by 2 τ and
        both are added, batch norm sees the two views one after the other, and the
        teacher moves before it makes its keys (here: at the end of the last step), with
        the momentum of their step.
    """
    checks.positive(temperature=temperature)
    checks.at_least(1, head_layers=head_layers)
    check_form(similarity, "similarity")
    projector = mlp_after(
        encoder,
        (hidden_dim,) * (head_layers - 1) + (output_dim,),
        last_norm="plain",
        use_bias=False,
        kernel_init=TORCH_UNIFORM,
    )
    predictor = mlp_after(
        encoder,
        (hidden_dim, output_dim),
        last_norm=predictor_norm,
        use_bias=False,
        kernel_init=TORCH_UNIFORM,
    )
    net = Network.of(encoder, heads, projector=projector, predictor=predictor)
    nce = partial(info_nce_in_batch, temperature=temperature, form=similarity)
    # The teacher that makes the keys of a step has moved with that step's momentum.
    follow = Follow(momentum, clock="next")

    def init(key: Array, views: Array) -> tuple[Params, MoCoV3State]:
        params, stats = net.init(key, pair(views)[:, 0])
        return params, MoCoV3State(stats, net.copy(params, stats, until="projector"))

    def loss(
        params: Params, state: MoCoV3State, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[MoCoV3State, Metrics]]:
        del key
        checks.several_rows(len(views), "moco_v3")
        student, stats = net.each(params, state.stats, views)  # [B, 2, D]
        teacher, teacher_stats = jax.lax.stop_gradient(net.each(*state.teacher, views))
        q, k = l2_normalize(student["predictor"]), l2_normalize(teacher["projector"])
        terms = [nce(q[:, v], k[:, 1 - v]) for v in range(2)]
        losses, accuracies = (jnp.stack(both) for both in zip(*terms, strict=True))
        value = 2 * temperature * losses.sum()  # Algorithm 1.
        metrics = {
            "contrastive_accuracy": accuracies.mean(),
            "output_std": output_std(k),
            "momentum": at(momentum, step),
        }
        moved = state.teacher._replace(stats=teacher_stats)
        return value, (MoCoV3State(stats, moved), metrics)

    def chance(batch_size: int) -> float:
        return 2 * temperature * 2 * math.log(batch_size)

    kept = net.evaluated("projector", chance=chance)
    return Method(views=views, init=init, loss=loss, update=follow, **kept)
