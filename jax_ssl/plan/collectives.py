"""What the devices of a compiled program say to each other, read from its HLO text."""

import math
import re
from dataclasses import dataclass

from jax_ssl.plan.hlo import Computation, Instruction

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)


@dataclass(kw_only=True)
class Collective:
    """Collectives of one kind among groups of one size, in one step.

    Attributes:
        kind: out of `KINDS`.
        group: devices that take part in each.
        count: how many run; a loop's body counts as often as it turns.
        looped: how many of them run inside loops.
        bytes: what each device brings together in all, elements only: of an all-gather
            its result, of every other kind its operands.
        wire_bytes: what each device must send, with the best algorithm there is.
        conditional: True for those in a branch, which may never run.
    """

    kind: str
    group: int
    count: int = 0
    looped: int = 0
    bytes: float = 0.0
    wire_bytes: float = 0.0
    conditional: bool = False


def collectives(program: Computation, num_devices: int) -> list[Collective]:
    """The collectives of one run of a program, most bytes first.

    Args:
        program: of each device.
        num_devices: that run it.
    """
    found: dict[tuple[str, int, bool], Collective] = {}
    for one, place in program.steps():
        kind = one.opcode.removesuffix("-start")
        group = _group(one, num_devices) if kind in KINDS else 1
        if group > 1:
            new = Collective(kind=kind, group=group, conditional=place.maybe)
            alike = found.setdefault((kind, group, place.maybe), new)
            read = [shape for operand in one.operands for shape in operand.shapes]
            payload = sum(shape.bytes for shape in read)
            payload *= group if kind == "all-gather" else 1
            alike.count += place.turns
            alike.looped += place.turns if place.looped else 0
            alike.bytes += place.turns * payload
            alike.wire_bytes += place.turns * wire_bytes(kind, payload, group)
    total = found.values()
    return sorted(total, key=lambda one: (one.conditional, -one.wire_bytes))


def wire_bytes(kind: str, payload: float, group: int) -> float:
    """Bytes that each of `group` devices must send for a collective of `payload`.

    All-gather, reduce-scatter and all-to-all: (n-1)/n of the payload; an all-reduce is
    a reduce-scatter and an all-gather; a permute or a broadcast sends it whole.
    """
    if kind in ("collective-permute", "collective-broadcast"):
        return payload
    share = (group - 1) / group
    return payload * share * (2 if kind == "all-reduce" else 1)


def _group(one: Instruction, devices: int) -> int:
    """Size of the groups, in any of the three ways in which they are written."""
    text = one.attributes
    if one.opcode.startswith("collective-permute"):
        pairs = re.search(r"source_target_pairs=\{(.*?)\}\}", text)
        movers = re.findall(r"\{(\d+),(\d+)", pairs[0]) if pairs else []
        # Of one device, or from each to itself, there is nothing to send.
        return devices if any(a != b for a, b in movers) else 1
    if members := re.search(r"replica_groups=\{\{([\d,]+)\}", text):
        return len(members[1].split(","))
    if extents := re.search(r"replica_groups=\[[\d,]*?(\d+)\]", text):
        return int(extents[1])  # [groups,size]<=[devices]
    if mesh := re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", text):
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh[1]))
        axes = re.findall(r"'([^']+)'", mesh[2])
        return math.prod(int(sizes[axis]) for axis in axes)
    return devices
