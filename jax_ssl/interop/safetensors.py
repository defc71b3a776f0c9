"""Reading safetensors: a length, a JSON header, and raw little-endian bytes."""

import functools
import json
import math
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_ssl.interop.lazy import Lazy, contiguous

DTYPES: dict[str, Any] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": jnp.bfloat16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
LARGEST_HEADER = 100_000_000  # Bytes, as in the reference implementation.


def is_safetensors(path: pathlib.Path) -> bool:
    """Whether a file begins as one: a length within it, and an opening brace."""
    with open(path, "rb") as file:
        begin = file.read(9)
    length = int.from_bytes(begin[:8], "little")
    return len(begin) == 9 and begin[8:] == b"{" and 2 <= length < 2**48


def read_safetensors(path: pathlib.Path) -> dict[str, Lazy]:
    """Arrays of a file by name; each is read when it is asked for.

    Raises:
        ValueError: if the file is damaged, or holds a type that is not read.
    """
    header, begin = _header(path)
    total = path.stat().st_size
    try:
        entries = {name: entry for name, entry in header.items() if name[:2] != "__"}
        return {
            name: _described(path, name, entry, begin, total)
            for name, entry in sorted(entries.items())
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} has a damaged header ({type(error).__name__}: {error}). Fetch it "
            "again."
        ) from error


def read_metadata(path: pathlib.Path) -> dict[str, str]:
    """Texts by name, which lie beside the arrays; {} if there are none.

    Raises:
        ValueError: if the file is damaged.
    """
    found = _header(path)[0].get("__metadata__")
    return found if isinstance(found, dict) else {}


def _header(path: pathlib.Path) -> tuple[dict[str, Any], int]:
    """What a file says of its arrays, and the byte at which they begin."""
    total = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(total - 8, LARGEST_HEADER):
            raise ValueError(
                f"{path} declares a header of {length:,} bytes and has {total:,} in "
                "all: it is cut short, or no safetensors file. Fetch it again."
            )
        text = file.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} has a damaged header ({error}). Fetch it again."
        ) from error
    if not isinstance(header, dict):
        raise ValueError(f"{path} has a damaged header, no object. Fetch it again.")
    return header, 8 + length


def _described(
    path: pathlib.Path, name: str, entry: dict[str, Any], begin: int, total: int
) -> Lazy:
    if entry["dtype"] not in DTYPES:
        raise ValueError(
            f"{path}: {name} is of type {entry['dtype']}, and what is read is "
            f"{', '.join(DTYPES)}. Convert it to F32 where it was written."
        )
    dtype, shape = np.dtype(DTYPES[entry["dtype"]]), tuple(map(int, entry["shape"]))
    first, last = map(int, entry["data_offsets"])
    wanted = math.prod(shape) * dtype.itemsize
    if min((*shape, first), default=0) < 0 or last - first != wanted:
        raise ValueError(
            f"{path}: {name} of shape {list(shape)} needs {wanted:,} bytes, and its "
            f"offsets span {last - first:,}; the file is damaged."
        )
    if begin + last > total:
        raise ValueError(
            f"{path}: {name} ends at byte {begin + last:,} and the file at {total:,}: "
            "it is cut short. Fetch it again."
        )
    read = functools.partial(_read, path, dtype, math.prod(shape), begin + first)
    return contiguous(name, dtype, shape, read)


def _read(path: pathlib.Path, dtype: np.dtype, count: int, begin: int) -> np.ndarray:
    with open(path, "rb") as file:
        file.seek(begin)
        return np.frombuffer(file.read(count * dtype.itemsize), dtype)
