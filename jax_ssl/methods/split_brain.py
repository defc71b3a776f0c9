"""Split-brain autoencoder (Zhang et al., 2017, arXiv:1611.09842).

Two networks that share nothing: one sees the lightness of an image and predicts its
colours, the other sees the colours and predicts the lightness. Both features together
are the representation.

Views: [B, H, W, 3] float, sRGB in [0, 1], not standardized.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.fields import Fields
from jax_ssl.core.method import Method, Shown, ViewFn
from jax_ssl.core.types import Array, Batch, Features, Metrics, Params
from jax_ssl.losses.color import soft_cross_entropy, squared_distance
from jax_ssl.methods.colorization import (
    at_cells,
    colored,
    not_standardized,
    painted,
    scaled,
)
from jax_ssl.nn.heads import LinearHead
from jax_ssl.nn.network import GridNetwork, Heads, StatsState
from jax_ssl.ops.color_bins import annealed_mean, gamut_bins, soft_encode
from jax_ssl.ops.lab import rgb_to_lab


class SplitEncoder(nn.Module):
    """Two encoders, one of the lightness of an image and one of its colours.

    Attributes:
        encoder: what each of them is; returns `Features`.
    """

    encoder: nn.Module

    def setup(self) -> None:
        """Makes two encoders with variables of their own."""
        self.lightness = self.encoder.clone()
        self.color = self.encoder.clone()

    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps sRGB images [B, H, W, 3] in [0, 1] to the features of both, in a row.

        The first half of every width is that of the lightness.
        """
        return self.of_lab(rgb_to_lab(x), train=train)

    def of_lab(self, lab: Array, *, train: bool) -> Features:
        """The same of Lab images [B, H, W, 3]."""
        x = scaled(lab)
        halves = (
            self.lightness(x[..., :1], train=train)._replace(prediction=None),
            self.color(x[..., 1:], train=train)._replace(prediction=None),
        )
        return jax.tree.map(lambda *of: jnp.concatenate(of, axis=-1), *halves)


class SplitHead(nn.Module):
    """A linear layer for each half of the features.

    Attributes:
        color: outputs that the half of the lightness has.
        lightness: outputs that the half of the colours has.
        dtype: compute dtype; parameters are float32 and so is the output.
    """

    color: int
    lightness: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Maps x [..., 2 D] to both outputs in a row, [..., color + lightness]."""
        of_lightness, of_color = jnp.split(x, 2, axis=-1)
        color = LinearHead(self.color, 0.01, dtype=self.dtype, name="color")
        lightness = LinearHead(self.lightness, 0.01, dtype=self.dtype, name="lightness")
        outputs = color(of_lightness, train=train), lightness(of_color, train=train)
        return jnp.concatenate(outputs, axis=-1)


def split_brain(
    encoder: nn.Module,
    views: ViewFn,
    heads: Heads | None = None,
    view: ViewFn | None = None,
    fields: Fields | None = None,
    *,
    objective: Literal["classification", "regression"] = "classification",
    neighbors: int = 1,
    lightness_bins: int = 100,
) -> Method:
    """Builds a split-brain autoencoder of two copies of `encoder`.

    The paper splits AlexNet into halves of half its channels: give an encoder of half
    the width that the whole shall have. The loss is the sum of those of both halves,
    each a mean over the cells of the grids, of which each predicts one pixel as in
    `colorization`.

    Args:
        encoder: one half; returns `Features`. Evaluation keeps both, reads RGB, and
            gets the pooled features, grids and pyramids of both halves in a row.
        views: one example -> [H, W, 3] in [0, 1]; no step may standardize it.
        heads: modules in the place of those made here, by the name of their part.
        view: the evaluation's.
        fields: of the examples, to try that view on.
        objective: "classification" of 313 colours and of the lightness; or
            "regression" of a, b and L, the squared distance in units of 50.
        neighbors: bins that share the target of a colour; 1 for the nearest alone.
        lightness_bins: of equal width, over [0, 100].

    Raises:
        ValueError: if a number is out of its range, or the views are standardized.

    Note:
        Common and rare colours weigh alike, other than in `colorization`.
    """
    checks.one_of(("classification", "regression"), objective=objective)
    checks.at_least(2, lightness_bins=lightness_bins)
    checks.within(f"[1, {len(gamut_bins())}]", neighbors=neighbors)
    not_standardized(views, view, fields)
    classifies = objective == "classification"
    num_colors, num_lights = (
        (len(gamut_bins()), lightness_bins) if classifies else (2, 1)
    )
    dtype = getattr(encoder, "dtype", jnp.float32)
    net = GridNetwork.of(
        SplitEncoder(encoder), heads, predictor=SplitHead(num_colors, num_lights, dtype)
    )

    def init(key: Array, views: Array) -> tuple[Params, StatsState]:
        params, stats = net.init(key, colored(views))
        return params, StatsState(stats)

    def loss(
        params: Params, state: StatsState, views: Array, *, key: Array, step: Array
    ) -> tuple[Array, tuple[StatsState, Metrics]]:
        del key, step
        out, stats = net(params, state.stats, views)
        color, lightness = halves(out["predictor"])
        target = at_cells(rgb_to_lab(views), color)
        metrics: dict[str, Array] = {}
        if classifies:
            found, shares = soft_encode(target[..., 1:], neighbors)
            light = binned(target[..., :1])
            color_losses = soft_cross_entropy(color, found, shares)
            light_losses = soft_cross_entropy(lightness, light, jnp.ones(light.shape))
            metrics |= {
                "color_accuracy": jnp.mean(color.argmax(-1) == found[..., 0]),
                "lightness_accuracy": jnp.mean(lightness.argmax(-1) == light[..., 0]),
            }
        else:
            wanted = scaled(target)
            color_losses = squared_distance(color, wanted[..., 1:])
            light_losses = squared_distance(lightness, wanted[..., :1])
        color_loss, lightness_loss = color_losses.mean(), light_losses.mean()
        metrics |= {"color_loss": color_loss, "lightness_loss": lightness_loss}
        metrics = jax.lax.stop_gradient(metrics)
        return color_loss + lightness_loss, (StatsState(stats), metrics)

    def halves(prediction: Array) -> tuple[Array, Array]:
        return prediction[..., :num_colors], prediction[..., num_colors:]

    def binned(lightness: Array) -> Array:
        place = jnp.floor(lightness * (lightness_bins / 100))
        return jnp.clip(place, 0, lightness_bins - 1).astype(jnp.int32)

    def decoded(prediction: Array) -> tuple[Array, Array]:
        """(a, b) and L of every cell, [B, h, w, 2] and [B, h, w, 1]."""
        color, lightness = halves(prediction)
        if not classifies:
            return 50 * color, 50 * lightness + 50
        share = jax.nn.softmax(lightness, axis=-1)
        middles = (jnp.arange(lightness_bins) + 0.5) * (100 / lightness_bins)
        light = (share * middles).sum(-1, keepdims=True)
        return annealed_mean(color, 1.0), light

    def shows(
        params: Params, state: StatsState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        images = examples["view"]
        lab = rgb_to_lab(images)
        out, _ = net(params, state.stats, images, train=False)
        color, light = decoded(out["predictor"])
        grey = jnp.zeros((len(lab), 1, 1, 2))
        large = jax.image.resize(light, (*lab.shape[:3], 1), "bilinear")
        even = jnp.full_like(large, 70.0)
        columns = {
            "truth": images,
            "lightness: true": painted(lab, grey),
            "lightness: predicted": painted(large, grey),
            "colours: true": painted(even, lab[..., 1:]),
            "colours: predicted": painted(even, color),
            "both predictions": painted(large, color),
        }
        caption = (
            "What each half predicts from what the other one sees, for each cell of "
            "the grid and enlarged. Colours are shown at an even lightness of 70, "
            "where those that sRGB does not have there are clipped."
        )
        if classifies:
            caption += " Predictions are the means of what is thought possible."
        pictures = {name: ("view", each) for name, each in columns.items()}
        return {"Cross-channel predictions": Shown(pictures, caption)}

    chance = math.log(num_colors) + math.log(num_lights) if classifies else None
    kept = net.evaluated(chance=chance)
    return Method(views=views, init=init, loss=loss, shows=shows, **kept)
