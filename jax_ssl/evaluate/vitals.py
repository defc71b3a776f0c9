"""Vital signs of a network in training, on a few fixed images: is it collapsing?

Two views of every image go through the encoder and, where the method compares
embeddings, through its head; what comes out is measured by `evaluate.quality`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_ssl.core.method import Method
from jax_ssl.core.types import Array, Batch, Params, State, Views
from jax_ssl.evaluate import quality
from jax_ssl.evaluate.features import whole
from jax_ssl.parallel.rows import map_examples


def measure_of(method: Method, *, seed: int = 0) -> jax.stages.Wrapped:
    """The function (params, state, examples) -> vital signs, jitted.

    The views are drawn with a key of their own, so that they are the same ones at every
    step, and the networks run in evaluation mode, so that nothing moves. Compile and
    call it with the run's mesh installed.

    Args:
        method: of which views, encoder, `export` and `project` are used.
        seed: of the views.

    Returns:
        A function of params, state and {name: [N, ...]} examples, N a multiple of the
        devices, that returns `signs` of the encoder's pooled features as
        "representation_...", and if the method has `project`, of its embeddings as
        "embedding_...".
    """

    @jax.jit
    def measure(params: Params, state: State, examples: Batch) -> dict[str, Array]:
        variables = method.export(params, state)
        spaces: dict[str, Callable[[Array], Array]] = {
            "representation": functools.partial(_pooled, method.encoder, variables)
        }
        if method.project is not None:
            spaces["embedding"] = functools.partial(method.project, params, state)
        # Two draws, for some recipes make but one view, and others two of two kinds.
        a, b = (
            first_images(map_examples(method.views, key, examples))
            for key in jax.random.split(jax.random.key(seed))
        )
        return {
            f"{space}_{name}": value
            for space, embed in spaces.items()
            for name, value in signs(whole(embed(a)), whole(embed(b))).items()
        }

    return measure


def first_images(views: Views) -> Array:
    """The first view of every example: images [B, h, w, C].

    Of views of several sizes the largest, so that multi-crop has a global one.

    Args:
        views: a tree with leaves [B, h, w, C] or [B, V, h, w, C] float among others,
            such as masks and indices.

    Raises:
        ValueError: if there are no images.
    """
    images = [
        leaf
        for leaf in jax.tree.leaves(views)
        if leaf.ndim in (4, 5) and jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    if not images:
        shapes = jax.tree.map(jnp.shape, views)
        raise ValueError(f"there are no images among views of the shapes {shapes}.")
    largest = max(images, key=lambda leaf: leaf.shape[-3] * leaf.shape[-2])
    return largest if largest.ndim == 4 else largest[:, 0]


def signs(x: Array, y: Array) -> dict[str, Array]:
    """What can be seen of a collapse in features of two views of the same images.

    Args:
        x: [N, D].
        y: [N, D], another view of each row of `x`.

    Returns:
        [] float32 each. Of `x` at unit length: "std", the mean standard deviation of a
        feature times √D, 1 for directions spread evenly and 0 for one point; "rank",
        its RankMe; "directions", its participation ratio about the mean; "uniformity".
        Of `x` as it is: "length", root of the mean squared length. Of both:
        "alignment". And "dim", D.
    """
    dim = x.shape[1]
    x, y = (z.astype(jnp.float32) for z in (x, y))
    return {
        "std": quality.feature_std(x) * dim**0.5,
        "rank": quality.rankme(x),
        "directions": quality.participation_ratio(x),
        "alignment": quality.alignment(x, y),
        "uniformity": quality.uniformity(x),
        "length": jnp.sqrt(jnp.square(x).sum(1).mean()),
        "dim": jnp.float32(dim),
    }


def _pooled(encoder: Any, variables: Any, images: Array) -> Array:
    return encoder.apply(variables, images, train=False).pooled
