"""Bytes of each device's memory that a compiled step holds, by kind."""

import math
import re
from dataclasses import dataclass
from typing import Any

import jax

from jax_ssl.core.types import PyTree
from jax_ssl.plan.hlo import Computation, Instruction

# By the path of an argument of `Program.call`; the first prefix that fits.
ARGUMENTS = {
    "train.params": "parameters",
    "train.opt_state": "optimizer",
    "train.": "state",
    "data": "resident",
    "payload": "batch",
}
KINDS = (*ARGUMENTS.values(), "outputs", "temporaries", "code")


@dataclass(frozen=True)
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


def refused_sizes(
    message: str, train: PyTree, data: PyTree, payload: PyTree
) -> dict[str, float]:
    """Bytes by kind on each device of a program that XLA refused to compile.

    Args:
        message: of the refusal; where it does not name the bytes of temporaries, they
            are infinite.
        train: `TrainState` of `ShapeDtypeStruct`s with shardings.
        data: likewise, what stays in device memory.
        payload: likewise, the batch.
    """
    sizes = _of_arguments(train, data, payload)
    return {**sizes, "temporaries": refused_temporaries(message) or math.inf}


def _of_arguments(train: PyTree, data: PyTree, payload: PyTree) -> dict[str, float]:
    """Bytes of the arguments by kind on each device, their tiles not filled up."""
    sizes = dict.fromkeys(ARGUMENTS.values(), 0.0)
    for root, tree in {"train": train, "data": data, "payload": payload}.items():
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            share = leaf.sharding.shard_shape(leaf.shape)
            kind = _kind(root + jax.tree_util.keystr(path))
            sizes[kind] += math.prod(share) * leaf.dtype.itemsize
    return sizes


def program_sizes(
    compiled: Any, program: Computation, *arguments: PyTree
) -> dict[str, float]:
    """Bytes by kind, `KINDS`, of a compiled program on each device, as laid out there.

    XLA names an entry parameter by its path in the call's arguments; unused ones are
    dropped before compilation and so are not here. Outputs that take the place of
    arguments ("donated") are counted as arguments. More than 2,000 arguments come to a
    TPU as one tuple, without their paths: then they are those of `refused_sizes`.

    Args:
        compiled: the program.
        program: the same, read.
        *arguments: train, data and payload of `refused_sizes`.
    """
    entry = [x for x in program.instructions.values() if x.opcode == "parameter"]
    if len(entry) == 1 and len(entry[0].shapes) > 1:
        sizes = _of_arguments(*arguments)
    else:
        sizes = dict.fromkeys(ARGUMENTS.values(), 0.0)
        for one in entry:
            sizes[_kind(one.path)] += sum(shape.padded_bytes for shape in one.shapes)
    stats = compiled.memory_analysis()
    return {
        **sizes,
        "outputs": float(stats.output_size_in_bytes - stats.alias_size_in_bytes),
        "temporaries": float(stats.temp_size_in_bytes),
        "code": float(stats.generated_code_size_in_bytes),
    }


def largest_temporaries(program: Computation, count: int = 4) -> list[Array]:
    """The largest arrays that the program makes, one of each shape.

    They need not be alive together, but where memory is short one of them is why.
    """
    arrays = [
        Array(str(shape), _made_by(one), shape.bytes, shape.padded_bytes)
        for one, place in program.steps()
        if one.is_kernel and not place.fused
        for shape in one.made
        if shape.main_bytes
    ]
    largest: dict[str, Array] = {}
    for array in sorted(arrays, key=lambda array: array.padded_bytes, reverse=True):
        largest.setdefault(array.shape, array)
    return list(largest.values())[:count]


def refused_temporaries(message: str) -> float | None:
    """Bytes of temporaries that XLA's TPU compiler wanted when it refused a program."""
    found = re.search(r"temporaries \(([\d.]+)([KMGT])\)", message) or re.search(
        r"Used ([\d.]+)([KMGT]) of", message
    )
    if not found:
        return None
    return float(found[1]) * 1024 ** (1 + "KMGT".index(found[2]))


def _made_by(one: Instruction) -> str:
    """Path of an operation; of a kernel's last, or of the operand's where it has none.

    The compiler adds copies and joins operations into kernels without paths.
    """
    while not one.path and (one.opcode == "fusion" or one.operands):
        one = one.called[0].root if one.opcode == "fusion" else one.operands[0]
    return one.path


def _kind(path: str) -> str:
    kinds = (kind for prefix, kind in ARGUMENTS.items() if path.startswith(prefix))
    return next(kinds, "batch")
