"""Bytes that a compiled program moves between a device and its memory: a model.

Every kernel reads each of its operands once and writes its result once; a loop's body
counts as often as it turns; of several branches the one that moves most counts. What
the compiler keeps on the chip does not count, and of an array from which a kernel cuts
a piece only the piece does. Kernels that read an operand more than once, as
convolutions may, move more than this; the model is a bound from below.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping

from jax_ssl.plan.hlo import Computation, Instruction

# Calls by which XLA's TPU compiler talks to itself; nothing moves.
WORDS = re.compile(
    r'custom_call_target="(AllocateBuffer|ConcatBitcast|AssumeGatherIndicesInBound)"'
)
CUTS = ("slice", "dynamic-slice", "gather")


def memory_bytes(program: Computation) -> float:
    """Bytes read from and written to a device's main memory in one run."""
    total = 0.0
    for one, place in program.steps():
        if place.maybe or place.fused:
            continue  # They count with the conditional, or with the kernel.
        if one.opcode == "conditional":
            total += place.turns * max(map(memory_bytes, one.called))
        elif one.is_kernel:
            total += place.turns * sum(_kernel(one))
    return total


def _kernel(one: Instruction) -> Iterator[float]:
    """What a kernel reads, operand by operand, and then what it writes."""
    if one.opcode == "fusion":
        yield from _fusion(one)
    elif one.opcode in ("copy-start", "slice-start"):
        (made,) = one.made
        yield made.main_bytes
        yield made.padded_bytes if one.operands[0].shape.main_bytes else 0.0
    elif one.opcode in CUTS:
        yield 2 * one.shape.main_bytes
        yield from (operand.shape.main_bytes for operand in one.operands[1:])
    elif one.opcode == "dynamic-update-slice":
        yield 2 * one.operands[1].shape.main_bytes
    elif one.opcode != "custom-call" or not WORDS.search(one.attributes):
        yield from (read.shape.main_bytes for read in dict.fromkeys(one.operands))
        yield from (shape.main_bytes for shape in one.made)


def _fusion(one: Instruction) -> Iterator[float]:
    (body,) = one.called
    updates = _updates(body)
    for at, operand in enumerate(one.operands):
        read = _read(body, body.parameter(at), updates.values())
        yield min(read, operand.shape.main_bytes)
    for at, shape in enumerate(one.shapes):
        written = updates[at].operands[1].shape if at in updates else shape
        yield written.padded_bytes if shape.main_bytes else 0.0


def _updates(body: Computation) -> Mapping[int, Instruction]:
    """Updates of a parameter in place, by the number of the result that they are."""
    root = body.root
    results = root.operands if root.opcode == "tuple" else (root,)
    return {
        at: result.origin
        for at, result in enumerate(results)
        if result.origin.opcode == "dynamic-update-slice"
        and result.origin.operands[0].origin.opcode == "parameter"
    }


def _read(
    body: Computation, array: Instruction, updates: Collection[Instruction]
) -> float:
    """Bytes that the body of a fusion reads of an array; infinite for all of it."""
    total = 0.0
    for user in body.instructions.values():
        if array not in user.operands:
            continue
        first = user.operands[0] is array
        if first and user.opcode in CUTS:
            total += user.shape.padded_bytes
        elif user.opcode == "bitcast":
            total += _read(body, user, updates)
        elif user.opcode == "fusion":
            (inner,) = user.called
            total += _read(inner, inner.parameter(user.operands.index(array)), ())
        elif not first or user not in updates:
            return math.inf
    return total
