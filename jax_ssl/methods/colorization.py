"""Colorful image colorization (Zhang et al., 2016, arXiv:1603.08511).

From the lightness of an image, a classifier on the encoder's grid predicts its colours,
as a distribution over 313 of them in every cell. Rare colours weigh more than common
ones, lest the prediction be grey.

Views: [B, H, W, 3] float, sRGB in [0, 1], not standardized.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ssl.augment.recipe import Recipe
from jax_ssl.augment.steps import Standardize
from jax_ssl.core import checks
from jax_ssl.core.fields import Fields, common_sides, spec_of
from jax_ssl.core.method import Method, Refresh, Shown, ViewFn, encoder_input
from jax_ssl.core.types import Array, Batch, Features, Metrics, Params
from jax_ssl.losses.color import soft_cross_entropy
from jax_ssl.nn.heads import LinearHead
from jax_ssl.nn.network import GridNetwork, Heads
from jax_ssl.nn.views import image
from jax_ssl.ops.color_bins import (
    annealed_mean,
    class_weights,
    gamut_bins,
    histogram,
    smoothed,
    soft_encode,
)
from jax_ssl.ops.lab import lab_to_rgb, rgb_to_lab

# |a| and |b| of the pixels of a grey image are nowhere above this (released code).
GREY = 5.0
# Of the pictures: from the mean to the mode, with the paper's 0.38 between them.
TEMPERATURES = (1.0, 0.77, 0.58, 0.38, 0.14, 0.01)


class ColorizationState(NamedTuple):
    """State that colorization carries beside its params."""

    stats: Any  # Running statistics of the encoder.
    prior: Array  # [313] share of the training set's pixels in each bin, smoothed.


class LightnessEncoder(nn.Module):
    """An encoder that sees the lightness of an image, 1 channel, for its colours.

    Attributes:
        encoder: returns `Features`.
    """

    encoder: nn.Module

    def __call__(self, x: Array, *, train: bool) -> Features:
        """Maps sRGB images [B, H, W, 3] in [0, 1] to features of their lightness."""
        return self.encoder(scaled(rgb_to_lab(x))[..., :1], train=train)


def colorization(
    encoder: nn.Module,
    views: ViewFn,
    num_examples: int,
    heads: Heads | None = None,
    prior: Array | None = None,
    view: ViewFn | None = None,
    fields: Fields | None = None,
    *,
    neighbors: int = 5,
    uniform_share: float = 0.5,
) -> Method:
    """Builds colorization around `encoder`; settings as in the paper.

    The encoder reads one channel, (L - 50) / 50, in training and in evaluation, where
    it makes it of RGB itself. Each cell of its grid predicts the colour of one pixel,
    that in the middle of its part of the image. The loss is the mean over all cells of
    the batch, to which those of grey images add 0.

    The prior is counted once, before the first step: every pixel of the evaluation's
    view of every training image that is not grey counts for the bin nearest to it, and
    the shares are smoothed by a Gaussian of 5.

    Args:
        encoder: returns `Features`; evaluation keeps it, with the lightness before it.
        views: one example -> [H, W, 3] in [0, 1]; no step may standardize it.
        num_examples: N, images of the data set.
        heads: modules in the place of those made here, by the name of their part.
        prior: [313] of another data set, in the place of one that is counted.
        view: the evaluation's.
        fields: of the examples, to try that view on.
        neighbors: bins that share the target of a cell, 5 in the paper and 10 in its
            released code.
        uniform_share: λ, of a uniform distribution mixed into the prior before its
            inverse is taken; 1 weighs all colours alike.

    Raises:
        ValueError: if a number is out of its range, the prior of another length, or the
            views are standardized.

    Note:
        In the released code the weights multiply the gradient alone, here also the
        loss that is logged.
    """
    bins = len(gamut_bins())
    checks.within(f"[1, {bins}]", neighbors=neighbors)
    checks.within("(0, 1]", uniform_share=uniform_share)
    not_standardized(views, view, fields)
    if prior is not None and jnp.shape(prior) != (bins,):
        raise ValueError(
            f"prior has the shape {jnp.shape(prior)}, and must have ({bins},), a share "
            "for each colour of ops.color_bins.gamut_bins."
        )
    dtype = getattr(encoder, "dtype", jnp.float32)
    net = GridNetwork.of(
        LightnessEncoder(encoder),
        heads,
        classifier=LinearHead(bins, 0.01, dtype=dtype),
    )

    def init(key: Array, views: Array) -> tuple[Params, ColorizationState]:
        params, stats = net.init(key, colored(views))
        known = jnp.full(bins, 1 / bins) if prior is None else jnp.float32(prior)
        return params, ColorizationState(stats, known)

    def loss(
        params: Params,
        state: ColorizationState,
        views: Array,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, tuple[ColorizationState, Metrics]]:
        del key, step
        out, stats = net(params, state.stats, views)
        ab = rgb_to_lab(views)[..., 1:]
        target = at_cells(ab, out["classifier"])
        found, shares = soft_encode(target, neighbors)
        losses = soft_cross_entropy(out["classifier"], found, shares)
        prior = jax.lax.stop_gradient(state.prior)
        weights = class_weights(prior, uniform_share)
        counts = is_colored(ab)
        own = weights[found[..., 0]] * counts[:, None, None]
        value = jnp.mean(own * losses)
        # The best that is the same for all cells, whatever the network sees.
        common = jnp.log(jnp.maximum(prior * weights, 1e-12))
        common = jnp.broadcast_to(common, out["classifier"].shape)
        metrics = {
            "prior_loss": jnp.mean(own * soft_cross_entropy(common, found, shares)),
            "color_accuracy": jnp.mean(out["classifier"].argmax(-1) == found[..., 0]),
            "grey_images": jnp.mean(1.0 - counts),
        }
        return value, (state._replace(stats=stats), metrics)

    def embed(params: Params, state: ColorizationState, batch: Batch) -> Array:
        del params, state
        ab = rgb_to_lab(batch["view"])[..., 1:]
        counts = jax.vmap(histogram)(ab.reshape(len(ab), -1, 2))
        return counts / math.prod(ab.shape[1:3]) * is_colored(ab)[:, None]

    def fit(
        params: Params, state: ColorizationState, features: Array, key: Array
    ) -> tuple[Params, ColorizationState, Metrics]:
        del key
        counts = features[:num_examples].sum(0)
        images = counts.sum()  # Those that are not grey.
        shares = jnp.where(images > 0, counts / jnp.maximum(images, 1), 1 / bins)
        metrics = {
            "colors_seen": jnp.mean(counts > 0),
            "grey_images": 1 - images / num_examples,
        }
        return params, state._replace(prior=smoothed(shares)), metrics

    def shows(
        params: Params, state: ColorizationState, examples: Batch, key: Array
    ) -> Mapping[str, Shown]:
        del key
        images = examples["view"]
        lab = rgb_to_lab(images)
        out, _ = net(params, state.stats, images, train=False)
        columns = {"grey": painted(lab, jnp.zeros((len(lab), 1, 1, 2)))}
        for t in TEMPERATURES:
            columns[f"T = {t:g}"] = painted(lab, annealed_mean(out["classifier"], t))
        columns["truth"] = images
        caption = (
            "What the network reads, the colours that it predicts with the annealed "
            "mean at several temperatures (1 is the mean, 0.38 the paper's choice, 0 "
            "would be the mode), and the image itself. The lightness is the true one; "
            "colours are predicted for each cell of the encoder's grid and enlarged."
        )
        pictures = {name: ("view", each) for name, each in columns.items()}
        return {"Colourings": Shown(pictures, caption)}

    kept = net.evaluated(chance=math.log(bins))
    counted = prior is None and uniform_share < 1
    refresh = Refresh(embed=embed, fit=fit, every_epochs=None) if counted else None
    return Method(
        views=views, init=init, loss=loss, refresh=refresh, shows=shows, **kept
    )


def scaled(lab: Array) -> Array:
    """Lab about 0 and in units of 50: L within [-1, 1], a and b within [-2.2, 2.2]."""
    return (lab - jnp.array([50.0, 0.0, 0.0])) / 50.0


def at_cells(values: Array, grid: Array) -> Array:
    """Of images [B, H, W, C] the pixels in the middle of a grid's cells, [B, h, w, C].

    Pixels are taken as they are, since the mean of several colours may be none of them.

    Args:
        values: of every pixel.
        grid: [B, h, w, ...], whose cells divide the image evenly.
    """
    for axis in (1, 2):
        count, size = grid.shape[axis], values.shape[axis]
        middles = (2 * jnp.arange(count) + 1) * size // (2 * count)
        values = jnp.take(values, middles, axis=axis)
    return values


def is_colored(ab: Array) -> Array:
    """1 for images [B, H, W, 2] with a pixel that is not grey, else 0; [B] float32."""
    return (jnp.abs(ab).max((1, 2, 3)) > GREY).astype(jnp.float32)


def painted(lab: Array, ab: Array) -> Array:
    """RGB images of the lightness of lab [B, H, W, 3] and colours ab [B, h, w, 2]."""
    large = jax.image.resize(ab, (*lab.shape[:3], 2), "bilinear")
    return lab_to_rgb(jnp.concatenate([lab[..., :1], large], axis=-1))


def colored(views: Array) -> Array:
    """The views, [B, H, W, 3].

    Raises:
        ValueError: if they are something else.
    """
    channels = image(views).shape[-1]
    if channels != 3:
        raise ValueError(
            f"the views have {channels} channel(s), and this method predicts the "
            "colours of RGB images; choose config.data with 3 channels."
        )
    return views


def not_standardized(
    views: ViewFn, view: ViewFn | None = None, fields: Fields | None = None
) -> None:
    """Refuses what standardizes, after which colours are others.

    Args:
        views: of training; a recipe says what its steps are.
        view: the evaluation's, which is shown a white example.
        fields: of the examples.

    Raises:
        ValueError: if one of them does.
    """
    parts = views.parts() if isinstance(views, Recipe) else {}
    steps = [step for stack in parts.values() for view in stack for step in view.steps]
    found = "views" if any(isinstance(step, Standardize) for step in steps) else ""
    if not found and view is not None and fields is not None:
        white = {
            name: jnp.full(x.shape, 255 if x.dtype == jnp.uint8 else 1, x.dtype)
            for name, x in spec_of(fields).items()
        }
        if "size" in fields:
            white["size"] = jnp.array(common_sides(fields))
        seen = encoder_input(view(jax.random.key(0), white))
        found = "evals.view" if jnp.max(jnp.abs(seen - 0.5)) > 0.51 else ""
    if found:
        raise ValueError(
            "this method reads colours of sRGB in [0, 1], and those of "
            f"config.{found} are standardized; set config.views.mean and "
            "config.views.std to None, and those of config.evals.view."
        )
