"""Vital signs of a network in training, on a few fixed examples: is it collapsing?

Two views of every example go through the encoder and, where the method compares
embeddings, through its head; what comes out is measured by `evaluate.quality`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jax_ssl.core.method import Method, read_by_networks
from jax_ssl.core.types import Array, Batch, Params, State, Views
from jax_ssl.evaluate import quality
from jax_ssl.losses.prediction import output_std
from jax_ssl.parallel.rows import map_examples, shard_count

Measure = Callable[[Params, State, Batch], dict[str, Array]]


def measure_of(method: Method, rank: int, *, seed: int = 0) -> Measure:
    """The function (params, state, examples) -> vital signs, to be jitted.

    The views are drawn with a key of their own, so that they are the same ones at every
    step, and the networks run in evaluation mode, so that nothing moves. Call it with
    the run's mesh installed.

    Args:
        method: of which `views`, `encoder`, `exports` and `health` are used.
        rank: axes of one example as the encoder reads it: 3 for images, 1 for waves.
        seed: of the views.

    Returns:
        A function of params, state and {name: [N, ...]} examples, N a multiple of the
        devices, that returns `signs` of the encoder's pooled features as
        "representation_...", and if the method's head says something, of that as
        "embedding_...".
    """

    def measure(params: Params, state: State, examples: Batch) -> dict[str, Array]:
        # Two draws, for some recipes make but one view, and others two of two kinds.
        a, b = (
            first_views(map_examples(method.views, key, examples), rank)
            for key in jax.random.split(jax.random.key(seed))
        )
        variables = method.exports["encoder"](params, state)

        def pooled(x: Array) -> Array:
            return method.encoder.apply(variables, x, train=False).pooled

        found = {"representation": (pooled(a), pooled(b))}
        if (project := method.health.project) is not None:
            found["embedding"] = project(params, state, a), project(params, state, b)
        return {
            f"{space}_{name}": value
            for space, pair in found.items()
            for name, value in signs(*map(_everywhere, pair)).items()
        }

    return measure


def first_views(views: Views, rank: int) -> Array:
    """The first view of every example, [B, ...].

    Of views of several sizes the largest, so that multi-crop has a global one.

    Args:
        views: a tree with floating leaves [B, ...] or [B, V, ...] among others, such as
            masks and indices.
        rank: axes of one example as the encoder reads it.

    Raises:
        ValueError: if the encoder can read none of them.
    """
    read = [
        leaf if leaf.ndim == 1 + rank else leaf[:, 0]
        for leaf in jax.tree.leaves(read_by_networks(views))
        if leaf.ndim in (1 + rank, 2 + rank)
        and jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    if not read:
        shapes = jax.tree.map(jnp.shape, views)
        raise ValueError(
            f"the encoder reads examples of {rank} axes, and there are none among "
            f"views of the shapes {shapes}; config.evals.view and config.views must "
            "agree."
        )
    return max(read, key=lambda leaf: leaf[0].size)


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
        "std": output_std(x) * dim**0.5,
        "rank": quality.rankme(x),
        "directions": quality.participation_ratio(x),
        "alignment": quality.alignment(x, y),
        "uniformity": quality.uniformity(x),
        "length": jnp.sqrt(jnp.square(x).sum(1).mean()),
        "dim": jnp.float32(dim),
    }


def _everywhere(x: Array) -> Array:
    """The same rows on every device: the signs compare each with each."""
    return x if shard_count() == 1 else jax.lax.with_sharding_constraint(x, P())
