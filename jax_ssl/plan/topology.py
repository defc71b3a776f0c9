"""Slices of accelerators by name.

`jax.experimental.topologies` describes a TPU slice to XLA's TPU compiler, which libtpu
holds; no TPU is needed. "cpu:8" is eight devices of this machine's processor.
"""

import contextlib
import importlib.util
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import jax
from jax.experimental import topologies

from jax_ssl.parallel.chips import CHIPS, TPU

SLICES = {
    chip.name.removeprefix("TPU "): chip for chip in CHIPS if isinstance(chip, TPU)
}
EXAMPLES = "v5e:4x8, v5e:1x1, v4:2x2x4, v5p:4x4x4, v6e:2x4, cpu:8"


@dataclass(frozen=True)
class Slice:
    """Devices to compile for; made by `open_slice`.

    Attributes:
        name: as it was asked for.
        devices: compile-only devices of a TPU slice, or real ones of the CPU.
        chip: their figures, or None for CPUs, of which none are published.
        extents: of the box of chips in use, along the axes of the network.
    """

    name: str
    devices: Sequence[jax.Device]
    chip: TPU | None
    extents: tuple[int, ...]

    @property
    def links(self) -> int:
        """Links of the chip that has the fewest, a corner of the slice."""
        if self.chip is None:
            return 0
        rings = [n % self.chip.ring == 0 for n in self.extents]
        if self.chip.axes == 3:
            rings = [all(rings)] * 3
        pairs = zip(self.extents, rings, strict=True)
        return sum(1 + ring for n, ring in pairs if n > 1)

    def __str__(self) -> str:
        kind = self.chip.name if self.chip else "CPU"
        return f"{self.name}, {len(self.devices)} × {kind}"


def parse(text: str) -> tuple[str, tuple[int, ...]]:
    """Kind and extents of a slice: "v5e:4x8" is ("v5e", (4, 8)), "cpu:8" ("cpu", (8,)).

    Raises:
        ValueError: for another kind, another number of extents, or no numbers.
    """
    axes = {"cpu": 1} | {name: chip.axes for name, chip in SLICES.items()}
    kind, _, numbers = text.partition(":")
    extents = tuple(map(int, re.findall(r"[1-9]\d*", numbers)))
    if axes.get(kind) != len(extents) or numbers != "x".join(map(str, extents)):
        raise ValueError(
            f"--topology={text} is not a slice: kinds are {', '.join(SLICES)} and cpu, "
            f"written like {EXAMPLES}."
        )
    return kind, extents


def open_slice(text: str, chips: int | None = None) -> Slice:
    """The devices of a slice, such as "v5e:4x8" or "cpu:8".

    Args:
        text: kind and extents.
        chips: only the first so many chips of it.

    Raises:
        ValueError: for an unknown slice, too few chips in it, or a TPU slice where
            libtpu is not installed.
    """
    kind, extents = parse(text)
    have = math.prod(extents)
    if chips is not None and not 1 <= chips <= have:
        raise ValueError(f"--chips={chips}: {text} has 1 to {have}.")
    name = text if chips in (None, have) else f"{chips} of {text}"
    if kind == "cpu":
        return Slice(name, _cpus(have)[:chips], None, (chips or have,))
    devices = _tpus(kind, extents)[:chips]
    places = [device.coords for device in devices]
    used = tuple(max(axis) - min(axis) + 1 for axis in zip(*places, strict=True))
    return Slice(name, devices, SLICES[kind], used[: SLICES[kind].axes])


def _cpus(count: int) -> list[jax.Device]:
    with contextlib.suppress(RuntimeError):  # Devices were asked for already.
        jax.config.update("jax_num_cpu_devices", count)
    devices = jax.devices("cpu")
    if len(devices) < count:
        raise ValueError(
            f"--topology=cpu:{count}: JAX started with {len(devices)} CPU devices; set "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={count} before it does."
        )
    return devices[:count]


def _tpus(kind: str, extents: tuple[int, ...]) -> list[jax.Device]:
    if importlib.util.find_spec("libtpu") is None:
        raise ValueError(
            f"--topology={kind}:... needs XLA's TPU compiler, not a TPU: pip install "
            "libtpu; or plan for the CPU with --topology=cpu:8."
        )
    for variable, value in {
        "TPU_SKIP_MDS_QUERY": "1",  # Else it asks Google Cloud where it is, and waits.
        "TPU_ACCELERATOR_TYPE": "v5litepod-1",  # Else it complains; nothing reads it.
        "TPU_WORKER_HOSTNAMES": "localhost",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # Compiling takes no TPU from others.
    }.items():
        os.environ.setdefault(variable, value)
    # A host has up to 2 x 2 chips of a slice; of v4, JAX sees two cores as one device.
    bounds = [2 if n % 2 == 0 else 1 for n in extents[:2]] + [1]
    megacore = {"chip_config_name": "megacore"} if kind == "v4" else {}
    name = f"{kind}:{'x'.join(map(str, extents))}"
    described = topologies.get_topology_desc(
        name, "tpu", chips_per_host_bounds=tuple(bounds), **megacore
    )
    return list(described.devices)
