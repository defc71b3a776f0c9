"""MoCo (He et al., 2020, arXiv:1911.05722; v2: Chen et al., 2020, arXiv:2003.04297).

A query is matched to its key, another view of the same image, among a queue of past
keys. Keys come from a slow copy of the query network, so that those of many steps can
be compared.

Views: [B, 2, H, W, C] float; view 0 is the query, view 1 the key.
"""

import math
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import optax

from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.trees import ema
from jax_ssl.core.types import Array, Metrics, Params, Variables
from jax_ssl.losses.contrastive import Form, check_form, info_nce
from jax_ssl.nn.apply import forward, initialize, part
from jax_ssl.nn.mlp import TORCH_UNIFORM, Projected, mlp_after
from jax_ssl.nn.norm import norm_groups
from jax_ssl.nn.views import forward_each
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.ops.queue import check_queue_size, push, random_queue


class MoCoState(NamedTuple):
    """State that MoCo carries beside its params."""

    stats: Any  # Running statistics of the query network.
    teacher: Params  # "Key encoder", with its head.
    teacher_stats: Any  # Its own; they are not averages of the query network's.
    queue: Array  # [K, D] unit keys; the step says which are the oldest.


def moco(
    encoder: nn.Module,
    views: ViewFn,
    *,
    temperature: float = 0.2,
    momentum: optax.Schedule | float = 0.999,
    queue_size: int = 65536,
    hidden_dim: int = 2048,
    output_dim: int = 128,
    head_layers: int = 2,
    symmetric: bool = False,
    shuffle: bool = True,
    similarity: Form = "auto",
) -> Method:
    """Builds MoCo around `encoder`; settings of v2 (section 3, table 1).

    The first version has `temperature=0.07, head_layers=1` (section 3.3). The head has
    no batch norm.

    Shuffled batch norm (section 3.3) is for encoders whose batch norm has groups,
    `groups = 8` for the papers' eight GPUs of 32 images: keys are normalised in random
    company, so that their statistics do not give away the query. With one group over
    the whole batch, or without batch norm, there is nothing to shuffle.

    Args:
        encoder: returns `Features`; evaluation keeps the query's.
        views: one example -> [2, H, W, C].
        temperature: τ of equation 1, positive.
        momentum: m of equation 2, the weight of the old teacher, constant in the paper.
        queue_size: K, a multiple of the keys of a step. On a mesh with "fsdp" a large
            queue is cut like a parameter and gathered every step, unless mesh.rules has
            ("^state/queue$", ()).
        hidden_dim: width of the head's inner layers.
        output_dim: D, width of queries and keys.
        head_layers: 1, a linear map, in the first version, 2 in the second.
        symmetric: each view is a query and a key in turn; both losses are added and 2B
            keys a step enter the queue. The authors' CIFAR-10 demo has it as a choice.
        shuffle: whether to shuffle, where there are groups.
        similarity: "gather", "ring" or "auto", the form of `info_nce`.

    Raises:
        ValueError: if the temperature is not positive, there is no layer, the
            similarity has no such form, or whole batches do not fill the queue.

    Note:
        In the released code the teacher moves at the start of a step, towards the
        params before the step; here at the end of the last one. These are the same
        params, and the first start changes nothing.
    """
    if not temperature > 0:
        raise ValueError(f"temperature = {temperature} must be positive.")
    if head_layers < 1:
        raise ValueError(f"head_layers = {head_layers} must be at least 1.")
    check_form(similarity, "similarity")
    widths = (hidden_dim,) * (head_layers - 1) + (output_dim,)
    head = mlp_after(encoder, widths, norm="none", kernel_init=TORCH_UNIFORM)
    network = Projected(encoder, head)
    shuffled = shuffle and norm_groups(encoder) > 1
    directions = 2 if symmetric else 1

    def init(key: Array, views: Array) -> tuple[Params, MoCoState]:
        chex.assert_shape(views, (None, 2, None, None, None))
        check_queue_size(queue_size, directions * views.shape[0])
        key, queue_key = jax.random.split(key)
        params, stats = initialize(network, key, views[:, 0])
        queue = random_queue(queue_key, queue_size, output_dim)
        return params, MoCoState(stats, params, stats, queue)

    def loss(
        params: Params, state: MoCoState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[MoCoState, Metrics]]:
        def embed(
            params: Params, stats: Any, views: Array, **settings: Any
        ) -> tuple[Array, Any]:  # [B, V, ...] -> [B V, D]
            z, stats = forward_each(network, params, stats, views, **settings)
            return l2_normalize(z).reshape(-1, output_dim), stats

        q, stats = embed(params, state.stats, views[:, :directions])
        k, teacher_stats = jax.lax.stop_gradient(
            embed(
                state.teacher,
                state.teacher_stats,
                views[:, ::-1][:, :directions],
                shuffle=key if shuffled else None,
            )
        )
        # Before the push: a key in the queue is a negative of its own query.
        past = jax.lax.stop_gradient(state.queue)
        value, accuracy = info_nce(q, k, past, temperature=temperature, form=similarity)
        queue = push(past, k, step)
        state = MoCoState(stats, state.teacher, teacher_stats, queue)
        metrics = {"contrastive_accuracy": accuracy, "momentum": at(momentum, step)}
        return directions * value, (state, metrics)

    def update(
        params: Params, state: MoCoState, *, step: Array
    ) -> tuple[Params, MoCoState]:
        # `step` is that of the next keys, the first that this teacher makes.
        teacher = ema(state.teacher, params, at(momentum, step))
        return params, state._replace(teacher=teacher)

    def export(params: Params, state: MoCoState) -> Variables:
        return part(params, state.stats, "encoder")

    def project(params: Params, state: MoCoState, images: Array) -> Array:
        return forward(network, params, state.stats, images, train=False)[0]

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        export=export,
        update=update,
        project=project,
        chance=lambda batch_size: directions * math.log(1 + queue_size),
    )
