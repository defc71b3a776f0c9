"""An array that a file holds, described before it is read."""

import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

# An array may repeat what its storage holds (strides of 0) up to so many elements.
REPEATED = 2**20
# What reading a damaged zip archive raises.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, RuntimeError),  # Of other versions, and encrypted.
)


# Named tuples, because nothing that a pickle does to a tuple can change it.
class Storage(NamedTuple):
    """Elements in a row, which several arrays may share.

    Attributes:
        name: in the file.
        dtype: of the elements.
        size: number of elements that the file declares.
        read: returns the elements, an array [size] of `dtype`.
    """

    name: str
    dtype: np.dtype
    size: int
    read: Callable[[], np.ndarray]


class Lazy(NamedTuple):
    """Where an array lies in a storage, counted in elements.

    Attributes:
        storage: that holds the elements.
        offset: of the first one.
        shape: of the array.
        strides: elements between neighbours along each axis.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        """Of the elements in the file."""
        return self.storage.dtype

    def check(self) -> None:
        """Refuses an array that its storage cannot hold, before anything is read.

        Raises:
            ValueError: saying what the file declares.
        """
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or any(
            not isinstance(n, int) or n < 0 for n in numbers
        ):
            raise ValueError(
                f"an array has offset {self.offset!r}, shape {self.shape!r} and "
                f"strides {self.strides!r}, which describe none; the file is damaged."
            )
        size = math.prod(self.shape)
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((n - 1) * stride for n, stride in steps)
        held = self.storage.size
        if size and (last >= held or size > max(held, REPEATED)):
            raise ValueError(
                f"an array of shape {list(self.shape)} is declared over storage "
                f"{self.storage.name!r}, which holds {held:,} elements; the file is "
                "damaged, or was made to exhaust memory."
            )

    def load(self) -> np.ndarray:
        """The array, a copy of its own; floating types as float32 or float64."""
        self.check()
        flat = self.storage.read()
        if flat.dtype == np.float16 or flat.dtype == jnp.bfloat16:
            flat = flat.astype(np.float32)
        if not math.prod(self.shape):
            return np.zeros(self.shape, flat.dtype)
        view = np.lib.stride_tricks.as_strided(
            flat[self.offset :],
            self.shape,
            [n * flat.itemsize for n in self.strides],
            writeable=False,
        )
        return np.array(view)


def contiguous(
    name: str, dtype: np.dtype, shape: tuple[int, ...], read: Callable[[], np.ndarray]
) -> Lazy:
    """An array that has a storage of its own, row by row."""
    strides = [1]
    for n in reversed(shape[1:]):
        strides.append(strides[-1] * n)
    storage = Storage(name, np.dtype(dtype), math.prod(shape), read)
    return Lazy(storage, 0, shape, tuple(reversed(strides[: len(shape)])))


def flattened(value: Any, prefix: str = "") -> dict[str, Lazy]:
    """Arrays in nested mappings and lists by their names, joined by dots.

    What is neither, such as the number of an epoch, is left out.
    """
    found: dict[str, Lazy] = {}
    todo = [(prefix, value)]
    seen: set[int] = set()
    while todo:
        path, item = todo.pop()
        if isinstance(item, Lazy):
            found[path] = item
            continue
        pairs = item.items() if isinstance(item, dict) else enumerate(item)
        if id(item) in seen:  # A pickle may hold itself.
            continue
        seen.add(id(item))
        for key, inner in pairs:
            if isinstance(inner, dict | list | tuple | Lazy):
                todo.append((f"{path}.{key}" if path else str(key), inner))
    return dict(sorted(found.items()))
