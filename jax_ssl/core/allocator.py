"""How the C library gives memory to XLA on a CPU: the process starts itself once more.

XLA:CPU allocates a step's temporary memory anew each time. glibc hands it back to the
system after every step, which then hands it out again page by page. In pages of 4 KiB
instead of 2 MiB a step of MAE's ViT-S took a third longer; and on a virtual machine,
whose host takes what was given back, every second or third step of a ResNet-50 took
twice its time until the memory was kept (two cores, 2026-11-29). glibc reads the
variable that says so only when a process starts.
"""

import os
import pathlib
import sys
from collections.abc import Mapping

TUNABLES = "GLIBC_TUNABLES"
SWITCH = "JAX_SSL_ALLOCATOR"
OFFERED = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
DEVICES = pathlib.Path("/dev")
# Huge pages for those who ask the kernel for them.
HUGE = {"glibc.malloc.hugetlb": "1"}
# Bytes from which on memory does not come from the heap, and of the heap's unused end
# that are kept: more than there are. One heap for all threads, for others are small.
KEPT = {
    "glibc.malloc.mmap_threshold": str(2**40),
    "glibc.malloc.trim_threshold": str(2**40),
    "glibc.malloc.arena_max": "1",
}


def start_with_allocator() -> None:
    """Starts this program anew, as the same process, with settings of glibc's malloc.

    It happens where the C library is glibc, 2.35 or later, and the machine has no TPU
    or GPU: there the step's memory is not malloc's, and many threads read images. Huge
    pages are asked for where the kernel offers them to those who ask ("madvise").
    Nothing happens if the variable GLIBC_TUNABLES already speaks of malloc, or
    JAX_SSL_ALLOCATOR is "0".
    """
    told = os.environ.get(TUNABLES, "")
    if "malloc" in told or os.environ.get(SWITCH) == "0" or not _of_use():
        return
    wanted = {**HUGE, **KEPT} if _offered() else KEPT
    os.environ[TUNABLES] = ":".join([*filter(None, [told]), tunables(wanted)])
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, sys.orig_argv)


def tunables(settings: Mapping[str, str]) -> str:
    """Settings as the variable GLIBC_TUNABLES has them."""
    return ":".join(f"{name}={value}" for name, value in settings.items())


def _of_use() -> bool:
    if any(list(DEVICES.glob(name)) for name in ("accel*", "vfio/[0-9]*", "nvidia*")):
        return False
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()  # type: ignore[union-attr]
        return name == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 35)
    except (AttributeError, OSError, ValueError):
        return False  # Another system, or another C library.


def _offered() -> bool:
    return OFFERED.is_file() and "[madvise]" in OFFERED.read_text()
