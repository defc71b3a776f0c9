"""Where every leaf of a train state lives: path rules first, then the shape rule."""

import re
from collections.abc import Sequence

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.core.paths import map_named
from jax_ssl.core.types import PyTree

FSDP_MIN_BYTES = 2**20  # Smaller leaves cost more to gather than they save.


def shape_rule(shape: tuple[int, ...], itemsize: int, fsdp: int) -> P:
    """Splits the largest dimension that `fsdp` divides, for leaves of 1 MiB and more.

    Args:
        shape: of the leaf.
        itemsize: bytes of one element.
        fsdp: size of the mesh's "fsdp" axis.

    Returns:
        A spec with "fsdp" at one place, or the replicated one.
    """
    size = itemsize
    for n in shape:
        size *= n
    divisible = [n for n in shape if n % fsdp == 0]
    if fsdp == 1 or size < FSDP_MIN_BYTES or not divisible:
        return P()
    at = shape.index(max(divisible))
    return P(*(None,) * at, "fsdp")


def shardings(
    abstract: PyTree, mesh: Mesh, rules: Sequence[tuple[str, P]] = ()
) -> PyTree:
    """Sharding of every leaf of `abstract`.

    Args:
        abstract: any tree of arrays or `ShapeDtypeStruct`s, usually a `TrainState`.
        mesh: with axes "data" and "fsdp".
        rules: (pattern of the "/"-joined path, spec); the first match wins. A leaf
            that none matches follows `shape_rule`, so a teacher is split as its
            student, and slots as their parameters.

    Returns:
        Tree of `NamedSharding`.
    """

    def place(name: str, leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        for pattern, spec in rules:
            if re.search(pattern, name):
                return NamedSharding(mesh, spec)
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return NamedSharding(mesh, P())
        spec = shape_rule(leaf.shape, leaf.dtype.itemsize, mesh.shape["fsdp"])
        return NamedSharding(mesh, spec)

    return map_named(place, abstract)
