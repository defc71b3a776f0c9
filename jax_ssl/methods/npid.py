"""NPID, instance discrimination (Wu et al., 2018, arXiv:1805.01978).

Every image of the data set is a class of its own. A memory bank holds the feature that
each image had when it was last seen, and takes the place of a classifier's weights.

Views: {"image": [B, H, W, C] float, "index": [B] int32, row in the data set}.
"""

import math
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.core.types import Array, Metrics, Params, Views
from jax_ssl.losses.instance import (
    bank_nce,
    bank_softmax,
    contrast_chance,
    new_bank,
    remember,
)
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Heads, Network
from jax_ssl.nn.views import one_and
from jax_ssl.ops.normalize import l2_normalize


class NPIDState(NamedTuple):
    """State that NPID carries beside its params."""

    stats: Any  # Running statistics of the encoder.
    bank: Array  # [N or a few more, D] unit features, by row of the data set.
    partition: Array  # [] Z; 0 until the first step has estimated it.


def npid(
    encoder: nn.Module,
    views: ViewFn,
    num_examples: int,
    heads: Heads | None = None,
    *,
    objective: Literal["nce", "softmax"] = "nce",
    temperature: float = 0.07,
    num_negatives: int = 4096,
    momentum: float = 0.5,
    proximal_weight: float = 0.0,
    output_dim: int = 128,
) -> Method:
    """Builds NPID around `encoder`; settings as in sections 3 and 4.

    The feature is a linear map of the encoder's, at unit length. On a mesh with "fsdp"
    each device of that axis holds its share of the bank.

    Args:
        encoder: returns `Features`; evaluation keeps it.
        views: one example -> {"image": [H, W, C], "index": []}.
        num_examples: n, images of the data set.
        heads: modules in the place of those made here, by the name of their part.
        objective: "nce" contrasts with noise (section 3.2); "softmax" with all images
            (equation 2), for small data sets: the released code has it for CIFAR-10.
        temperature: τ, positive; 0.1 for CIFAR-10 in the released code.
        num_negatives: m, images drawn as noise for each row; not read by "softmax".
        momentum: weight of the old memory, in [0, 1).
        proximal_weight: λ, of the squared distance between a feature and
            its memory.
        output_dim: D, width of a feature.

    Raises:
        ValueError: if a number is out of its range.

    Note:
        The paper has λ = 30 and the released code no such term; that code's numbers are
        the published ones, and its bank starts with vectors of about unit length, not
        exactly.

        Where a corrupt image gave way to one of the same batch, the two rows are one
        image, and the memory of one of them stays.
    """
    checks.positive(temperature=temperature)
    checks.at_least(1, num_negatives=num_negatives)
    checks.at_least(2, num_examples=num_examples)
    checks.within("[0, 1)", momentum=momentum)
    head = mlp_after(encoder, (output_dim,), norm="none", kernel_init=TORCH_UNIFORM)
    net = Network.of(encoder, heads, projector=head)

    def init(key: Array, views: Views) -> tuple[Params, NPIDState]:
        images, _ = one_and("index", views, "npid")
        key, bank_key = jax.random.split(key)
        params, stats = net.init(key, images)
        bank = new_bank(bank_key, num_examples, output_dim)
        return params, NPIDState(stats, bank, jnp.zeros(()))

    def loss(
        params: Params, state: NPIDState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[NPIDState, Metrics]]:
        del step
        index = views["index"]
        out, stats = net(params, state.stats, views["image"])
        v = l2_normalize(out["projector"])
        known: dict[str, Any] = {
            "num_examples": num_examples,
            "temperature": temperature,
        }
        partition = jax.lax.stop_gradient(state.partition)
        if objective == "softmax":
            value, metrics = bank_softmax(v, index, state.bank, **known)
        else:
            shape = (len(index), num_negatives)
            slots = jax.random.randint(key, shape, 0, num_examples)
            value, metrics = bank_nce(
                v, index, slots, state.bank, partition=partition, **known
            )
            partition = metrics["partition"]
        # ‖v - f‖² = 2 - 2 v · f for unit vectors.
        value += proximal_weight * 2 * (1 - metrics["positive_similarity"])
        bank = remember(state.bank, index, v, momentum=momentum)
        return value, (NPIDState(stats, bank, partition), metrics)

    # The least that one probability for everything can cost, 1 / n or 1 / (1 + m).
    chance = contrast_chance("nce", num_negatives)
    if objective == "softmax":
        chance = math.log(num_examples)
    kept = net.evaluated("projector", chance=chance)
    return Method(views=views, init=init, loss=loss, **kept)
