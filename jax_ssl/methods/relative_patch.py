"""Relative patch location (Doersch et al., 2015, arXiv:1505.05192).

Two patches of an image are shown, and a classifier says at which of the eight places
around the first the second was. Both pass the same encoder, one by one.

Views: [B, 9, s, s, C] float, patches of a 3 x 3 grid, row by row.
"""

import math
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_ssl.augment.tiles import pieced, visible
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Metrics, Params, Views
from jax_ssl.nn.network import Heads, StatsState
from jax_ssl.nn.tiles import TileNetwork
from jax_ssl.nn.views import tiles

MIDDLE = 4  # Of the nine, row by row.
PLACES = 8
AROUND = np.delete(np.arange(PLACES + 1), MIDDLE)  # By label: the place on the grid.
LABELS = np.arange(PLACES)
# (first, second) of all pairs with the middle one, in both orders, and their labels:
# the way back from a place is the way to the opposite one.
FIRST = np.concatenate([np.full(PLACES, MIDDLE), AROUND])
SECOND = np.concatenate([AROUND, np.full(PLACES, MIDDLE)])
WANTED = np.concatenate([LABELS, PLACES - 1 - LABELS])


def relative_patch(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    patch_dim: int = 4096,
    hidden_dims: tuple[int, ...] = (4096, 4096),
) -> Method:
    """Builds the prediction of relative places; widths of the released code.

    The middle patch makes a pair with each of its neighbours, in both orders: 16 pairs
    of 9 patches, every label twice, so that ln 8 is exactly the loss by chance. The
    released code pairs all neighbours of a larger grid. Its loss is the sum over pairs,
    here it is the mean. Labels are row by row for the place of the second patch as seen
    from the first: 0 is above at the left, 7 below at the right, and swapped patches
    have 7 - label.

    Args:
        encoder: of single patches; evaluation keeps it and shows it whole images.
        views: one example -> patches [9, s, s, C]; see `augment.puzzles.relative_patch`
            for what keeps the network from seeing places without seeing things.
        heads: modules in the place of those made here, by the name of their part:
            "projector" (patch by patch) and "classifier".
        patch_dim: features of a patch, fc6 of the paper.
        hidden_dims: of the classifier between the pair of these and the eight scores.

    Raises:
        ValueError: if a width is below 1.
    """
    network = TileNetwork(
        encoder,
        heads,
        tile_dim=patch_dim,
        hidden_dims=hidden_dims,
        classes=PLACES,
        together=2,
    )

    def init(key: Array, views: Views) -> tuple[Params, StatsState]:
        params, stats = network.init(key, tiles(views, "relative_patch"))
        return params, StatsState(stats)

    def scores(
        params: Params, state: StatsState, patches: Array, *, train: bool
    ) -> tuple[Array, StatsState]:
        """What is said of all pairs, [B, 16, 8]."""
        found, stats = network.features(params, state.stats, patches, train=train)
        pairs = jnp.concatenate([found[:, FIRST], found[:, SECOND]], axis=-1)
        logits, stats = network.scores(params, stats, pairs, train=train)
        return logits, StatsState(stats)

    def loss(
        params: Params, state: StatsState, views: Views, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        logits, state = scores(params, state, views, train=True)
        wanted = jnp.broadcast_to(WANTED, logits.shape[:2])
        value = optax.softmax_cross_entropy_with_integer_labels(logits, wanted).mean()
        accuracy = (logits.argmax(-1) == wanted).mean()
        return value, (state, {"relative_patch_accuracy": accuracy})

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        rows = {name: x for name, x in examples.items() if name != "view"}
        draw_key, place_key = jax.random.split(key)
        count = len(examples["view"])
        patches = jax.vmap(views)(jax.random.split(draw_key, count), rows)
        logits, _ = scores(params, state, patches, train=False)
        label = jax.random.randint(place_key, (count,), 0, PLACES)
        row = jnp.arange(count)
        said = logits[row, label].argmax(-1)
        seen = visible(patches)
        second = seen[row, jnp.asarray(AROUND)[label]]

        def placed(label: Array) -> Array:
            """The middle patch and the second one where the label says."""
            there = jnp.arange(PLACES + 1) == jnp.asarray(AROUND)[label][:, None]
            middle = jnp.arange(PLACES + 1)[:, None, None, None] == MIDDLE
            blank = jnp.where(middle, seen, 0.5)
            return pieced(
                jnp.where(there[..., None, None, None], second[:, None], blank)
            )

        columns = {
            "image": ("view", examples["view"]),
            "the pair: first": ("image", seen[:, MIDDLE]),
            "the pair: second": ("image", second),
            "place of the second: as guessed": ("image", placed(said)),
            "place of the second: true": ("image", placed(label)),
        }
        caption = (
            "Patches as the network sees them, brightened to be seen. The network is "
            "given the pair and nothing else."
        )
        return {"Where the second patch was": Shown(columns, caption)}

    kept = network.net.evaluated(chance=math.log(PLACES))
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)
