"""CPC, predictive coding, on images (van den Oord et al., 2018, arXiv:1807.03748).

An image is a grid of overlapping patches, each seen alone by one encoder. From the rows
down to one of them a context network says what the rows below look like, and InfoNCE
asks which of all patches of the batch was meant. Version 2 (Hénaff et al., 2020,
arXiv:1905.09272) predicts in four directions.

Views: [B, g g, p, p, C] float, g x g patches of each image, row by row.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_ssl.core import checks
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.types import (
    Array,
    Batch,
    Features,
    Metrics,
    Params,
    PyTree,
    Variables,
)
from jax_ssl.losses.contrastive import Form, check_form
from jax_ssl.losses.grid_nce import grid_nce
from jax_ssl.nn.context import Contexts, LinearPredictors
from jax_ssl.nn.mlp import mlp_after
from jax_ssl.nn.network import GridNetwork, Heads, StatsState
from jax_ssl.nn.views import patch_grid
from jax_ssl.ops.patches import overlapping

# Where predictions point, and the quarter turns that make it downwards.
DIRECTIONS = {"down": 0, "up": 2, "right": 3, "left": 1}
UNSAID = (0.7, 0.8, 1.0)  # The colour of cells that are not predicted.
FORWARD, ASIDE = ("encoder", "context", "predictor"), ("target",)


class PatchEncoder(nn.Module):
    """An encoder of patches, applied to a grid of them.

    Attributes:
        encoder: of single patches; returns `Features`.
        patch: side of a patch in pixels.
        grid: patches along each side.
        whole: whole images are seen as they are, and not as a grid of patches.
    """

    encoder: nn.Module
    patch: int
    grid: int
    whole: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps patches [B, g g, p, p, C] to a grid [B, g, g, D] and its mean.

        Images [B, H, W, C] are cut into such patches, or seen whole.
        """
        if x.ndim == 4:
            if self.whole:
                return self.encoder(x, train=train)
            x = overlapping(x, self.patch, self.grid)
        flat = x.reshape(-1, *x.shape[2:])
        pooled = self.encoder(flat, train=train).pooled
        grid = pooled.reshape(len(x), self.grid, self.grid, -1)
        return Features(grid.mean((1, 2)), grid=grid, pyramid=(grid,))


def cpc_vision(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    *,
    patch: int = 64,
    grid: int = 7,
    horizons: tuple[int, ...] = (2, 3, 4, 5),
    directions: tuple[Literal["down", "up", "right", "left"], ...] = ("down",),
    context_layers: int = 5,
    context_width: int = 256,
    target_dim: int | None = None,
    evaluated: Literal["patches", "image"] = "patches",
    similarity: Form = "auto",
) -> Method:
    """Builds contrastive predictive coding around `encoder`; settings of version 1.

    Version 2 has all four directions, `target_dim=64`, larger patches with changes of
    their own (see `augment.patches.cpc_patches`) and layer norm in the encoder
    (`encoder.norm = "layer"`): batch norm sees the patches of an image together and can
    tell by its statistics what belongs together.

    The exported "encoder" sees grids of patches as well; "patch_encoder" is the one of
    single patches in it, for fine-tuning and the like.

    Each direction has a context network and linear maps of its own, one for each
    horizon. The candidates are all patches of all images of the global batch. The loss
    is the mean over directions and horizons of means over cells.

    Args:
        encoder: of single patches, of which the pooled features count.
        views: one example -> [g g, p, p, C].
        heads: modules in the place of those made here, by the name of their part.
        patch: side of a patch in pixels.
        grid: patches along each side.
        horizons: how many rows further the predictions are, below `grid`. From a row on
            that shares no pixels with the last one seen, or edges are matched; of
            patches that overlap by half that is 2.
        directions: in which is predicted.
        context_layers: blocks of `nn.context.RowContext`.
        context_width: channels inside of these.
        target_dim: width of a learned map of the patches' features that is predicted,
            shared by all directions; None for the features themselves.
        evaluated: what evaluation sees: "patches", a grid of them cut out of the image,
            whose features are averaged as in version 1; or the "image" as one patch.
        similarity: "gather", "ring" or "auto", the form of `grid_nce`.

    Raises:
        ValueError: if a setting is out of its range.
    """
    checks.at_least(1, patch=patch, context_layers=context_layers)
    checks.at_least(1, context_width=context_width, target_dim=target_dim)
    checks.at_least(2, grid=grid)
    checks.not_empty(horizons=horizons, directions=directions)
    checks.distinct(horizons=horizons, directions=directions)
    if not all(1 <= horizon < grid for horizon in horizons):
        raise ValueError(
            f"horizons = {horizons} must be at least 1 and below grid = {grid}, the "
            "rows of an image; leave out those that are not, or raise grid."
        )
    for direction in directions:
        checks.one_of(DIRECTIONS, directions=direction)
    checks.one_of(("patches", "image"), evaluated=evaluated)
    check_form(similarity, "similarity")
    dtype = getattr(encoder, "dtype", jnp.float32)
    made: dict[str, nn.Module] = {
        "context": Contexts(context_layers, context_width, dtype),
        "predictor": LinearPredictors(len(horizons), target_dim, dtype),
    }
    if target_dim is not None:
        made["target"] = mlp_after(encoder, (target_dim,), norm="none")
    patches = PatchEncoder(encoder, patch, grid, evaluated == "image")
    net = GridNetwork.of(patches, heads, **made)
    tasks = [*itertools.product(range(len(directions)), range(len(horizons)))]
    # By task: the cells that are predicted, one after the other, [g - horizon, g].
    numbers = np.arange(grid * grid).reshape(grid, grid)
    cells = [
        np.rot90(numbers, DIRECTIONS[directions[d]])[horizons[k] :] for d, k in tasks
    ]

    def part(params: Params, names: tuple[str, ...]) -> Params:
        return {name: params[name] for name in names if name in params}

    def turned(seen: Array) -> Array:
        """Grids [B, g, g, D] for each direction, [B, G, g, g, D], the past on top."""
        return jnp.stack(
            [jnp.rot90(seen, DIRECTIONS[way], axes=(1, 2)) for way in directions], 1
        )

    def init(key: Array, views: Array) -> tuple[Params, StatsState]:
        encoder_key, key, target_key = jax.random.split(key, 3)
        front = GridNetwork(encoder=patches)
        views = patch_grid(views, grid, patch, "cpc_patches")
        params, stats = front.init(encoder_key, views)
        seen, _ = jax.eval_shape(lambda: front(params, stats, views, train=False))
        cell = jnp.zeros((1, *seen["encoder"].grid.shape[1:]))
        parts = net.parts
        back = GridNetwork(context=parts["context"], predictor=parts["predictor"])
        aside = {name: parts[name] for name in ASIDE if name in parts}
        found = [(params, stats), back.init(key, turned(cell))]
        if aside:
            found.append(GridNetwork(**aside).init(target_key, cell))
        params, stats = (
            {name: own for each in group for name, own in each.items()}
            for group in zip(*found, strict=True)
        )
        return params, StatsState(stats)

    def compared(
        params: Params, stats: PyTree, seen: Array, *, train: bool = True
    ) -> tuple[list[Array], Array, PyTree]:
        """Predictions of each task [B, cells, T], targets [B, g g, T], next stats."""
        B = len(seen)
        out, stats = net(part(params, FORWARD[1:]), stats, turned(seen), train=train)
        target = seen.astype(jnp.float32)
        if "target" in net.parts:
            own, stats = net(part(params, ASIDE), stats, seen, train=train)
            target = own["target"]
        said = out["predictor"]  # [B, G, K, g, g, T], from the row they are made at
        predictions = [
            said[:, d, k, : grid - horizons[k]].reshape(B, -1, said.shape[-1])
            for d, k in tasks
        ]
        return predictions, target.reshape(B, grid * grid, -1), stats

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        out, stats = net(part(params, FORWARD[:1]), state.stats, views)
        seen = out["encoder"].grid
        predictions, targets, stats = compared(params, stats, seen)
        wanted = np.concatenate([each.reshape(-1) for each in cells])
        joined = jnp.concatenate(predictions, axis=1)
        losses, hits = grid_nce(joined, targets, wanted, form=similarity)
        ends = np.cumsum([each.size for each in cells])[:-1]
        value = jnp.stack([x.mean() for x in jnp.split(losses, ends)]).mean()
        accuracy = jnp.stack([x.mean() for x in jnp.split(hits, ends)])
        table = accuracy.reshape(len(directions), len(horizons))
        metrics = {"prediction_accuracy": table.mean()}
        for k, horizon in enumerate(horizons):
            metrics[f"accuracy_{horizon}_away"] = table[:, k].mean()
        if len(directions) > 1:
            for d, direction in enumerate(directions):
                metrics[f"accuracy_{direction}"] = table[d].mean()
        return value, (StatsState(stats), metrics)

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        images = examples["view"]
        B = len(images)
        seen, _ = net(
            part(params, FORWARD[:1]),
            state.stats,
            overlapping(images, patch, grid),
            train=False,
        )
        found = compared(params, state.stats, seen["encoder"].grid, train=False)
        candidates = found[1].reshape(B * grid * grid, -1)
        maps: dict[str, tuple[str, Array]] = {"image": ("view", images)}
        means: dict[str, tuple[str, Array]] = {}
        for (d, k), said, there in zip(tasks, found[0], cells, strict=True):
            place = there.reshape(-1)
            wanted = grid * grid * jnp.arange(B)[:, None] + place
            scores = jnp.einsum("bpt,nt->bpn", said, candidates)
            losses = optax.softmax_cross_entropy_with_integer_labels(scores, wanted)
            gain = jnp.clip(1 - losses / chance(B), 0, 1)
            right = jnp.mean(scores.argmax(-1) == wanted, axis=0, keepdims=True)
            title = f"{directions[d]}: {horizons[k]} away"
            if horizons[k] in (min(horizons), max(horizons)):
                maps[title] = "image", _painted(gain, place, grid)
            means[title] = "image", _painted(right, place, grid)
        among = f"among all {B * grid * grid:,} patches of these {B} images"
        return {
            "Patches that were foretold": Shown(
                maps,
                f"How surely each patch was meant {among}: black by chance or worse, "
                "white for certain, in between by the loss; blue is not foretold.",
            ),
            "How often, by horizon and place": Shown(
                means,
                f"How often the right patch was the first choice {among}: black never, "
                "white always; blue is not foretold.",
            ),
        }

    def chance(batch_size: int) -> float:
        return math.log(batch_size * grid * grid)

    def alone(params: Params, state: StatsState) -> Variables:
        """Of the encoder of single patches, for networks without a grid of them."""
        whole = kept["exports"]["encoder"](params, state)
        return {name: tree["encoder"] for name, tree in whole.items()}

    kept = net.evaluated(chance=chance)
    kept["exports"]["patch_encoder"] = alone
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)


def _painted(share: Array, place: np.ndarray, grid: int) -> Array:
    """Maps [n, 8 g, 8 g, 3] of shares [n, P] in [0, 1] at P cells; others are blue."""
    cells = jnp.broadcast_to(jnp.array(UNSAID), (len(share), grid * grid, 3))
    cells = cells.at[:, place].set(share[..., None])
    return cells.reshape(-1, grid, grid, 3).repeat(8, 1).repeat(8, 2)
