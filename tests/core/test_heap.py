"""Holes in the heap are taken, nothing that is in use is touched."""

import os
import subprocess
import sys

import pytest

from jax_ssl.core import allocator

glibc = pytest.mark.skipif(not allocator._of_use(), reason="another C library")
KEPT = allocator.tunables(allocator.KEPT)


def said(script, tunables):
    """What a program prints that glibc starts with these settings."""
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, allocator.TUNABLES: tunables},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout.split()


HOLES = """
import ctypes
import numpy as np
from jax_ssl.core import heap
libc = heap.libc()
rng = np.random.default_rng(0)
sizes = rng.integers(2_000, 60_000, 4_000).tolist()
pieces = [libc.malloc(size) for size in sizes]
for i, (piece, size) in enumerate(zip(pieces, sizes)):
    ctypes.memset(piece, i % 251, size)
for piece in pieces[::2]:
    libc.free(piece)
filled = heap.fill_holes()
again = heap.fill_holes()
whole = all(
    ctypes.string_at(pieces[i], sizes[i]) == bytes([i % 251]) * sizes[i]
    for i in range(1, len(pieces), 2)
)
low, high = min(pieces), max(pieces)
asked = [libc.malloc(size) for size in sizes[:500]]
print(filled, again, whole, sum(low < piece < high for piece in asked))
"""


@glibc
def test_holes_are_filled_and_what_is_in_use_stays_as_it_is():
    filled, again, whole, inside = said(HOLES, KEPT)
    assert int(filled) >= 2_000  # One of two pieces was freed, none beside another.
    assert int(again) < 200
    assert whole == "True"
    assert int(inside) == 0


COMPILING = """
import jax
from jax_ssl.core import heap
heap.WORTH_FILLING, found = 0.0, []
heap.fill_holes = lambda: found.append(1)
heap.fill_after_compiling()
jax.jit(lambda x: x + 1)(1.0)
before = len(found)
heap.WORTH_FILLING = 100.0
jax.jit(lambda x: x + 2)(1.0)
print(before, len(found) - before)
"""


@glibc
@pytest.mark.parametrize(
    ("tunables", "filled"), [(KEPT, True), ("glibc.malloc.arena_max=2", False)]
)
def test_it_follows_compilation_where_threads_share_one_heap(tunables, filled):
    once, more = map(int, said(COMPILING, tunables))
    assert (once > 0) == filled
    assert more == 0
