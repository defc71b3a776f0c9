"""Features of one part of a data set, in pieces over the mesh or in files of the host.

Nothing here is replicated that grows with the data set. Every device holds, or has in a
file of its host, a run of consecutive examples.
"""

import functools
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

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


class Kept(Protocol):
    """Where the features are.

    Attributes:
        shape: (n, ...).
    """

    shape: tuple[int, ...]

    def take(self, numbers: np.ndarray) -> Array:
        """Rows of these numbers, [m, ...], on every device."""

    def blocks(self) -> Iterator[tuple[Array, np.ndarray]]:
        """All rows, (values [m, ...] over the mesh, their numbers [m]) at a time."""


@dataclass(frozen=True, eq=False)
class Part:
    """One kind of features of one part of a data set.

    Attributes:
        values: of n examples.
        fields: what the protocols need beside them, by name, [n, ...] each.
        rows: [n] row of the data set, -1 where a place holds no example.
        detail: how they were made, for results.json: "dimensions", and where they apply
            "corrupt_examples" (how many were left out) and "pooled_by".
    """

    values: Kept
    fields: Mapping[str, np.ndarray]
    rows: np.ndarray
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> np.ndarray:
        """[n] bool, the places that hold an example."""
        return self.rows >= 0

    @functools.cached_property
    def finite(self) -> bool:
        """Whether all features of all examples are finite numbers."""
        return all(
            bool(_finite(values, _split(self.counts[numbers])))
            for values, numbers in self.values.blocks()
        )


class OnMesh:
    """Features in pieces over the devices of the ambient mesh."""

    def __init__(self, values: Array) -> None:
        self.values, self.shape = values, values.shape

    def take(self, numbers: np.ndarray) -> Array:
        """Rows of these numbers, [m, ...], on every device."""
        return _take(self.values, jnp.asarray(numbers, jnp.int32))

    def blocks(self) -> Iterator[tuple[Array, np.ndarray]]:
        """All rows at once."""
        yield self.values, np.arange(len(self.values))


class OnHost:
    """Features in files of the hosts, each process having those of its own devices.

    Args:
        rows: [devices of this process, n / devices, ...], a memory-mapped array.
        mesh: of all devices.
    """

    def __init__(self, rows: np.ndarray, mesh: Mesh) -> None:
        self._rows, self._mesh = rows, mesh
        self._each = rows.shape[1]
        self.shape = (mesh.size * self._each, *rows.shape[2:])
        self._first = list(mesh.devices.flat).index(mesh.local_devices[0])

    def take(self, numbers: np.ndarray) -> Array:
        """Rows of these numbers, [m, ...], on every device."""
        device, place = np.divmod(np.asarray(numbers), self._each)
        mine = (device >= self._first) & (device < self._first + len(self._rows))
        rows = np.zeros((len(numbers), *self.shape[1:]), self._rows.dtype)
        rows[mine] = self._rows[device[mine] - self._first, place[mine]]
        if jax.process_count() == 1:
            return jax.device_put(rows, replicated(self._mesh))
        # Each process gives what it has in the place of its first device, else zeros.
        given = np.zeros((len(self._rows), *rows.shape), rows.dtype)
        given[0] = rows
        where = row_sharding(self._mesh)
        return _sum(jax.make_array_from_process_local_data(where, given))

    def blocks(self) -> Iterator[tuple[Array, np.ndarray]]:
        """`BLOCK` rows of every device at a time."""
        starts = np.arange(self._mesh.size)[:, None] * self._each
        where = row_sharding(self._mesh)
        for at in range(0, self._each, BLOCK):
            rows = self._rows[:, at : at + BLOCK]
            numbers = starts + np.arange(at, at + rows.shape[1])
            flat = rows.reshape(-1, *self.shape[1:])
            yield jax.make_array_from_process_local_data(where, flat), numbers.ravel()


def swept(sweep: Sweep, whole: PyTree, *, most_bytes: float) -> PyTree:
    """The results of a sweep as a tree of `Kept`.

    Args:
        sweep: of the examples.
        whole: what it reads beside them.
        most_bytes: that a device may hold of them; what is larger goes to files, which
            are deleted with the last of the results.
    """
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(sweep.shapes)]
    if sum(sizes) / sweep.mesh.size <= most_bytes:
        return jax.tree.map(OnMesh, sweep(whole))
    mesh, devices = sweep.mesh, sweep.mesh.size
    local = len(mesh.local_devices)

    def file_of(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        shape = (local, leaf.shape[0] // devices, *leaf.shape[1:])
        with tempfile.TemporaryFile(prefix="jax_ssl-features-") as storage:
            return np.memmap(storage, leaf.dtype, "w+", shape=shape)

    found = jax.tree.map(file_of, sweep.shapes)
    at = 0
    for batch in sweep.batches(whole):
        rows = jax.tree.leaves(batch)[0].shape[0] // devices

        files, arrays = jax.tree.leaves(found), jax.tree.leaves(batch)
        for file, values in zip(files, arrays, strict=True):
            shards = {shard.device: shard.data for shard in values.addressable_shards}
            for place, device in zip(file, mesh.local_devices, strict=True):
                place[at : at + rows] = np.asarray(shards[device])
        at += rows
    return jax.tree.map(lambda file: OnHost(file, mesh), found)


def on_host(kept: Kept) -> np.ndarray:
    """All rows [n, ...], in every process; for what is small."""
    out = np.zeros(kept.shape)
    for values, numbers in kept.blocks():
        rows = gathered(values)
        out = out.astype(rows.dtype, copy=False)
        out[numbers] = rows
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
    rows = np.r_[np.arange(len(features)), np.full(missing, -1)]
    padded = {
        name: np.concatenate(
            [x, np.zeros((missing, *np.shape(x)[1:]), np.asarray(x).dtype)]
        )
        for name, x in {**fields, "": np.asarray(features, np.float32)}.items()
    }
    values = _split(padded.pop(""))
    return Part(OnMesh(values), padded, rows, {"dimensions": features.shape[-1]})


def on_mesh(rows: np.ndarray) -> Array:
    """Rows [n, ...] that every process has, over the devices of the ambient mesh."""
    return _split(rows)


def _split(rows: np.ndarray) -> Array:
    mesh = jax.sharding.get_mesh()
    if mesh.empty:
        return jnp.asarray(rows)
    where = row_sharding(mesh)
    return jax.make_array_from_callback(rows.shape, where, rows.__getitem__)


@together
def _take(values: Array, numbers: Array) -> Array:
    return take_rows(values, numbers)


@together
def _finite(values: Array, counts: Array) -> Array:
    there = counts.reshape(-1, *(1,) * (values.ndim - 1))
    return jnp.all(jnp.isfinite(values) | ~there)


@together
def _sum(spread: Array) -> Array:
    return spread.sum(0)
