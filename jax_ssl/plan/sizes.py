"""Bytes of each device's memory that a compiled step holds, by kind."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax

from jax_ssl.core.types import PyTree
from jax_ssl.plan.hlo import Computation, Instruction, Shape

# By the path of an argument of `Program.call`; the first prefix that fits.
ARGUMENTS = (
    ("train.params", "parameters"),
    ("train.opt_state", "optimizer"),
    ("train.", "state"),
    ("data", "resident"),
    ("payload", "batch"),
)
KINDS = (
    *dict.fromkeys(kind for _, kind in ARGUMENTS),
    "outputs",
    "temporaries",
    "code",
)


@dataclass(frozen=True, kw_only=True)
class Array:
    """An array in a device's memory.

    Attributes:
        shape: as "bf16[8,32]".
        made_by: path of the operation in the traced step, or "".
        bytes: of its elements.
        padded_bytes: in memory, its tiles filled up.
    """

    shape: str
    made_by: str
    bytes: float
    padded_bytes: float


def argument_sizes(program: Computation) -> dict[str, float]:
    """Bytes of the arguments by kind, as laid out on the device.

    XLA names an entry parameter by its path in the call's arguments; unused ones are
    dropped before compilation and so are not here.
    """
    sizes = dict.fromkeys((kind for _, kind in ARGUMENTS), 0.0)
    for one in program.instructions.values():
        if one.opcode == "parameter":
            sizes[_kind(one.path)] += sum(shape.padded_bytes for shape in one.shapes)
    return sizes


def abstract_sizes(train: PyTree, data: PyTree, payload: PyTree) -> dict[str, float]:
    """The same from the abstract arguments, for programs that were not compiled.

    Args:
        train: `TrainState` of `ShapeDtypeStruct`s with shardings.
        data: likewise, what stays in device memory.
        payload: likewise, the batch.
    """
    sizes = dict.fromkeys((kind for _, kind in ARGUMENTS), 0.0)
    for root, tree in {"train": train, "data": data, "payload": payload}.items():
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            sizes[_kind(root + jax.tree_util.keystr(path))] += _bytes(leaf)
    return sizes


def program_sizes(compiled: Any, program: Computation) -> dict[str, float]:
    """Bytes by kind, `KINDS`, of a compiled program on each device.

    Outputs that take the place of arguments ("donated") are counted as arguments.
    """
    stats = compiled.memory_analysis()
    return {
        **argument_sizes(program),
        "outputs": float(stats.output_size_in_bytes - stats.alias_size_in_bytes),
        "temporaries": float(stats.temp_size_in_bytes),
        "code": float(stats.generated_code_size_in_bytes),
    }


def largest_temporaries(program: Computation, count: int = 4) -> list[Array]:
    """The largest arrays that the program makes, one of each shape.

    They need not be alive together, but where memory is short one of them is why.
    """
    found: dict[str, list[tuple[Shape, Instruction]]] = {}
    for one, place in program.steps():
        for shape in one.made if one.is_kernel and not place.fused else ():
            if shape.in_main_memory:
                found.setdefault(str(shape), []).append((shape, one))
    padded = lambda array: array[0].padded_bytes
    largest = [max(alike, key=padded) for alike in found.values()]
    return [
        Array(
            shape=str(shape),
            made_by=_made_by(one),
            bytes=shape.bytes,
            padded_bytes=shape.padded_bytes,
        )
        for shape, one in sorted(largest, key=padded, reverse=True)[:count]
    ]


def refused_temporaries(message: str) -> float | None:
    """Bytes of temporaries that XLA's TPU compiler wanted when it refused a program."""
    found = re.search(r"temporaries \(([\d.]+)([KMGT])\)", message) or re.search(
        r"Used ([\d.]+)([KMGT]) of", message
    )
    units: Mapping[str, float] = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    return float(found[1]) * units[found[2]] if found else None


def _made_by(one: Instruction) -> str:
    """Path of an operation; of a kernel's last, or of the operand's where it has none.

    The compiler adds copies and joins operations into kernels without paths.
    """
    while not one.path and (one.opcode == "fusion" or one.operands):
        one = one.called[0].root if one.opcode == "fusion" else one.operands[0]
    return one.path


def _kind(path: str) -> str:
    for prefix, kind in ARGUMENTS:
        if path.startswith(prefix):
            return kind
    return "batch"


def _bytes(leaf: jax.ShapeDtypeStruct) -> float:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return 8.0
    shape = leaf.shape
    if leaf.sharding is not None:
        shape = leaf.sharding.shard_shape(shape)
    size = float(leaf.dtype.itemsize)
    for n in shape:
        size *= n
    return size
