"""PIRL, pretext-invariant representations (Misra & van der Maaten, arXiv:1912.01991).

An image and a transformed one, a shuffled puzzle of its tiles or the image turned, are
both to be found in one memory bank, which holds what the images alone were. Without a
pretext task this is NPID++.

Views: {"image": [B, H, W, C] float, "transformed": [B, 9, s, s, C] (jigsaw) or
[B, H, W, C] (rotation), "index": [B] int32, row in the data set}.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.augment.invariant import PRETEXTS, Pretext
from jax_ssl.augment.tiles import pieced
from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.precise import matmul
from jax_ssl.core.types import Array, Batch, Metrics, Params, PyTree, Views
from jax_ssl.losses.instance import (
    Contrast,
    bank_contrast,
    contrast_chance,
    new_bank,
    remember,
)
from jax_ssl.nn.mlp import TORCH_UNIFORM, mlp_after
from jax_ssl.nn.network import Heads, Network
from jax_ssl.nn.views import one_and, transformed
from jax_ssl.ops.normalize import l2_normalize


class PIRLState(NamedTuple):
    """State that PIRL carries beside its params."""

    stats: Any  # Running statistics of the encoder.
    bank: Array  # [N or a few more, D] unit features, by row of the data set.
    partition: Array  # [] Z of both terms; 0 until the first step has estimated it.


class PuzzleProjector(nn.Module):
    """Features of the tiles of a puzzle, each mapped alone, then all of them together.

    Attributes:
        tile: maps the features of a tile.
        puzzle: maps what comes out of the tiles, side by side in their order.
    """

    tile: nn.Module
    puzzle: nn.Module

    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps x [B, 9, F] to [B, D]."""
        tiles = self.tile(x, train=train)
        return self.puzzle(tiles.reshape(len(x), -1), train=train)


def pirl(
    encoder: nn.Module,
    views: ViewFn,
    num_examples: int,
    heads: Heads | None = None,
    *,
    pretext: Pretext = "jigsaw",
    objective: Contrast = "nce",
    transformed_weight: float = 0.5,
    temperature: float = 0.07,
    num_negatives: int = 32000,
    momentum: float = 0.5,
    head_layers: int = 1,
    hidden_dim: int = 2048,
    output_dim: int = 128,
) -> Method:
    """Builds PIRL around `encoder`.

    The loss is λ times that of the transformed image and 1 - λ times that of the image.
    Each is to be told by the memory of its image from memories of other images, which
    are drawn for each of the two anew. The memory moves towards the image's feature
    alone. On a mesh with "fsdp" each device of that axis holds its share of the bank.

    Tiles pass the encoder and a head one by one; what comes out is laid side by side,
    in the order of the shuffled puzzle, and mapped linearly to the feature.

    Args:
        encoder: returns `Features`; evaluation keeps it.
        views: one example -> views; see `augment.invariant.pirl`.
        num_examples: n, images of the data set.
        heads: modules in the place of those made here, by the name of their part:
            "projector" of images [B, F], and "transformed_projector" of tiles [B, 9, F]
            or of turned images [B, F].
        pretext: "jigsaw", "rotation", or "none": no transformed image, which is NPID++.
        objective: "nce" with one constant Z, estimated in the first step from the
            transformed images, as in the released code; or "softmax" over the image
            and its noise, which that code has with two-layer heads.
        transformed_weight: λ, in [0, 1]; not read without a pretext.
        temperature: τ, positive.
        num_negatives: m, images drawn as noise for each row and term. Where m is not
            far below n, the image is often noise to itself.
        momentum: weight of the old memory, in [0, 1).
        head_layers: 1, a linear map of images and of tiles; or 2, with a ReLU between.
        hidden_dim: width between the two.
        output_dim: D, width of a feature.

    Raises:
        ValueError: if a number is out of its range.

    Note:
        As in the released code the encoder sees images and transformed ones one after
        the other, and running statistics of its batch norm are of both.
    """
    checks.one_of(PRETEXTS, pretext=pretext)
    checks.one_of(("nce", "softmax"), objective=objective)
    checks.within("[0, 1]", transformed_weight=transformed_weight)
    checks.positive(temperature=temperature)
    checks.at_least(1, num_negatives=num_negatives, head_layers=head_layers)
    checks.at_least(2, num_examples=num_examples)
    checks.within("[0, 1)", momentum=momentum)

    def head(layers: int) -> nn.Module:
        widths = (hidden_dim,) * (layers - 1) + (output_dim,)
        return mlp_after(encoder, widths, norm="none", kernel_init=TORCH_UNIFORM)

    made = {"projector": head(head_layers)}
    if pretext == "jigsaw":
        made["transformed_projector"] = PuzzleProjector(head(head_layers), head(1))
    elif pretext == "rotation":
        made["transformed_projector"] = head(head_layers)
    net = Network.of(encoder, heads, **made)
    own_head = ("transformed_projector",)

    def some(params: Params, names: tuple[str, ...]) -> Params:
        return {name: params[name] for name in names}

    def encoded(
        params: Params, stats: PyTree, seen: Array, *, train: bool = True
    ) -> tuple[Array, PyTree]:
        """Features of transformed images: ([B, 9, F] or [B, F], next stats)."""
        apply = net.together if pretext == "jigsaw" else net
        out, stats = apply(some(params, ("encoder",)), stats, seen, train=train)
        return net.handed_on(out["encoder"]), stats

    def of_images(
        params: Params, stats: PyTree, images: Array, *, train: bool = True
    ) -> tuple[Array, PyTree]:
        own = some(params, ("encoder", "projector"))
        out, stats = net(own, stats, images, train=train)
        return l2_normalize(out["projector"]), stats

    def of_transformed(
        params: Params, stats: PyTree, seen: Array, *, train: bool = True
    ) -> tuple[Array, PyTree]:
        x, stats = encoded(params, stats, seen, train=train)
        out, stats = net(some(params, own_head), stats, x, train=train)
        return l2_normalize(out["transformed_projector"]), stats

    def init(key: Array, views: Views) -> tuple[Params, PIRLState]:
        images, _ = one_and("index", views, "pirl")
        key, bank_key, head_key = jax.random.split(key, 3)
        front = Network(encoder=net.parts["encoder"], projector=net.parts["projector"])
        params, stats = front.init(key, images)
        if pretext == "none" and "transformed" in views:
            raise ValueError(
                "pretext = 'none' reads no transformed image, and the views hold one; "
                "set config.views.pretext = 'none' too, or another pretext here."
            )
        if pretext != "none":
            seen = transformed(views, pretext)
            spec, _ = jax.eval_shape(encoded, params, stats, seen)
            blank = jnp.zeros((1, *spec.shape[1:]), spec.dtype)
            last = Network(transformed_projector=net.parts["transformed_projector"])
            own, more = last.init(head_key, blank)
            params, stats = {**params, **own}, {**stats, **more}
        bank = new_bank(bank_key, num_examples, output_dim)
        return params, PIRLState(stats, bank, jnp.zeros(()))

    def loss(
        params: Params, state: PIRLState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[PIRLState, Metrics]]:
        del step
        index = views["index"]
        partition = jax.lax.stop_gradient(state.partition)
        v, stats = of_images(params, state.stats, views["image"])
        terms = [("image", 1.0, v)]
        if pretext != "none":
            seen, stats = of_transformed(params, stats, views["transformed"])
            # The first term estimates Z.
            terms = [
                ("transformed", transformed_weight, seen),
                ("image", 1 - transformed_weight, v),
            ]
        value: Any = 0.0
        metrics = {}
        keys = jax.random.split(key, len(terms))
        for own_key, (name, weight, feature) in zip(keys, terms, strict=True):
            shape = (len(index), num_negatives)
            slots = jax.random.randint(own_key, shape, 0, num_examples)
            own, found = bank_contrast(
                objective,
                feature,
                index,
                slots,
                state.bank,
                partition=partition,
                num_examples=num_examples,
                temperature=temperature,
            )
            value = value + weight * own
            partition = found["partition"]
            metrics[f"{name}_loss"] = jax.lax.stop_gradient(own)
            metrics[f"{name}_accuracy"] = found["contrastive_accuracy"]
        bank = remember(state.bank, index, v, momentum=momentum)
        return value, (PIRLState(stats, bank, partition), metrics)

    def shows(
        params: Params, state: PIRLState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        if pretext == "none":
            return {}
        images = examples["view"]
        rows = {name: x for name, x in examples.items() if name != "view"}
        seen = jax.vmap(views)(jax.random.split(key, len(images)), rows)["transformed"]
        v, _ = of_images(params, state.stats, images, train=False)
        asked, _ = of_transformed(params, state.stats, seen, train=False)
        nearest = jnp.argsort(-matmul(asked, v.T), axis=1)
        drawn = ("view", seen)
        if pretext == "jigsaw":
            drawn = ("view", pieced(seen))
        columns = {
            "image": ("view", images),
            "transformed": drawn,
            "nearest images: first": ("view", images[nearest[:, 0]]),
            "nearest images: second": ("view", images[nearest[:, 1]]),
        }
        caption = (
            "Each image, what the pretext task makes of it, and those of these "
            f"{len(images)} images whose features are nearest to the transformed one. "
            "A green frame: the first is its own, and the network is right; an orange "
            "one: it is another."
        )
        agrees = {"nearest images: first": nearest[:, 0] == jnp.arange(len(images))}
        shown = Shown(columns, caption, agrees=agrees)
        return {"Transformed images, found again": shown}

    chance = contrast_chance(objective, num_negatives)
    kept = net.evaluated("projector", chance=chance)
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)
