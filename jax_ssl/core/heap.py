"""The holes that a compiler leaves in the heap, filled before they cost every step.

LLVM frees some 50,000 pieces of odd sizes when it has compiled a train step. Where all
threads share one heap, as `core.allocator` has it, each later request for memory looks
for the smallest hole that it fits into; convolutions ask for scratch memory 2,900 times
in a step of a small patchified ResNet (experiments/race_laptop). With the holes filled
that step took a sixth less, a ResNet-18's 9 % and a ResNet-50's 7 % less, on two cores,
2026-11-30; experiments/benchmarks/train_step.md has the table.
"""

import ctypes
import functools
import os
import threading

import jax

from jax_ssl.core.allocator import KEPT, TUNABLES, tunables

# What jax says after it has compiled a program or loaded one, in seconds.
COMPILED = "/jax/core/compile/backend_compile_duration"
# Seconds of compilation after which holes are filled.
WORTH_FILLING = 0.5
# Bytes of the largest pieces that are asked for, and of the smallest. Pieces from LARGE
# on are given back, so that the memory of earlier steps is used again.
LARGEST, LARGE, SMALLEST = 2**28, 2**22, 2**10
_DONT_NEED = 4  # Linux: the contents of these pages may be forgotten.
_PAGE = os.sysconf("SC_PAGESIZE") if hasattr(os, "sysconf") else 4096

_filling = threading.Lock()
_compiled = [0.0]  # Seconds since holes were filled.


class _Heap(ctypes.Structure):
    """What glibc's `mallinfo2` says; `keepcost` is the heap's unused end."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


@functools.cache  # Once is enough.
def fill_after_compiling() -> None:
    """From now on `fill_holes` follows whatever jax compiles, where there is one heap.

    That is in a process that `allocator.start_with_allocator` has started anew.
    """
    told = os.environ.get(TUNABLES, "").split(":")
    if {*tunables(KEPT).split(":")} <= {*told}:
        jax.monitoring.register_event_duration_secs_listener(_when_compiled)


def _when_compiled(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event != COMPILED:
        return
    _compiled[0] += duration_secs
    if _compiled[0] < WORTH_FILLING or not _filling.acquire(blocking=False):
        return
    try:
        _compiled[0] = 0.0
        fill_holes()
    finally:
        _filling.release()


def fill_holes() -> int:
    """Takes the heap's holes of 1 KiB to 4 MiB for good, and returns how many.

    The system gets their pages back, so that they cost addresses and no memory. Larger
    holes are left, for the memory of a step finds room in them.
    """
    c = libc()
    end = c.sbrk(0) - c.mallinfo2().keepcost  # No hole lies behind it.
    size, large, filled = LARGEST, [], 0
    while size >= SMALLEST:
        # A piece comes from the smallest hole that holds it, or else from the end.
        while (piece := c.malloc(size)) is not None and piece < end:
            first, last = -(-piece // _PAGE), (piece + size) // _PAGE
            if last > first:
                c.madvise(first * _PAGE, (last - first) * _PAGE, _DONT_NEED)
            if size >= LARGE:
                large.append(piece)
            else:
                filled += 1
        c.free(piece)
        size //= 2
    for piece in large:
        c.free(piece)
    return filled


def libc() -> ctypes.CDLL:
    """The C library, told of what types its functions are."""
    found = ctypes.CDLL(None)
    found.malloc.restype = found.sbrk.restype = ctypes.c_void_p
    found.malloc.argtypes, found.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    found.sbrk.argtypes = [ctypes.c_ssize_t]
    found.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    found.mallinfo2.restype = _Heap
    return found
