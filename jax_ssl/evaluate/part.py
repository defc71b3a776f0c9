"""Features of one part of a data set, in pieces over the mesh or in files of the host.

Nothing here is replicated that grows with the data set. Every device holds, or has in a
file of its host, a run of consecutive examples.
"""

import functools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jax_ssl.core.types import Array, PyTree
from jax_ssl.parallel.mesh import replicated, row_sharding
from jax_ssl.parallel.rows import shard_count, take_rows
from jax_ssl.parallel.together import together
from jax_ssl.train.sweep import Sweep

# Rows that a device takes from its host at a time.
BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Part:
    """One kind of features of one part of a data set.

    Attributes:
        values: of n examples.
        fields: what the protocols need beside them, by name, [n, ...] each.
        rows: [n] row of the data set, -1 where a place holds no example.
        detail: how they were made, for results.json: "dimensions", and where they apply
            "corrupt_examples" (how many were left out) and "pooled_by".
        of_one: consecutive places that belong to one example, and have its row.
    """

    values: "Kept"
    fields: Mapping[str, np.ndarray]
    rows: np.ndarray
    detail: Mapping[str, Any] = field(default_factory=dict)
    of_one: int = 1

    @property
    def counts(self) -> np.ndarray:
        """[n] bool, the places that hold an example."""
        return self.rows >= 0

    @functools.cached_property
    def finite(self) -> bool:
        """Whether all features are finite numbers."""
        return all(bool(_finite(values)) for values, _ in self.values.blocks())

    def labelled(self, names: Iterable[str]) -> "Part":
        """The part without the examples whose label in such a field is below 0."""
        rows = self.rows
        for name in names:
            rows = np.where(self.fields[name] < 0, -1, rows)
        return replace(self, rows=rows)

    def gathered(self, field: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Features and a field of all examples, block by block, in every process."""
        for values, numbers in self.values.blocks():
            here = self.counts[numbers]
            yield gathered(values)[here], self.fields[field][numbers][here]


def left_out(
    given: Sequence[Part], own: Sequence[Part], labels: Sequence[str]
) -> dict[str, int]:
    """How many examples have no label, and how many of test a class unknown to train.

    Args:
        given: the two parts.
        own: the same without what has no label.
        labels: fields that hold labels.
    """
    missing = sum(int(part.counts.sum()) for part in given)
    missing -= sum(int(part.counts.sum()) for part in own)
    train, test = ([part.fields[n][part.counts] for n in labels] for part in own)
    unseen = sum(
        int((~np.isin(asked, there)).sum())
        for there, asked in zip(train, test, strict=True)
    )
    found = {"unlabelled_examples": missing, "examples_of_unseen_classes": unseen}
    return {words: count for words, count in found.items() if count}


class OnMesh:
    """Features in pieces over the devices of the ambient mesh."""

    def __init__(self, values: Array) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def take(self, numbers: np.ndarray) -> Array:
        """Rows of these numbers, [m, ...], on every device."""
        return _take(self.values, jnp.asarray(numbers, jnp.int32))

    def blocks(self) -> Iterator[tuple[Array, np.ndarray]]:
        """All rows at once, [n, ...] over the mesh, and their numbers [n]."""
        yield self.values, np.arange(len(self.values))


class OnHost:
    """Features in files of the hosts, each process having those of its own devices.

    The file of a process is deleted with the last of what reads it.

    Args:
        whole: shape [n, ...], n a multiple of the devices, and dtype of all features.
        mesh: of all devices.
    """

    def __init__(self, whole: jax.ShapeDtypeStruct, mesh: Mesh) -> None:
        self.shape, self.dtype, self._mesh = whole.shape, whole.dtype, mesh
        self._each = whole.shape[0] // mesh.size
        self._first = list(mesh.devices.flat).index(mesh.local_devices[0])
        local = (len(mesh.local_devices), self._each, *whole.shape[1:])
        with tempfile.TemporaryFile(prefix="jax_ssl-features-") as storage:
            self._rows = np.memmap(storage, whole.dtype, "w+", shape=local)
        self._filled = 0

    def append(self, batch: Array) -> None:
        """Writes the next rows of every device, [devices x b, ...] over the mesh."""
        shards = {shard.device: shard.data for shard in batch.addressable_shards}
        rows = np.stack([shards[device] for device in self._mesh.local_devices])
        self._rows[:, self._filled : self._filled + rows.shape[1]] = rows
        self._filled += rows.shape[1]

    def take(self, numbers: np.ndarray) -> Array:
        """Rows of these numbers, [m, ...], on every device."""
        device, place = np.divmod(np.asarray(numbers), self._each)
        mine = (device >= self._first) & (device < self._first + len(self._rows))
        rows = np.zeros((len(numbers), *self.shape[1:]), self.dtype)
        rows[mine] = self._rows[device[mine] - self._first, place[mine]]
        if jax.process_count() == 1:
            return jax.device_put(rows, replicated(self._mesh))
        # Each process gives what it has in the place of its first device, else zeros.
        given = np.zeros((len(self._rows), *rows.shape), rows.dtype)
        given[0] = rows
        where = row_sharding(self._mesh)
        return _sum(jax.make_array_from_process_local_data(where, given))

    def blocks(self) -> Iterator[tuple[Array, np.ndarray]]:
        """`BLOCK` rows of every device over the mesh, and their numbers, at a time."""
        starts = np.arange(self._mesh.size)[:, None] * self._each
        where = row_sharding(self._mesh)
        for at in range(0, self._each, BLOCK):
            rows = self._rows[:, at : at + BLOCK]
            numbers = starts + np.arange(at, at + rows.shape[1])
            flat = rows.reshape(-1, *self.shape[1:])
            yield jax.make_array_from_process_local_data(where, flat), numbers.ravel()


class Split:
    """Features [n, F, D] of n examples as those of n F, [n F, D].

    Args:
        whole: the features.
    """

    def __init__(self, whole: OnMesh | OnHost) -> None:
        self.whole, self.dtype = whole, whole.dtype
        self._each: int = whole.shape[1]
        self.shape = (whole.shape[0] * self._each, *whole.shape[2:])

    def take(self, numbers: np.ndarray) -> Array:
        """Rows of these numbers, [m, D], on every device."""
        example, place = np.divmod(np.asarray(numbers), self._each)
        return _one_of_each(self.whole.take(example), jnp.asarray(place, jnp.int32))

    def blocks(self) -> Iterator[tuple[Array, np.ndarray]]:
        """Blocks of rows over the mesh, and their numbers."""
        for values, numbers in self.whole.blocks():
            own = numbers[:, None] * self._each + np.arange(self._each)
            yield _flat(values), own.ravel()


Kept: TypeAlias = OnMesh | OnHost | Split


def swept(
    sweep: Sweep,
    whole: PyTree,
    *,
    most_bytes: float,
    advance: Callable[[int], None] = lambda rows: None,
) -> PyTree:
    """The results of a sweep as a tree of `Kept`.

    Args:
        sweep: of the examples.
        whole: what it reads beside them.
        most_bytes: that a device may hold of them; what is larger goes to files.
        advance: told the rows of every batch.
    """
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(sweep.shapes)]
    if sum(sizes) / sweep.mesh.size <= most_bytes:
        return jax.tree.map(OnMesh, sweep(whole, advance))
    kept = jax.tree.map(lambda leaf: OnHost(leaf, sweep.mesh), sweep.shapes)
    for batch in sweep.batches(whole, advance):
        jax.tree.map(OnHost.append, kept, batch)
    return kept


def on_host(kept: Kept) -> np.ndarray:
    """All rows [n, ...], in every process; for what is small."""
    out = np.zeros(kept.shape, kept.dtype)
    for values, numbers in kept.blocks():
        out[numbers] = gathered(values)
    return out


def gathered(values: Array) -> np.ndarray:
    """An array of the mesh on the host, in every process."""
    if values.is_fully_addressable:
        return np.asarray(values)
    return np.asarray(multihost_utils.process_allgather(values, tiled=True))


def part_of(features: np.ndarray, **fields: np.ndarray) -> Part:
    """A part from arrays in memory, over the ambient mesh if there is one.

    Args:
        features: [N, ...] float32.
        **fields: what the protocols need, such as label [N].
    """
    missing = -len(features) % shard_count()

    def filled(x: np.ndarray, **settings: Any) -> np.ndarray:
        return np.pad(x, [(0, missing)] + [(0, 0)] * (np.ndim(x) - 1), **settings)

    values = OnMesh(on_mesh(filled(np.asarray(features, np.float32))))
    rows = filled(np.arange(len(features)), constant_values=-1)
    own = {name: filled(x) for name, x in fields.items()}
    return Part(values, own, rows, {"dimensions": features.shape[-1]})


def on_mesh(rows: np.ndarray) -> Array:
    """Rows [n, ...] that every process has, over the devices of the ambient mesh."""
    mesh = jax.sharding.get_mesh()
    if mesh.empty:
        return jnp.asarray(rows)
    where = row_sharding(mesh)
    return jax.make_array_from_callback(rows.shape, where, rows.__getitem__)


_take = together(take_rows)
_flat = together(lambda values: values.reshape(-1, values.shape[-1]))
_one_of_each = together(
    lambda values, place: jnp.take_along_axis(values, place[:, None, None], 1)[:, 0]
)
_finite = together(lambda values: jnp.isfinite(values).all())
_sum = together(lambda spread: spread.sum(0))
