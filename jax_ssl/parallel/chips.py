"""The published figures of accelerators, each of what JAX sees as one device.

That is a core rather than a chip on TPU v2, v3 and v7. Sources: the system architecture
pages of the Cloud TPU documentation (https://cloud.google.com/tpu/docs), and NVIDIA's
data sheets and architecture white papers.
"""

from dataclasses import dataclass

TERA = 1e12
GIB = 2.0**30


@dataclass(frozen=True)
class Chip:
    """What utilisation is measured by.

    Attributes:
        kind: pattern of its `device_kind`.
        flops: dense peak of the matrix units in bfloat16, FLOP/s; for NVIDIA half of
            the "with sparsity" figures, and with float32 accumulation on GeForce.
    """

    kind: str
    flops: float


@dataclass(frozen=True)
class TPU(Chip):
    """A chip that slices are made of, with what else bounds a program there.

    Attributes:
        name: as its maker calls it.
        memory: bytes of device memory that XLA lets a program use, according to the
            compiler's refusals (libtpu 0.0.42). It is a little less than what is sold:
            v5e has 16 GiB.
        bandwidth: of that memory, bytes/s.
        link: bytes/s of one link to a neighbour, in one direction: the documented
            bidirectional bandwidth of a chip over two directions and all its links; for
            v4 the 2400 Gbit/s of one direction that older versions of its page gave.
        axes: dimensions of the network, two links each.
        ring: where the extent of a slice along an axis is a multiple of this, its ends
            are joined to a ring; in networks of three axes, if all extents comply.
    """

    name: str
    memory: float
    bandwidth: float
    link: float
    axes: int
    ring: int


# The first pattern that fits counts. Of a TPU: kind, FLOP/s; name, memory,
# bandwidth, link, axes, ring.
CHIPS = (
    Chip(r"TPU v2", 45 / 2 * TERA),
    Chip(r"TPU v3", 123 / 2 * TERA),
    Chip(r"TPU v4 lite", 138 * TERA),
    TPU(r"TPU v4", 275 * TERA, "TPU v4", 30.75 * GIB, 1200e9, 50e9, 3, 4),
    TPU(r"TPU v5 ?(lite|e)", 197 * TERA, "TPU v5e", 15.75 * GIB, 819e9, 50e9, 2, 16),
    TPU(r"TPU v5", 459 * TERA, "TPU v5p", 95.74 * GIB, 2765e9, 100e9, 3, 4),
    TPU(r"TPU v6 ?(lite|e)", 918 * TERA, "TPU v6e", 31.25 * GIB, 1638e9, 100e9, 2, 16),
    Chip(r"TPU ?v?7", 2307 / 2 * TERA),
    Chip(r"B200", 2250 * TERA),
    Chip(r"GH200|H200(?! NVL)|H100.*HBM3", 989.4 * TERA),
    Chip(r"H100 NVL|H200 NVL", 835.5 * TERA),
    Chip(r"H100 PCIe", 756 * TERA),
    Chip(r"A100|A800", 312 * TERA),
    Chip(r"A30\b", 165 * TERA),
    Chip(r"A40\b", 149.7 * TERA),
    Chip(r"A10G", 70 * TERA),
    Chip(r"A10\b", 125 * TERA),
    Chip(r"L40S", 362 * TERA),
    Chip(r"L40\b", 181 * TERA),
    Chip(r"L4\b", 121 * TERA),
    Chip(r"RTX 6000 Ada", 364.2 * TERA),
    Chip(r"RTX A6000", 154.8 * TERA),
    Chip(r"RTX 5090", 209.5 * TERA),
    Chip(r"RTX 4090", 165.2 * TERA),
    Chip(r"RTX 3090", 71 * TERA),
    Chip(r"V100-SXM", 125 * TERA),  # float16; these two have no bfloat16
    Chip(r"V100", 112 * TERA),
    Chip(r"Tesla T4|\bT4\b", 65 * TERA),
)
