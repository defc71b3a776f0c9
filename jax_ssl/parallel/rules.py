"""Where every leaf of a train state lives: path rules first, then the shape rule."""

import math
import re
from collections.abc import Sequence

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_ssl.core.paths import leaf_names, map_named
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
    size = math.prod(shape) * itemsize
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

    Raises:
        ValueError: if a rule matches no leaf, or does not fit one that it matches.
    """
    used = set()

    def place(name: str, leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return NamedSharding(mesh, P())
        for pattern, spec in rules:
            if re.search(pattern, name):
                used.add(pattern)
                _check_fits(name, leaf.shape, spec, mesh)
                return NamedSharding(mesh, spec)
        spec = shape_rule(leaf.shape, leaf.dtype.itemsize, mesh.shape["fsdp"])
        return NamedSharding(mesh, spec)

    placed = map_named(place, abstract)
    idle = [pattern for pattern, _ in rules if pattern not in used]
    if idle:
        names = [n for n in leaf_names(abstract) if "count" not in n]
        raise ValueError(
            f"mesh.rules: {idle[0]!r} decides over no array of the train state; their "
            f"names are {', '.join(names[:3])}, ..., {names[-1]}."
        )
    return placed


def _check_fits(name: str, shape: tuple[int, ...], spec: P, mesh: Mesh) -> None:
    """Refuses a spec that names other axes than the mesh, or cuts a length unequally.

    Raises:
        ValueError: naming the array, its shape, the spec and the axes of the mesh.
    """
    try:
        NamedSharding(mesh, spec).shard_shape(shape)
    except (IndexError, ValueError) as error:
        raise ValueError(
            f"mesh.rules: {spec} does not fit {name} of shape {shape} on a mesh with "
            f"the axes {dict(mesh.shape)}."
        ) from error
