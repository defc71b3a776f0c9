"""Floating-point operations of a step, and what a chip could do at most."""

from typing import Any

import jax

# Dense bfloat16 peak of one `jax.Device` in FLOP/s, by a part of `device_kind`; the
# longer names come first. From the makers' data sheets: Google Cloud TPU system
# architecture pages (a v2 or v3 device is one of the two cores of a chip), NVIDIA data
# sheets without sparsity (SXM where there are several).
PEAKS: tuple[tuple[str, float], ...] = (
    ("TPU v6 lite", 918e12),
    ("TPU v6e", 918e12),
    ("TPU v5 lite", 197e12),
    ("TPU v5e", 197e12),
    ("TPU v5p", 459e12),
    ("TPU v5", 459e12),
    ("TPU v4 lite", 138e12),
    ("TPU v4", 275e12),
    ("TPU v3", 61.5e12),
    ("TPU v2", 22.5e12),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("L4", 121e12),
    ("A10G", 70e12),
    ("V100", 125e12),  # float16: it has no bfloat16.
    ("T4", 65e12),  # float16.
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
)


def peak_flops(device: jax.Device) -> float | None:
    """Published dense bfloat16 peak of `device` in FLOP/s, or None if not known."""
    kind = device.device_kind
    for name, peak in PEAKS:
        if name.lower() in kind.lower():
            return peak
    return None


def program_flops(compiled: Any) -> float | None:
    """FLOPs that ONE device spends on one call of a compiled program, or None.

    XLA's own count of the partitioned program. It counts the body of a loop once, so a
    scan over k steps counts as one step.
    """
    try:
        cost = compiled.cost_analysis()
    except (NotImplementedError, jax.errors.JaxRuntimeError):
        return None
    if isinstance(cost, list | tuple):  # jax before 0.5 gave a list of one.
        cost = cost[0] if cost else None
    flops = (cost or {}).get("flops")
    return float(flops) if flops and flops > 0 else None


def peak_memory(devices: list[jax.Device]) -> int | None:
    """Most bytes in use so far on any of this process's devices, or None (CPU)."""
    stats = [device.memory_stats() or {} for device in devices]
    found = [s["peak_bytes_in_use"] for s in stats if "peak_bytes_in_use" in s]
    return max(found) if found else None
