"""MoCo (He et al., 2020, arXiv:1911.05722; v2: Chen et al., 2020, arXiv:2003.04297).

A query is matched to its key, another view of the same image, among a queue of past
keys. Keys come from a slow copy of the query network, so that those of many steps can
be compared.

Views: [B, 2, H, W, C] float; view 0 is the query, view 1 the key.
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import optax

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.schedule import at
from jax_ssl.core.types import Array, Metrics, Params
from jax_ssl.losses.contrastive import Form, check_form, info_nce
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Copy, Follow, Heads, Network
from jax_ssl.nn.norm import norm_groups
from jax_ssl.nn.views import pair
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.ops.queue import check_queue_size, push, random_queue


class MoCoState(NamedTuple):
    """State that MoCo carries beside its params."""

    stats: Any  # Running statistics of the query network.
    teacher: Copy  # "Key encoder", with its head.
    queue: Array  # [K, D] unit keys; the step says which are the oldest.


def moco(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
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
    """Builds MoCo around `encoder`; settings of v2.

    The first version has `temperature=0.07, head_layers=1`. The head has
    no batch norm.

    Shuffled batch norm (section 3.3) is for encoders whose batch norm has groups,
    `groups = 8` for the papers' eight GPUs of 32 images: keys are normalised in random
    company, so that their statistics do not give away the query. With one group over
    the whole batch, or without batch norm, there is nothing to shuffle.

    Args:
        encoder: returns `Features`; evaluation keeps the query's.
        views: one example -> [2, H, W, C].
        heads: modules in the place of those made here, by the name of their part.
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
    checks.positive(temperature=temperature)
    checks.at_least(1, head_layers=head_layers)
    check_form(similarity, "similarity")
    widths = (hidden_dim,) * (head_layers - 1) + (output_dim,)
    head = mlp_after(encoder, widths, norm="none", kernel_init=TORCH_UNIFORM)
    net = Network.of(encoder, heads, projector=head)
    shuffled = shuffle and norm_groups(encoder) > 1
    directions = 2 if symmetric else 1
    # The teacher that makes the keys of a step has moved with that step's momentum.
    follow = Follow(momentum, clock="next")

    def init(key: Array, views: Array) -> tuple[Params, MoCoState]:
        check_queue_size(queue_size, directions * pair(views).shape[0])
        key, queue_key = jax.random.split(key)
        params, stats = net.init(key, views[:, 0])
        queue = random_queue(queue_key, queue_size, output_dim)
        teacher = net.copy(params, stats, until="projector")
        return params, MoCoState(stats, teacher, queue)

    def unit_rows(out: dict[str, Array]) -> Array:  # [B, V, D] -> [B V, D]
        return l2_normalize(out["projector"]).reshape(-1, output_dim)

    def loss(
        params: Params, state: MoCoState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[MoCoState, Metrics]]:
        queries, stats = net.each(params, state.stats, views[:, :directions])
        keys, teacher_stats = jax.lax.stop_gradient(
            net.each(
                *state.teacher,
                views[:, ::-1][:, :directions],
                shuffle=key if shuffled else None,
            )
        )
        q, k = unit_rows(queries), unit_rows(keys)
        # Before the push: a key in the queue is a negative of its own query.
        past = jax.lax.stop_gradient(state.queue)
        value, accuracy = info_nce(q, k, past, temperature=temperature, form=similarity)
        teacher = state.teacher._replace(stats=teacher_stats)
        state = MoCoState(stats, teacher, push(past, k, step))
        metrics = {"contrastive_accuracy": accuracy, "momentum": at(momentum, step)}
        return directions * value, (state, metrics)

    chance = directions * math.log(1 + queue_size)
    kept = net.evaluated("projector", chance=chance)
    return Method(views=views, init=init, loss=loss, update=follow, **kept)
