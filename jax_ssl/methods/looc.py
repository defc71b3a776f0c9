"""LooC, leave-one-out contrastive learning (Xiao et al., 2021, arXiv:2008.05659).

One encoder, and a space of embeddings for each augmentation that shall not be
forgotten: in it the query is matched to the key that shares its draw of that one, and
told from the other keys of the same image. One more space is invariant to all of them.

Views: [B, 2 + n, H, W, C] float; view 0 is the query, view 1 a key that shares nothing
with it, view 1 + i the key that shares its draw of augmentation i.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.augment.invariant import LeaveOneOut
from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.precise import einsum
from jax_ssl.core.schedule import at
from jax_ssl.core.types import (
    Array,
    Batch,
    Features,
    Metrics,
    Params,
    State,
    Variables,
)
from jax_ssl.losses.contrastive import Form, check_form, info_nce
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Copy, Follow, Heads, Network
from jax_ssl.nn.norm import norm_groups
from jax_ssl.nn.views import stack
from jax_ssl.ops.normalize import l2_normalize
from jax_ssl.ops.queue import check_queue_size, push, random_queue


class LooCState(NamedTuple):
    """State that LooC carries beside its params."""

    stats: Any  # Running statistics of the query network.
    teacher: Copy  # "Key encoder", with its heads.
    queue: tuple[Array, ...]  # For each space [K, D] unit keys, as in MoCo.


class SpaceHeads(nn.Module):
    """An MLP for each space of embeddings, whose outputs have unit length.

    Attributes:
        mlp: what each of them is.
        count: of the spaces.
    """

    mlp: nn.Module
    count: int

    def setup(self) -> None:
        """Makes MLPs with variables of their own."""
        self.spaces = [self.mlp.clone() for _ in range(self.count)]

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps x [..., F] to the embeddings of all spaces in a row, [..., count D]."""
        outputs = [l2_normalize(space(x, train=train)) for space in self.spaces]
        return jnp.concatenate(outputs, axis=-1)


class SpacesEncoder(nn.Module):
    """An encoder whose pooled features are the embeddings of all spaces in a row.

    Attributes:
        encoder: returns `Features`.
        projector: maps pooled features [..., F] to all embeddings.
    """

    encoder: nn.Module
    projector: nn.Module

    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps what the encoder reads to its features, pooled ones but for these."""
        features = self.encoder(x, train=train)
        return features._replace(pooled=self.projector(features.pooled, train=train))


def looc(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    num_kept: int = 2,
    evaluated: Literal["encoder", "spaces"] = "encoder",
    temperature: float = 0.2,
    momentum: optax.Schedule | float = 0.999,
    queue_size: int = 16384,
    hidden_dim: int = 2048,
    output_dim: int = 128,
    head_layers: int = 2,
    shuffle: bool = True,
    similarity: Form = "auto",
) -> Method:
    """Builds LooC around `encoder`: MoCo v2 in n + 1 spaces.

    In space 0 the positive is key 0 and the negatives are a queue. In space i the
    positive is key i; the negatives are a queue of its own, and the other keys of the
    same image, which have drawn augmentation i otherwise. The loss is the mean over
    the spaces; with `num_kept=0` it is MoCo's.

    No code of the authors is public: which keys a queue takes, those that are the
    positives of its space, is this library's choice.

    Args:
        encoder: returns `Features`; evaluation keeps the query's.
        views: one example -> [2 + n, H, W, C]; see `augment.invariant.looc`.
        heads: modules in the place of those made here, by the name of their part. The
            "projector" returns unit vectors of all spaces in a row.
        num_kept: n, augmentations with a space of their own.
        evaluated: "encoder", or "spaces" (LooC++): pooled features are then the
            embeddings of all spaces in a row.
        temperature: τ, positive.
        momentum: weight of the old teacher.
        queue_size: K of each space, a multiple of the batch.
        hidden_dim: width of the heads' inner layers.
        output_dim: D, width of the embeddings of one space.
        head_layers: of each head.
        shuffle: shuffled batch norm of the keys, as in `moco`.
        similarity: "gather", "ring" or "auto", how devices see a queue.

    Raises:
        ValueError: if a number is out of its range, or the views are not so many.
    """
    checks.at_least(0, num_kept=num_kept)
    checks.one_of(("encoder", "spaces"), evaluated=evaluated)
    checks.positive(temperature=temperature)
    checks.at_least(1, head_layers=head_layers)
    check_form(similarity, "similarity")
    spaces = num_kept + 1
    widths = (hidden_dim,) * (head_layers - 1) + (output_dim,)
    mlp = mlp_after(encoder, widths, norm="none", kernel_init=TORCH_UNIFORM)
    net = Network.of(encoder, heads, projector=SpaceHeads(mlp, spaces))
    shuffled = shuffle and norm_groups(encoder) > 1
    # The teacher that makes the keys of a step has moved with that step's momentum.
    follow = Follow(momentum, clock="next")

    def init(key: Array, views: Array) -> tuple[Params, LooCState]:
        if (count := stack(views).shape[1]) != spaces + 1:
            raise ValueError(
                f"num_kept = {num_kept} reads {spaces + 1} views, a query, a key and "
                f"one more for each augmentation that is kept, and there are {count}; "
                f"set config.method.num_kept = {count - 2}, or let config.views.kept "
                f"have {num_kept} names."
            )
        check_queue_size(queue_size, len(views))
        key, queue_key = jax.random.split(key)
        params, stats = net.init(key, views[:, 0])
        keys = jax.random.split(queue_key, spaces)
        queues = tuple(random_queue(own, queue_size, output_dim) for own in keys)
        teacher = net.copy(params, stats, until="projector")
        return params, LooCState(stats, teacher, queues)

    def by_space(projected: Array) -> Array:  # [..., spaces D] -> [..., spaces, D]
        return projected.reshape(*projected.shape[:-1], spaces, output_dim)

    def loss(
        params: Params, state: LooCState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[LooCState, Metrics]]:
        out, stats = net(params, state.stats, views[:, 0])
        keys_out, teacher_stats = jax.lax.stop_gradient(
            net.each(*state.teacher, views[:, 1:], shuffle=key if shuffled else None)
        )
        q = by_space(out["projector"])  # [B, spaces, D]
        k = by_space(keys_out["projector"])  # [B, keys, spaces, D]
        losses, accuracies, queues = [], [], []
        for i, queue in enumerate(state.queue):
            own = None
            if i > 0:
                others = [j for j in range(spaces) if j != i]
                own = k[:, jnp.array(others), i]
            value, accuracy = info_nce(
                q[:, i],
                k[:, i, i],
                jax.lax.stop_gradient(queue),
                temperature=temperature,
                form=similarity,
                own=own,
            )
            losses.append(value)
            accuracies.append(accuracy)
            queues.append(push(queue, k[:, i, i], step))
        metrics = {f"space_{i}_accuracy": each for i, each in enumerate(accuracies)}
        metrics["momentum"] = at(momentum, step)
        teacher = state.teacher._replace(stats=teacher_stats)
        state = LooCState(stats, teacher, tuple(queues))
        return jnp.stack(losses).mean(), (state, metrics)

    def shows(
        params: Params, state: LooCState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        rows = {name: x for name, x in examples.items() if name != "view"}
        count = len(examples["view"])
        seen = jax.vmap(views)(jax.random.split(key, count), rows)
        out, _ = net.together(params, state.stats, seen, train=False)
        z = by_space(out["projector"])  # [n, V, spaces, D]
        named = views.kept if isinstance(views, LeaveOneOut) else ()
        names = ["invariant to all"] + [
            f"keeps {named[i] if i < len(named) else f'augmentation {i + 1}'}"
            for i in range(num_kept)
        ]
        columns: dict[str, tuple[str, Array]] = {"query": ("view", seen[:, 0])}
        keys = seen[:, 1:].reshape(-1, *seen.shape[2:])
        own = jnp.repeat(jnp.eye(count, dtype=bool), spaces, axis=1)  # [n, n keys]
        agrees = {}
        for i, name in enumerate(names):
            asked = z[:, 0, i]
            scores = einsum("nd,md->nm", asked, z[:, 1:, i].reshape(-1, output_dim))
            nearest = scores.argmax(1)
            columns[f"{name}: nearest key"] = "view", keys[nearest]
            agrees[f"{name}: nearest key"] = nearest // spaces == jnp.arange(count)
            others = jnp.where(own, -jnp.inf, scores).argmax(1)
            columns[f"{name}: of another image"] = "view", keys[others]
        caption = (
            "A query and, in each space, the nearest of all keys of these "
            f"{count} images, and the nearest of those of other images. A key with a "
            "green frame is of the query's image, one with an orange frame of another. "
            "A space that keeps an augmentation finds keys that look alike in that "
            "respect."
        )
        shown = Shown(columns, caption, agrees=agrees)
        return {"Neighbours in each space": shown}

    chance = math.log(1 + queue_size)
    chance = (chance + num_kept * math.log(1 + queue_size + num_kept)) / spaces
    kept = net.evaluated("projector", chance=chance)
    if evaluated == "spaces":
        kept["encoder"] = SpacesEncoder(encoder, net.parts["projector"])

        def export(params: Params, state: State) -> Variables:
            parts = {"params": params, **_by_collection(state.stats)}
            return {
                name: {part: own[part] for part in net.parts if part in own}
                for name, own in parts.items()
            }

        kept["exports"] = {"encoder": export, "backbone": kept["exports"]["encoder"]}
        kept["loads"]["encoder"] = replace(kept["loads"]["encoder"], export="backbone")
    return Method(views=views, init=init, loss=loss, update=follow, shows=shows, **kept)


def _by_collection(stats: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Stats by part, {part: {collection: tree}}, by collection first."""
    found: dict[str, dict[str, Any]] = {}
    for part, own in stats.items():
        for collection, tree in own.items():
            found.setdefault(collection, {})[part] = tree
    return found
