"""Networks of puzzles: one encoder for single tiles, one classifier for several."""

import functools
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, Params, PyTree
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import Heads, Network

TILE_PARTS = ("encoder", "projector")


class TileNetwork:
    """Encoder and projector see each tile alone, the classifier sees their outputs.

    Attributes:
        net: of the parts "encoder", "projector" and "classifier".
        together: how many tiles the classifier reads side by side.
    """

    def __init__(
        self,
        encoder: nn.Module,
        heads: Heads | None,
        *,
        tile_dim: int,
        hidden_dims: Sequence[int],
        classes: int,
        together: int,
    ) -> None:
        """Makes the heads: dense layers with norms and ReLU between them.

        Args:
            encoder: of tiles [n, s, s, C].
            heads: modules in the place of those made here, by the name of their part.
            tile_dim: features of a tile for the classifier.
            hidden_dims: widths of the classifier's inner layers.
            classes: of the puzzle.
            together: see above.

        Raises:
            ValueError: if a width is below 1, or a head is given that has no place.
        """
        checks.at_least(1, tile_dim=tile_dim, hidden_dims=tuple(hidden_dims))
        self.together = together
        self.net = Network.of(
            encoder,
            heads,
            projector=mlp_after(encoder, (tile_dim,), last_norm="affine"),
            classifier=mlp_after(encoder, (*hidden_dims, classes)),
        )

    def init(self, key: Array, tiles: Array) -> tuple[Params, PyTree]:
        """First params and stats for tiles [B, N, s, s, C]; both are keyed by part."""
        tile_key, key = jax.random.split(key)
        parts = self.net.parts
        front = Network(**{name: parts[name] for name in TILE_PARTS})
        params, stats = front.init(tile_key, tiles[:, 0])
        evaluate = functools.partial(front, train=False)
        seen, _ = jax.eval_shape(evaluate, params, stats, tiles[:, 0])
        width = self.together * seen["projector"].shape[-1]
        back = Network(classifier=parts["classifier"])
        own, more = back.init(key, jnp.zeros((1, width)))
        return {**params, **own}, {**stats, **more}

    def features(
        self, params: Params, stats: PyTree, tiles: Array, *, train: bool = True
    ) -> tuple[Array, PyTree]:
        """Of tiles [B, N, s, s, C], all in one pass: ([B, N, D], next stats)."""
        front = {name: params[name] for name in TILE_PARTS}
        seen, stats = self.net.together(front, stats, tiles, train=train)
        return nn.relu(seen["projector"]), stats

    def scores(
        self, params: Params, stats: PyTree, features: Array, *, train: bool = True
    ) -> tuple[Array, PyTree]:
        """Of groups of tiles, each side by side.

        Args:
            params: of all parts.
            stats: of all parts.
            features: [B, G, together * D].
            train: as for a `Network`.

        Returns:
            (scores [B, G, classes] float32, next stats).
        """
        back: Mapping[str, Params] = {"classifier": params["classifier"]}
        seen, stats = self.net.together(back, stats, features, train=train)
        return seen["classifier"].astype(jnp.float32), stats
