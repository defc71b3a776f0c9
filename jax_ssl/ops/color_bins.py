"""The 313 colours of Zhang et al. (2016, arXiv:1603.08511), and what is made of them.

A bin is a point (a, b) of Lab on a grid of step 10. Their set is that of the released
code (richzhang/colorization: pts_in_hull.npy), in its order, by the rule of
`gamut_bins`.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jax_ssl.core.precise import einsum, matmul
from jax_ssl.core.types import Array
from jax_ssl.ops.lab import rgb_to_lab

STEP = 10.0  # Of the grid, along a and along b.
REACH = 11  # Its points go from -110 to 110.
SIGMA = 5.0  # Of the Gaussian that shares a colour among bins.
DIRECTIONS = 720  # In which the border of the gamut is looked for.


@functools.cache
def gamut_bins() -> np.ndarray:
    """The bins [313, 2] float32: points within a step of the convex hull of sRGB.

    The hull is that of the (a, b) of all sRGB colours. A point belongs to the set if
    some point of the hull is less than a step away along a and along b alike, in other
    words if it is a corner of a cell of the grid that the hull enters. For this to be
    so, the point must not lie beyond the hull by more than the reach of such a square
    in any direction.
    """
    # The hull's corners lie on the edges of the cube of RGB.
    levels = np.linspace(0.0, 1.0, 256)
    edges = [
        np.insert(np.tile(ends, (256, 1)).astype(float), axis, levels, axis=1)
        for axis in range(3)
        for ends in itertools.product((0, 1), repeat=2)
    ]
    with jax.ensure_compile_time_eval():
        lab = jax.jit(rgb_to_lab)(np.concatenate(edges, dtype=np.float32))
    colors = np.asarray(lab)[:, 1:]
    line = STEP * np.arange(-REACH, REACH + 1)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    angles = np.linspace(0.0, 2 * np.pi, DIRECTIONS, endpoint=False)
    outward = np.stack([np.cos(angles), np.sin(angles)])  # [2, directions]
    farthest = (colors @ outward).max(0) + STEP * np.abs(outward).sum(0)
    return grid[(grid @ outward < farthest).all(1)].astype(np.float32)


def soft_encode(ab: Array, neighbors: int) -> tuple[Array, Array]:
    """Shares colours among the bins nearest to them.

    Args:
        ab: [..., 2].
        neighbors: k, bins for each colour, at most 313.

    Returns:
        (bins [..., k] int32, the nearest first; their shares [..., k], in proportion to
        exp(-d² / 2 σ²) of the distance d, with the sum 1).
    """
    squares = jnp.square(ab[..., None, :] - gamut_bins()).sum(-1)
    nearness, bins = lax.top_k(-squares, neighbors)
    return bins, jax.nn.softmax(nearness / (2 * SIGMA**2), axis=-1)


def histogram(ab: Array) -> Array:
    """How often each bin is the nearest one to sRGB colours: [n, 2] -> [313].

    The point of the whole grid that is nearest to such a colour is always a bin.
    """
    places = np.round(gamut_bins() / STEP).astype(np.int32) + REACH
    table = np.zeros((2 * REACH + 1,) * 2, np.int32)
    table[tuple(places.T)] = np.arange(len(places))
    a, b = jnp.clip(jnp.round(ab / STEP) + REACH, 0, 2 * REACH).astype(jnp.int32).T
    return jnp.zeros(len(places)).at[jnp.asarray(table)[a, b]].add(1.0)


def smoothed(prior: Array) -> Array:
    """A distribution [313] whose bins are shared among all bins, as a Gaussian does."""
    bins = gamut_bins().astype(np.float64)
    squares = np.square(bins[:, None] - bins).sum(-1)
    kernel = np.exp(-squares / (2 * SIGMA**2))
    return matmul(prior, jnp.float32(kernel / kernel.sum(1, keepdims=True)))


def class_weights(prior: Array, uniform_share: float) -> Array:
    """How much a pixel of each bin weighs, [313].

    w ∝ 1 / ((1 - λ) p + λ / 313), of mean 1 under the prior p [313], λ being
    `uniform_share`.
    """
    mixed = (1 - uniform_share) * prior + uniform_share / len(prior)
    return 1 / mixed / jnp.sum(prior / mixed)


def annealed_mean(logits: Array, temperature: float) -> Array:
    """The colour [..., 2] that scores of bins [..., 313] stand for.

    The mean of the distribution after its logarithms were divided by the temperature:
    1 is the mean itself, 0.38 the paper's choice, and towards 0 it becomes the mode.
    """
    share = jax.nn.softmax(logits.astype(jnp.float32) / temperature, axis=-1)
    return einsum("...q,qc->...c", share, gamut_bins())
