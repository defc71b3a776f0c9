"""SwAV (Caron et al., 2020, arXiv:2006.09882).

The large crops of a batch are assigned to prototypes such that all of these are used
equally; every crop then predicts the assignments ("codes") of the other crops of its
image. Small crops predict as well, and cost little.

Views: {"global": [B, 2, H, W, C], "local": [B, L, h, w, C], ...} float; the local crops
may be missing, and [B, 2, H, W, C] alone will do.
"""

import functools
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array, Metrics, Params, Views
from jax_ssl.losses.assignments import assignment_metrics, swapped_prediction
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Heads, Network
from jax_ssl.nn.views import crop_stacks, two_global_crops
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.ops.queue import check_queue_size, push
from jax_ssl.ops.sinkhorn import sinkhorn


class SwAVState(NamedTuple):
    """State that SwAV carries beside its params."""

    stats: Any  # Running statistics of encoder and projector.
    queue: Array | None  # [Q, 2, D] unit embeddings of past global crops, if any.


def swav(
    encoder: nn.Module,
    views: ViewFn,
    steps_per_epoch: int,
    heads: Heads | None = None,
    *,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    iterations: int = 3,
    num_prototypes: int = 3000,
    freeze_prototypes_steps: int = 313,
    queue_size: int = 0,
    queue_start_epoch: float = 15.0,
    hidden_dim: int = 2048,
    output_dim: int = 128,
) -> Method:
    """Builds SwAV around `encoder`; settings as in section 3 and appendix A.

    The prototypes are the parameter "prototypes" [K, D], rows of unit length. Codes are
    made by `sinkhorn` on the global batch, of each of the two global crops by itself;
    with a small batch, rows of a queue help to share the prototypes out (section 4.3).

    Args:
        encoder: returns `Features`; evaluation keeps it and drops the projector. With
            local crops it must take images of several sizes.
        views: one example -> {"global": [2, H, W, C], "local": [L, h, w, C]}.
        steps_per_epoch: what `queue_start_epoch` is counted in.
        heads: modules in the place of those made here, by the name of their part.
        temperature: τ of equation 2, positive.
        epsilon: ε of equation 3, positive; 0.03 helps where the loss stays at ln K.
        iterations: of `sinkhorn`, at least 1.
        num_prototypes: K.
        freeze_prototypes_steps: steps in which the prototypes keep their first values;
            one epoch, so 5005 at batch 256.
        queue_size: Q, a multiple of the batch; 0 for no queue, 3840 at batch 256.
        queue_start_epoch: the queue is read Q / B steps after this epoch has begun.
        hidden_dim: width of the projector's inner layer.
        output_dim: D, width of embeddings and prototypes.

    Raises:
        ValueError: if a number is out of its range, or whole batches do not fill the
            queue.

    Note:
        As in the released code, the encoder's batch norm sees crops of one size at a
        time and the projector's sees all crops together.

        That code makes the prototypes unit rows before each forward pass, here they
        become so after each step and are so at first: the same values in every pass.

        While they are frozen, that code skips their optimizer; here their gradient is
        zero. Momentum and weight decay can only shorten the rows, all by one factor,
        which is made good at once. (A decay that goes through Adam's moments is not of
        this kind; `adamw` is.)

        That code begins to fill the queue at `queue_start_epoch`, and reads it when it
        is full. Here it is filled from the first step; when it is read it holds the
        same rows.
    """
    checks.positive(temperature=temperature, epsilon=epsilon)
    checks.at_least(1, iterations=iterations)
    checks.at_least(2, num_prototypes=num_prototypes)
    checks.at_least(
        0,
        freeze_prototypes_steps=freeze_prototypes_steps,
        queue_size=queue_size,
        queue_start_epoch=queue_start_epoch,
    )
    projector = mlp_after(encoder, (hidden_dim, output_dim), kernel_init=TORCH_UNIFORM)
    net = Network.of(encoder, heads, projector=projector)
    assign = functools.partial(sinkhorn, epsilon=epsilon, iterations=iterations)
    assign = jax.vmap(assign, in_axes=1, out_axes=1)  # [n, 2, K], crop by crop.

    def init(key: Array, views: Views) -> tuple[Params, SwAVState]:
        stacks = two_global_crops(views)
        queue = None
        if queue_size:
            check_queue_size(queue_size, len(stacks[0]))
            queue = jnp.zeros((queue_size, 2, output_dim))
        key, prototypes_key = jax.random.split(key)
        params, stats = net.init(key, stacks[0][:, 0])
        rows = jax.random.uniform(
            prototypes_key, (num_prototypes, output_dim), minval=-1.0
        )
        return {**params, "prototypes": l2_normalize(rows)}, SwAVState(stats, queue)

    def loss(
        params: Params, state: SwAVState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[SwAVState, Metrics]]:
        del key
        prototypes = params["prototypes"]
        frozen = step < freeze_prototypes_steps
        prototypes = jnp.where(frozen, lax.stop_gradient(prototypes), prototypes)

        def scores_of(z: Array) -> Array:  # [n, V, D] -> [n, V, K]
            return einsum("nvd,kd->nvk", z, prototypes)

        out, stats = net.crops(params, state.stats, crop_stacks(views))
        z, queue = l2_normalize(out["projector"]), state.queue
        scores = scores_of(z)
        # Small crops see too little of the image to make codes (section 3.2).
        large = lax.stop_gradient(scores[:, :2])
        if queue is None:
            codes = assign(large)
        else:
            past = lax.stop_gradient(queue)
            start = round(queue_start_epoch * steps_per_epoch)
            codes = lax.cond(
                step >= start + queue_size // len(z),
                lambda: assign(jnp.concatenate([scores_of(past), large]))[queue_size:],
                lambda: assign(large),
            )
            queue = push(past, z[:, :2], step)
        value = swapped_prediction(scores, codes, temperature=temperature)
        return value, (SwAVState(stats, queue), assignment_metrics(codes))

    def update(
        params: Params, state: SwAVState, *, step: Array
    ) -> tuple[Params, SwAVState]:
        del step
        return {**params, "prototypes": l2_normalize(params["prototypes"])}, state

    kept = net.evaluated(
        "projector", chance=math.log(num_prototypes), prototypes=num_prototypes
    )
    return Method(views=views, init=init, loss=loss, update=update, **kept)
