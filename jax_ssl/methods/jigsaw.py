"""Jigsaw puzzles, context-free network (Noroozi and Favaro, 2016, arXiv:1603.09246).

Nine tiles of an image are shuffled by one of K permutations, and a classifier says by
which. Every tile passes the same encoder alone; the classifier alone sees them all.

Views: [B, 9, s, s, C] float, tiles of a 3 x 3 grid, row by row.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jax_ssl.augment.tiles import TILES, pieced, visible
from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params, Views
from jax_ssl.nn.network import Heads
from jax_ssl.nn.tiles import TileNetwork
from jax_ssl.nn.views import tiles
from jax_ssl.ops.patches import gather_tokens
from jax_ssl.ops.permutations import permutation_set


class JigsawState(NamedTuple):
    """State of a jigsaw puzzle beside its params.

    Attributes:
        stats: running statistics of all parts.
        permutations: [K, 9] int32, what the classes mean; it never changes, and is here
            to be kept with the network.
    """

    stats: Any
    permutations: Array


def jigsaw(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    num_permutations: int = 1000,
    distance: Literal["mean", "minimum"] = "mean",
    permutation_seed: int = 0,
    tile_dim: int = 1024,
    hidden_dims: tuple[int, ...] = (4096,),
) -> Method:
    """Builds jigsaw puzzles; widths of the released code, with batch norm for dropout.

    A step draws one permutation for each image. Since the encoder sees tiles one by
    one, it is their features that are shuffled, which is the same.

    Args:
        encoder: of single tiles; evaluation keeps it and shows it whole images.
        views: one example -> tiles [9, s, s, C] in their order; see
            `augment.puzzles.jigsaw`.
        heads: modules in the place of those made here, by the name of their part:
            "projector" (tile by tile) and "classifier".
        num_permutations: K, the classes.
        distance: they are chosen to lie far apart by the "mean" or by the "minimum"
            Hamming distance; see `ops.permutations.permutation_set`.
        permutation_seed: of that choice.
        tile_dim: features of a tile, fc6 of the paper.
        hidden_dims: of the classifier between nine times these and the K scores.

    Raises:
        ValueError: if a setting is out of range.
    """
    checks.within("[0, 4294967295]", permutation_seed=permutation_seed)
    table = permutation_set(
        num_permutations, TILES, criterion=distance, seed=permutation_seed
    )
    network = TileNetwork(
        encoder,
        heads,
        tile_dim=tile_dim,
        hidden_dims=hidden_dims,
        classes=num_permutations,
        together=TILES,
    )

    def init(key: Array, views: Views) -> tuple[Params, JigsawState]:
        params, stats = network.init(key, tiles(views, "jigsaw"))
        return params, JigsawState(stats, jnp.asarray(table))

    def scores(
        params: Params, state: JigsawState, tiles: Array, choice: Array, *, train: bool
    ) -> tuple[Array, JigsawState]:
        """What is said of the tiles [B, 9, ...], shuffled by choice [B]: [B, K]."""
        found, stats = network.features(params, state.stats, tiles, train=train)
        shuffled = gather_tokens(found, state.permutations[choice])
        whole = shuffled.reshape(len(found), 1, -1)
        logits, stats = network.scores(params, stats, whole, train=train)
        return logits[:, 0], state._replace(stats=stats)

    def loss(
        params: Params, state: JigsawState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[JigsawState, Metrics]]:
        del step
        wanted = jax.random.randint(key, (len(views),), 0, num_permutations)
        logits, state = scores(params, state, views, wanted, train=True)
        value = optax.softmax_cross_entropy_with_integer_labels(logits, wanted).mean()
        accuracy = (logits.argmax(-1) == wanted).mean()
        return value, (state, {"jigsaw_accuracy": accuracy})

    def shows(
        params: Params, state: JigsawState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        rows = {name: x for name, x in examples.items() if name != "view"}
        draw_key, choice_key = jax.random.split(key)
        count = len(examples["view"])
        cut = jax.vmap(views)(jax.random.split(draw_key, count), rows)
        choice = jax.random.randint(choice_key, (count,), 0, num_permutations)
        logits, _ = scores(params, state, cut, choice, train=False)
        seen, row = visible(cut), jnp.arange(count)[:, None]
        shuffled = seen[row, state.permutations[choice]]
        # The tile that lies at place i goes where the permutation took it from.
        guess = jnp.argsort(state.permutations[logits.argmax(-1)], axis=1)
        columns = {
            "image": ("view", examples["view"]),
            "tiles: shuffled": ("image", pieced(shuffled)),
            "tiles: as the guess puts them": ("image", pieced(shuffled[row, guess])),
            "tiles: in their order": ("image", pieced(seen)),
        }
        caption = (
            "Tiles as the network sees them, brightened to be seen. The guess is one "
            f"of {num_permutations:,} permutations."
        )
        return {"Puzzles, put together": Shown(columns, caption)}

    kept = network.net.evaluated(chance=math.log(num_permutations))
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)
