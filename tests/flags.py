"""XLA's flags of this process and of those that tests start."""

import importlib.metadata


def flags(devices: int) -> dict[str, str]:
    """Flags for so many CPU devices and quick compilation.

    Tests compile much and compute little. At level 0 LLVM takes a third less time than
    at level 1, and without the emitters of fused kernels compilation takes a quarter of
    it.
    """
    found = {
        "--xla_force_host_platform_device_count": str(devices),
        "--xla_backend_optimization_level": "0",
    }
    # A process ends at a flag that its jaxlib does not know.
    if importlib.metadata.version("jaxlib").startswith("0.10."):
        found["--xla_cpu_use_fusion_emitters"] = "false"
        found["--xla_cpu_parallel_codegen_split_count"] = "1"
    return found


def words(devices: int) -> str:
    """The same, as XLA_FLAGS holds them."""
    return " ".join(f"{flag}={value}" for flag, value in flags(devices).items())
