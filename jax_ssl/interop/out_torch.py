"""Writing torch's zip files of plain tensors, without torch.

Such a file holds a pickle, `data.pkl`, in which a dictionary names tensors, and the raw
bytes of each under `data/`. The pickle's few opcodes are written by hand here, for
Python's own writer would import torch to look the names up. `torch.load` reads it with
`weights_only=True`.
"""

import math
import zipfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import numpy as np

from jax_ssl.interop.out_safetensors import little

STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
FOLDER = "archive"  # In the zip, as torch calls it where the file has no name.
DATE = (1980, 1, 1, 0, 0, 0)  # The same arrays make the same bytes.


def write_torch(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a state dict.

    Args:
        file: open for writing.
        arrays: by name, each a tensor with a storage of its own.

    Raises:
        ValueError: for a type that torch has not.
    """
    parts = [b"\x80\x02}("]  # Protocol 2, an empty dictionary, a mark.
    for number, (name, array) in enumerate(arrays.items()):
        if array.dtype.name not in STORAGES:
            raise ValueError(f"{name} is of {array.dtype}, which torch has not.")
        parts += [_text(name), _tensor(array, number)]
    parts.append(b"u.")  # Set the items since the mark; stop.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def put(name: str, data: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(f"{FOLDER}/{name}", DATE), data)

        put("data.pkl", b"".join(parts))
        put("byteorder", b"little")
        for number, array in enumerate(arrays.values()):
            put(f"data/{number}", little(array))
        put("version", b"3\n")


def _tensor(array: np.ndarray, number: int) -> bytes:
    """The call that makes a tensor of a storage, as torch's own writer says it."""
    steps = [math.prod(array.shape[i + 1 :]) for i in range(array.ndim)]
    storage = (
        _text("storage")
        + _global("torch", STORAGES[array.dtype.name])
        + _text(str(number))
        + _text("cpu")
        + _integer(array.size)
    )
    return (
        _global("torch._utils", "_rebuild_tensor_v2")
        + b"(("  # Two marks: of the arguments, of the storage's name.
        + storage
        + b"tQ"  # A tuple; the reader finds the storage by it.
        + _integer(0)
        + _tuple(array.shape)
        + _tuple(steps)
        + b"\x89"  # False: it needs no gradient.
        + _global("collections", "OrderedDict")
        + b")R"  # Called without arguments: no hooks.
        + b"tR"  # The arguments; the call.
    )


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _integer(value: int) -> bytes:
    if value < 2**31:
        return b"J" + value.to_bytes(4, "little")
    return b"\x8a\x08" + value.to_bytes(8, "little")


def _tuple(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"
