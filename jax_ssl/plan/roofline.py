"""The least time that a step can take on published peaks, and what it is bound by."""

from collections.abc import Sequence
from typing import Any

from jax_ssl.plan.collectives import Collective
from jax_ssl.plan.topology import Slice


def roofline(
    where: Slice, flops: float, memory_bytes: float, collectives: Sequence[Collective]
) -> dict[str, Any] | None:
    """Bounds of one step on a slice.

    A collective among many must pass through a corner of the slice, whose chip has the
    fewest links; a permute may have but one.

    Args:
        where: the slice.
        flops: of the step on all devices together.
        memory_bytes: that each device reads and writes.
        collectives: of the step.

    Returns:
        {"compute_seconds" of the matrix units, "memory_seconds" of each chip's main
        memory, "network_seconds" of the links between chips: each alone and at its
        published peak; "step_seconds": a lower bound, all three overlapping perfectly;
        "bound": which of "compute", "memory" and "network" takes longest}; None for
        devices without published figures.
    """
    chip = where.chip
    if chip is None:
        return None
    alone = {
        "compute": flops / (len(where.devices) * chip.flops),
        "memory": memory_bytes / chip.bandwidth,
        "network": 0.0,
    }
    for one in collectives:
        if not one.conditional:
            links = 1 if one.kind == "collective-permute" else max(1, where.links)
            alone["network"] += one.wire_bytes / (links * chip.link)
    bound = max(alone, key=alone.__getitem__)
    seconds = {f"{part}_seconds": value for part, value in alone.items()}
    return {**seconds, "step_seconds": alone[bound], "bound": bound}
