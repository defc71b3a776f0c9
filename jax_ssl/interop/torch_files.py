"""Reading torch's files: zip archives (1.6 and later) and the pickles before them."""

import functools
import io
import pathlib
import zipfile
from typing import Any

import numpy as np

from jax_ssl.interop.lazy import DAMAGED, Lazy, Storage, flattened
from jax_ssl.interop.unpickle import (
    TORCHSCRIPT,
    HarmError,
    RefusedError,
    advice,
    declared,
    load,
    loads,
)

MAGIC = 0x1950A86A20F9469CFC6C
# A pickle of protocol 2 that begins with the magic number.
LEGACY = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little")


def read_zip(path: pathlib.Path) -> dict[str, Lazy]:
    """Arrays of a zip archive by name, each read when it is asked for.

    Raises:
        ValueError: if it is TorchScript, calls what is not allowed, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry for entry in archive.infolist()}
            found = [n for n in sizes if n.split("/")[1:] == ["data.pkl"]]
            if len(found) != 1:
                raise ValueError(
                    f"{path} is a zip archive, but not of torch: it holds no single "
                    "data.pkl in a folder."
                )
            pickled = found[0]
            root = pickled.removesuffix("data.pkl")
            if any(name.startswith(f"{root}code/") for name in sizes):
                raise ValueError(
                    f"{path} is TorchScript, a program beside its weights, which is "
                    "not run here. " + advice(path, "m.state_dict()", TORCHSCRIPT)
                )
            order = sizes.get(f"{root}byteorder")
            if order and archive.read(order).strip() != b"little":
                raise ValueError(
                    f"{path} was written on a big-endian machine; save it anew on "
                    "another one."
                )
            held = archive.read(_stored(path, sizes[pickled]))
    except DAMAGED as error:
        raise ValueError(
            f"{path} is a damaged zip archive, or cut short: {error}. Fetch it again."
        ) from error

    made: dict[str, Storage] = {}
    # Arrays that share a storage follow each other, as far as they do at all.
    member = functools.lru_cache(maxsize=1)(functools.partial(_member, path))

    def storage(pid: Any) -> Storage:
        dtype, key, count = declared(pid)
        name = f"{root}data/{key}"
        if name not in sizes:
            raise RefusedError(f"it refers to storage {key!r}, which the archive lacks")
        size = _stored(path, sizes[name]).file_size
        if size < count * dtype.itemsize:
            raise RefusedError(
                f"storage {key!r} declares {count:,} elements and has {size:,} bytes"
            )
        read = functools.partial(member, name, dtype, count)
        return made.setdefault(key, Storage(key, dtype, count, read))

    return _named(path, _guarded(path, functools.partial(loads, held, storage)))


def read_legacy(path: pathlib.Path) -> dict[str, Lazy]:
    """Arrays of a file that torch wrote before 1.6, by name.

    Raises:
        ValueError: if it calls what is not allowed, or is damaged.
    """
    places: dict[str, tuple[int, int]] = {}  # Of each storage: first byte, elements.
    dtypes: dict[str, tuple[np.dtype, int]] = {}

    def storage(pid: Any) -> Storage:
        dtype, key, count = declared(pid)
        if len(pid) > 5 and pid[5] is not None:
            raise RefusedError(
                "it has views of storages, as torch wrote before 0.4; load it and "
                "save it anew"
            )
        dtypes[key] = dtype, count

        def read() -> np.ndarray:
            begin, held = places[key]
            with open(path, "rb") as file:
                file.seek(begin)
                return np.frombuffer(file.read(held * dtype.itemsize), dtype)

        return Storage(key, dtype, count, read)

    def whole() -> Any:
        total = path.stat().st_size
        with open(path, "rb") as file:
            _ = load(file), load(file)  # The magic number and the protocol.
            if load(file).get("little_endian") is False:
                raise RefusedError("it was written on a big-endian machine")
            content = load(file, storage)
            for key in load(file):
                dtype, count = dtypes[str(key)]
                held = int.from_bytes(file.read(8), "little")
                begin = file.tell()
                end = begin + held * dtype.itemsize
                if held != count or end > total:
                    raise ValueError(
                        f"storage {key!r} of {count:,} elements ends at byte {end:,} "
                        f"and the file at {total:,}: it is cut short or damaged"
                    )
                places[str(key)] = begin, held
                file.seek(end)
        if missing := sorted(dtypes.keys() - places.keys()):
            raise ValueError(f"storage {missing[0]!r} is missing: it is cut short")
        return content

    return _named(path, _guarded(path, whole))


def is_legacy(begin: bytes) -> bool:
    """Whether a file's first 16 bytes are those of such a file."""
    return begin[: len(LEGACY)] == LEGACY


def _guarded(path: pathlib.Path, read: Any) -> Any:
    """What `read` returns; an error says which file it is of."""
    try:
        return read()
    except HarmError as error:
        raise ValueError(
            f"{path} is refused: {error}. Do not load it elsewhere either, and tell "
            "those who gave it to you."
        ) from error
    except RefusedError as error:
        raise ValueError(f"{path} is refused: {error}. {advice(path)}") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        said = str(error) if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{path}: {said}. Fetch it again.") from error


def _named(path: pathlib.Path, content: Any) -> dict[str, Lazy]:
    found = flattened(content) if isinstance(content, dict | list | tuple) else {}
    if not found:
        raise ValueError(
            f"{path} holds no arrays by name, but a {type(content).__name__}; save a "
            "state_dict()."
        )
    for name, array in found.items():
        try:
            array.check()
        except ValueError as error:
            raise ValueError(f"{path}, {name}: {error}") from error
    return found


def _stored(path: pathlib.Path, entry: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """An entry, if it is not compressed, as torch's never are.

    Raises:
        ValueError: naming it, for unpacking could fill any memory.
    """
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(
            f"{path}: {entry.filename} is compressed, which torch never does; unpack "
            "the archive that holds the weights, and import the file in it."
        )
    return entry


def _member(path: pathlib.Path, name: str, dtype: np.dtype, count: int) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive:
            data = archive.read(name)
    except (*DAMAGED, io.UnsupportedOperation) as error:
        raise ValueError(f"{path}: {name} is damaged ({error}).") from error
    return np.frombuffer(data, dtype, count)
