"""Features of every image of a source, by a frozen encoder or straight from the pixels.

The untrained control is `extract` with freshly initialised variables; the raw-pixel
control is `pixels`. Both see the images through the view that the encoder sees.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from jax_ssl.core.method import ViewFn
from jax_ssl.core.types import Array, Batch, PyTree, Variables
from jax_ssl.data.order import decoded
from jax_ssl.data.source import CorruptExamples, Rows, Source
from jax_ssl.parallel.feed import to_global
from jax_ssl.parallel.mesh import replicated
from jax_ssl.parallel.rows import map_examples, shard_count

# What is known of a batch's places: "row" in the source and, if it has one, "label".
Known: TypeAlias = Mapping[str, Array]
ROW = "row"
_READ = "rows read"  # Among the leaves of a piece that a thread has read.


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features in the order of their source.

    Attributes:
        features: [N, D] float32.
        labels: [N] int32, or None where the source has none.
        rows: [N] int32, the source's row of each; corrupt rows are left out.
        detail: how they were made, for results.json: "dimensions", and where they apply
            "corrupt_examples" (how many were left out) and "pooled_by".
    """

    features: np.ndarray
    labels: np.ndarray | None
    rows: np.ndarray
    detail: Mapping[str, Any] = field(default_factory=dict)


def extract(
    encoder: Any,
    variables: Variables,
    source: Source,
    view: ViewFn,
    *,
    batch_size: int = 512,
    workers: int = 0,
) -> FeatureSet:
    """Pooled features of every example of `source`.

    The encoder runs with `train=False`, so no statistic moves. Rows are shared by the
    devices of the mesh that `jax.set_mesh` has installed, if any. One program is
    compiled for each encoder, view, batch size and image shape, and kept: a later call
    with other variables compiles nothing.

    Args:
        encoder: linen module; `__call__(x [B, h, w, C], *, train)` returns `Features`.
        variables: of the encoder; read, never written.
        source: examples of one shape.
        view: one example -> one float image; its key is a constant.
        batch_size: of the forward pass, rounded up to a multiple of the devices. It
            does not change the features beyond rounding.
        workers: threads that read and decode; 0 for one per core.

    Returns:
        FeatureSet of width D.

    Raises:
        ValueError: if the source or all of it that can be read is empty.
    """
    embed = partial(_encode, encoder, view, variables)
    return _collect(embed, source, batch_size, workers)


def pixels(
    source: Source,
    view: ViewFn,
    *,
    batch_size: int = 512,
    max_dim: int = 3072,
    workers: int = 0,
) -> FeatureSet:
    """The view's own pixels as features, the control that any encoder must beat.

    Args:
        source: as in `extract`.
        view: as in `extract`.
        batch_size: as in `extract`.
        max_dim: larger images are averaged over squares of the least side at which they
            have no more than this many values (224 x 224 x 3: side 7, leaving
            32 x 32 x 3); `detail["pooled_by"]` holds the side. At the right and bottom,
            what fills no square is left out.
        workers: as in `extract`.

    Returns:
        FeatureSet of width h * w * C, rows of the image first.
    """
    batch = {
        name: jax.ShapeDtypeStruct((shard_count(), *leaf.shape), leaf.dtype)
        for name, leaf in source.fields.items()
    }
    image = jax.eval_shape(partial(_view, view), batch).shape[1:]
    side = pooling_side(image, max_dim)
    found = _collect(partial(_flatten, view, side), source, batch_size, workers)
    detail = {**found.detail, "pooled_by": side} if side > 1 else found.detail
    return FeatureSet(found.features, found.labels, found.rows, detail)


def pooling_side(image: tuple[int, ...], max_dim: int) -> int:
    """Least side of squares whose means are at most `max_dim` values of an image.

    Raises:
        ValueError: if `max_dim` is less than the image's channels.
    """
    height, width, channels = image
    if max_dim < channels:
        raise ValueError(f"max_dim = {max_dim} is less than the {channels} channels.")
    side = 1
    while max(height // side, 1) * max(width // side, 1) * channels > max_dim:
        side += 1
    return side


def _view(view: ViewFn, batch: Batch) -> Array:
    images = map_examples(view, jax.random.key(0), batch)
    if not isinstance(images, jax.Array) or images.ndim != 4:
        shapes = jax.tree.map(lambda leaf: leaf.shape[1:], images)
        raise ValueError(
            f"the evaluation's view made {shapes} of an example; it must make one "
            "float image [h, w, C]: use center_crop or identity."
        )
    return images


# Encoder and view are hashed: linen modules by value, functions by identity.
@partial(jax.jit, static_argnums=(0, 1))
def _encode(
    encoder: Any, view: ViewFn, variables: Variables, batch: Batch, known: Known
) -> tuple[Array, Known]:
    pooled = encoder.apply(variables, _view(view, batch), train=False).pooled
    return whole((pooled.astype(jnp.float32), known))


@partial(jax.jit, static_argnums=(0, 1))
def _flatten(
    view: ViewFn, side: int, batch: Batch, known: Known
) -> tuple[Array, Known]:
    images = _view(view, batch).astype(jnp.float32)
    B, height, width, channels = images.shape
    tall, wide = min(side, height), min(side, width)
    h, w = height // tall, width // wide
    squares = images[:, : h * tall, : w * wide]
    squares = squares.reshape(B, h, tall, w, wide, channels)
    return whole((squares.mean(axis=(2, 4)).reshape(B, -1), known))


def _collect(
    embed: Callable[[Batch, Known], tuple[Array, Known]],
    source: Source,
    batch_size: int,
    workers: int,
) -> FeatureSet:
    if batch_size < 1 or len(source) < 1:
        raise ValueError(
            f"cannot take features of {len(source)} examples of {source.name} with "
            f"batch_size = {batch_size}; both must be at least 1."
        )
    shards = shard_count()
    size = -(-min(batch_size, len(source)) // shards) * shards
    parts: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []

    def keep(output: tuple[Array, Known]) -> None:
        features, known = jax.tree.map(np.asarray, output)
        real = known[ROW] >= 0
        parts.append((features[real], {k: v[real] for k, v in known.items()}))

    waiting = None
    for batch, known in _batches(source, size, workers):
        output = embed(_put(batch), _put(known))  # Returns before it is computed.
        if waiting is not None:
            keep(waiting)
        waiting = output
    assert waiting is not None
    keep(waiting)
    features = np.concatenate([features for features, _ in parts])
    known = {k: np.concatenate([part[k] for _, part in parts]) for k in parts[0][1]}
    if not len(features):
        raise ValueError(f"not one of {len(source)} rows of {source.name} can be read.")
    detail: dict[str, Any] = {"dimensions": features.shape[1]}
    if len(features) < len(source):
        detail["corrupt_examples"] = len(source) - len(features)
    return FeatureSet(features, known.get("label"), known[ROW], detail)


def _batches(
    source: Source, size: int, workers: int
) -> Generator[tuple[Rows, Rows], None, None]:
    """This process's share of every batch of `size` rows, in order.

    Yields:
        (examples, what is known of them): "row" is -1 where a place holds a filler.
    """
    # Without a mesh every process computes everything for itself.
    count = 1 if jax.sharding.get_mesh().empty else jax.process_count()
    mine = size // count
    first = mine * jax.process_index() if count > 1 else 0
    order = np.arange(len(source))
    starts = range(first, -(-len(source) // size) * size, size)
    lists = ((order, order[start : start + mine]) for start in starts)
    with closing(decoded(_Readable(source), lists, mine, workers)) as read:
        for batch in read:
            rows = batch.pop(_READ)
            if not len(rows):
                batch = {
                    k: np.ones((1, *v.shape), v.dtype) for k, v in source.fields.items()
                }
            # Fillers are copies of the first example: views meet nothing odd.
            places = np.r_[np.arange(len(rows)), np.zeros(mine - len(rows), int)]
            batch = {name: leaf[places] for name, leaf in batch.items()}
            known = {ROW: np.r_[rows, np.full(mine - len(rows), -1)].astype(np.int32)}
            if "label" in batch:
                known["label"] = batch["label"].astype(np.int32)
            yield batch, known


class _Readable:
    """Reads what can be read, and says which rows that was."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def read(self, order: np.ndarray, places: np.ndarray) -> Rows:
        rows = order[places]
        while len(rows):
            try:
                return {**self.source[rows], _READ: rows}
            except CorruptExamples as error:
                rows = rows[~np.isin(rows, list(error.reasons))]
        fields = self.source.fields.items()
        return {k: np.ones((0, *v.shape), v.dtype) for k, v in fields} | {_READ: rows}


def _put(batch: Rows) -> Batch:
    """Rows over the ambient mesh."""
    mesh = jax.sharding.get_mesh()
    return jax.device_put(batch) if mesh.empty else to_global(batch, mesh)


def everywhere(x: np.ndarray) -> Array:
    """`x` on every device of the ambient mesh, or on the default device without one."""
    mesh = jax.sharding.get_mesh()
    return jnp.asarray(x) if mesh.empty else jax.device_put(x, replicated(mesh))


def whole(tree: PyTree) -> PyTree:
    """The same arrays on every device, so that every process can read all of them."""
    if shard_count() == 1:
        return tree
    return jax.lax.with_sharding_constraint(tree, P())
