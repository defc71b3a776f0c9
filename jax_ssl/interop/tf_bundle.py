"""Reading TensorFlow's checkpoints without TensorFlow: NAME.index and NAME.data-….

The index is a table of sorted keys in LevelDB's format, whose values are small protocol
buffers that say where in which data file an array lies.
"""

import functools
import math
import pathlib
import re
from collections.abc import Iterator

import numpy as np

from jax_ssl.interop.lazy import Lazy, contiguous

FOOTER_MAGIC = 0xDB4775248B80FB57
# Of tensorflow.DataType, by number.
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?"}
DTYPES |= {19: "<f2"}


def index_of(path: pathlib.Path) -> pathlib.Path | None:
    """The index of the checkpoint that a path names, by any of its files or none."""
    stem = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path.name)
    index = path.with_name(f"{stem}.index")
    return index if index.is_file() else None


def read_bundle(index: pathlib.Path) -> dict[str, Lazy]:
    """Arrays of a checkpoint by name, "/" as ".".

    Raises:
        ValueError: if it is damaged, or written in a way that is not read.
    """
    data = index.read_bytes()
    try:
        if int.from_bytes(data[-8:], "little") != FOOTER_MAGIC:
            raise ValueError("it does not end as an index does")
        place = len(data) - 48
        _, place = _handle(data, place)  # Of the meta index, which holds nothing.
        top, _ = _handle(data, place)
        entries = {
            key.decode(): value
            for _, handle in _block(data, *top)
            for key, value in _block(data, *_handle(handle, 0)[0])
        }
        shards = _fields(entries.pop("")).get(1, [1])[0]
        found = {
            name.replace("/", "."): lazy
            for name, entry in sorted(entries.items())
            if (lazy := _array(index, name, entry, shards)) is not None
        }
    except (IndexError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{index} is not read without TensorFlow ({error}). Write its variables "
            "with it as numpy.savez(FILE, **{name: tf.train.load_variable(CHECKPOINT, "
            "name)}), and import that .npz."
        ) from error
    return found


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number has too many bytes")


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    begin, place = _varint(data, place)
    size, place = _varint(data, place)
    return (begin, size), place


def _block(data: bytes, begin: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block, each key sharing bytes with the one before."""
    if begin + size + 5 > len(data):
        raise ValueError("it is cut short")
    if data[begin + size] != 0:
        raise ValueError("its blocks are compressed")
    block = data[begin : begin + size]
    restarts = int.from_bytes(block[-4:], "little")
    place, end, key = 0, size - 4 - 4 * restarts, b""
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + own]
        place += own
        yield key, block[place : place + length]
        place += length


def _fields(message: bytes) -> dict[int, list]:
    """Fields of a protocol buffer by number: integers, and bytes undecoded."""
    found: dict[int, list] = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind, value = tag & 7, None  # type: tuple[int, int | bytes | None]
        if kind == 0:
            value, place = _varint(message, place)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, place = _varint(message, place)
            value = message[place : place + size]
            place += size
        found.setdefault(tag >> 3, []).append(value)
    return found


def _array(index: pathlib.Path, name: str, entry: bytes, shards: int) -> Lazy | None:
    fields = _fields(entry)
    if fields.get(1, [0])[0] not in DTYPES:
        return None  # A string, such as the graph of the objects.
    if 7 in fields:
        raise ValueError(f"{name} is split into slices")
    dims = [
        _fields(dim).get(1, [0])[0] for dim in _fields(*fields.get(2, [b""])).get(2, [])
    ]
    dtype, shape = np.dtype(DTYPES[fields[1][0]]), tuple(dims)
    shard, begin, size = (fields.get(i, [0])[0] for i in (3, 4, 5))
    stem = index.name.removesuffix(".index")
    path = index.with_name(f"{stem}.data-{shard:05d}-of-{shards:05d}")
    if not path.is_file():
        raise ValueError(f"{path.name}, where {name} lies, is not beside it")
    if size != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} of shape {list(shape)} has {size:,} bytes")
    if begin + size > path.stat().st_size:
        raise ValueError(f"{name} ends behind the end of {path.name}; it is cut short")
    read = functools.partial(_read, path, dtype, begin, size)
    return contiguous(name, dtype, shape, read)


def _read(path: pathlib.Path, dtype: np.dtype, begin: int, size: int) -> np.ndarray:
    with open(path, "rb") as file:
        file.seek(begin)
        return np.frombuffer(file.read(size), dtype)
