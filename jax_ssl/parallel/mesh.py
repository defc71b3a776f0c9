"""The device mesh: axes ("data", "fsdp"), rows of a batch over both."""

from collections import Counter
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental.mesh_utils import create_device_mesh
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

BATCH_AXES = ("data", "fsdp")


def make_mesh(*, fsdp: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Makes the library's only mesh.

    Args:
        fsdp: devices over which parameters are split; divides the device count.
        devices: all devices of all processes unless given.

    Returns:
        Mesh with axes "data" (n / fsdp) and "fsdp", both of `AxisType.Auto`. It lists
        the devices process by process, so that each process reads the rows of a batch
        that lie on its own devices, and the same ones whatever the topology. All
        devices of a process follow the wires between them, where the backend knows
        those (TPU).

    Raises:
        ValueError: if `fsdp` does not divide the number of devices, or the processes
            have unequal numbers of them.
    """
    everyone = list(jax.devices())
    devices = everyone if devices is None else list(devices)
    if fsdp < 1 or len(devices) % fsdp:
        good = [n for n in range(1, len(devices) + 1) if len(devices) % n == 0]
        raise ValueError(
            f"mesh.fsdp = {fsdp} does not divide the {len(devices)} devices; "
            f"choose one of {good}."
        )
    shape = (len(devices) // fsdp, fsdp)
    if devices == everyone:
        devices = _neighbours_together(devices, fsdp)
    devices.sort(key=lambda device: device.process_index)  # Stable.
    each = Counter(device.process_index for device in devices)
    if len(set(each.values())) > 1:
        raise ValueError(
            f"the processes have {dict(each)} devices; all must have the same number, "
            "since each reads the same share of a batch."
        )
    axis_types = (AxisType.Auto, AxisType.Auto)
    return Mesh(np.asarray(devices).reshape(shape), BATCH_AXES, axis_types=axis_types)


def _neighbours_together(devices: list[jax.Device], fsdp: int) -> list[jax.Device]:
    """The devices in an order that follows the wires, TPU slice by TPU slice."""
    slices: dict[int, list[jax.Device]] = {}
    for device in devices:
        slices.setdefault(getattr(device, "slice_index", None) or 0, []).append(device)
    ordered: list[jax.Device] = []
    for _, some in sorted(slices.items()):
        wide = fsdp if len(some) % fsdp == 0 else 1
        ordered += create_device_mesh(
            (len(some) // wide, wide), some, allow_split_physical_axes=True
        ).flat
    return ordered


def row_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over all devices, everything else whole."""
    return NamedSharding(mesh, P(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, P())


def check_batch_size(batch_size: int, shards: int, chunks: int = 1) -> None:
    """Refuses a global batch that the devices, chunk by chunk, cannot share equally.

    Raises:
        ValueError: naming the nearest sizes that divide.
    """
    parts = shards * chunks
    if batch_size < 1 or batch_size % parts:
        below = batch_size // parts * parts
        good = [n for n in (below, below + parts) if n > 0]
        turns = f" in run.chunks = {chunks}" if chunks > 1 else ""
        raise ValueError(
            f"feed.batch_size = {batch_size} cannot be shared by {shards} devices"
            f"{turns}; the nearest sizes that can are {' and '.join(map(str, good))}."
        )
