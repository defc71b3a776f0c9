"""Sets of permutations that differ in many places, in NumPy, before anything is traced.

Two permutations differ in as many places as their Hamming distance says. A puzzle whose
answers differ in few places cannot be told by most of its tiles.
"""

import functools
import itertools
import math
from typing import Literal, TypeAlias

import numpy as np

from jax_ssl.core import checks

Criterion: TypeAlias = Literal["mean", "minimum"]
LONGEST = 9  # 9! = 362,880 permutations are looked at for each that is chosen.


@functools.lru_cache(maxsize=16)
def permutation_set(
    count: int, length: int = 9, *, criterion: Criterion = "mean", seed: int = 0
) -> np.ndarray:
    """Permutations that lie far from each other, chosen greedily among all of them.

    Jigsaw (Noroozi and Favaro, arXiv 1603.09246): the first is random, and each further
    one is, of all `length`! that are left, the one that lies farthest from those chosen
    so far, by the mean distance or by the least. Many are equally far: of these, one
    that is farthest by the other measure is taken, which is this library's choice, and
    keeps two of them from being nearly the same where the mean does not mind.

    Args:
        count: K, how many.
        length: of each, at most 9.
        criterion: farthest by the "mean" Hamming distance to those chosen, or by the
            "minimum", which keeps any two of them apart.
        seed: of what is random.

    Returns:
        [K, length] int32, distinct rows of the numbers 0 to length - 1; read-only.

    Raises:
        ValueError: if there are not so many permutations, or too many to look at.
    """
    checks.within(f"[2, {LONGEST}]", length=length)
    checks.within(f"[2, {math.factorial(length)}]", num_permutations=count)
    checks.one_of(("mean", "minimum"), criterion=criterion)
    every = all_permutations(length)
    rng = np.random.default_rng(seed)
    # In random order, so that the first of several equally far ones is a random one.
    every = np.ascontiguousarray(every[:, rng.permutation(every.shape[1])])
    total = np.zeros(every.shape[1], np.int32)  # Of the distances to those chosen.
    nearest = np.full(every.shape[1], length, np.int32)  # The least of them.
    chosen = np.zeros(count, np.int64)  # The first of a random order is random.
    for i in range(count):
        if i > 0:
            first, second = total, nearest
            if criterion == "minimum":
                first, second = nearest, total
            best = np.flatnonzero(first == first.max())
            chosen[i] = best[second[best].argmax()]
        distance = hamming(every, every[:, chosen[i], None])
        total += distance
        np.minimum(nearest, distance, out=nearest)
        total[chosen[: i + 1]] = nearest[chosen[: i + 1]] = -1  # None is taken twice.
    table = every[:, chosen].T.astype(np.int32)
    table.setflags(write=False)
    return table


@functools.lru_cache(maxsize=1)
def all_permutations(length: int) -> np.ndarray:
    """Of the numbers 0 to length - 1, one a column: [length, length!] uint8."""
    return np.array(list(itertools.permutations(range(length))), np.uint8).T


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Places in which columns of a and b, [length, ...] each, differ: [...] uint8."""
    places = zip(a, b, strict=True)
    return functools.reduce(np.add, ((x != y).view(np.uint8) for x, y in places))
