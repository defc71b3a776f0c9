"""Huge pages for what XLA allocates on a CPU: the process starts itself once more.

XLA:CPU allocates a step's temporary memory anew each time, and Linux hands it out page
by page. In pages of 4 KiB instead of 2 MiB a step of MAE's ViT-S took a third longer,
one of a small ViT a fifth, and one of a ResNet-18 no longer (two cores, 2026-11-29).
glibc reads the variable that says so only when a process starts.
"""

import os
import pathlib
import sys

TUNABLES = "GLIBC_TUNABLES"
HUGE = "glibc.malloc.hugetlb"
SWITCH = "JAX_SSL_HUGE_PAGES"
OFFERED = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def start_with_huge_pages() -> None:
    """Starts this program anew, as the same process, where huge pages are to be had.

    They are where the C library is glibc, 2.35 or later, and the kernel offers them to
    those who ask ("madvise"). Nothing happens if the variable GLIBC_TUNABLES already
    speaks of them, or JAX_SSL_HUGE_PAGES is "0".
    """
    told = os.environ.get(TUNABLES, "")
    if HUGE in told or os.environ.get(SWITCH) == "0" or not _offered():
        return
    os.environ[TUNABLES] = ":".join([*filter(None, [told]), f"{HUGE}=1"])
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, sys.orig_argv)


def _offered() -> bool:
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()  # type: ignore[union-attr]
        new = tuple(map(int, version.split(".")[:2])) >= (2, 35)
        return name == "glibc" and new and "[madvise]" in OFFERED.read_text()
    except (AttributeError, OSError, ValueError):
        return False  # Another system, or another C library.
