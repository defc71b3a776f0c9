"""Writing safetensors: a length, a JSON header, and raw little-endian bytes."""

import json
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
ALIGNED = 8  # The arrays begin at a multiple of so many bytes.


def write_safetensors(
    file: BinaryIO,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes arrays by name.

    Args:
        file: open for writing.
        arrays: of any shape; wide types come first, so that all lie aligned.
        metadata: texts by name; the format's "__metadata__".

    Raises:
        ValueError: for a type that the format has not.
    """
    for name, array in arrays.items():
        if array.dtype.name not in NAMES:
            raise ValueError(
                f"{name} is of {array.dtype}, which safetensors files have not; they "
                f"have {', '.join(NAMES)}."
            )
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, object] = {}
    if metadata:
        header["__metadata__"] = dict(metadata)
    at = 0
    for name in order:
        array = arrays[name]
        header[name] = {
            "dtype": NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNED)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        file.write(little(arrays[name]))


def little(array: np.ndarray) -> bytes:
    """The bytes of an array in C order, little-endian."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
