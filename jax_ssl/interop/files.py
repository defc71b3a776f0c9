"""Files of weights of every kind that is read, told by their first bytes."""

import hashlib
import json
import pathlib
import re
import zipfile
from typing import Any, NamedTuple

from jax_ssl.interop.lazy import DAMAGED, Lazy
from jax_ssl.interop.npz import is_npz, read_npz
from jax_ssl.interop.safetensors import is_safetensors, read_safetensors
from jax_ssl.interop.tf_bundle import index_of, read_bundle
from jax_ssl.interop.torch_files import is_legacy, read_legacy, read_zip
from jax_ssl.interop.unpickle import PICKLE, advice, of_byol

# What a folder of the Hugging Face hub holds, the first that is there.
IN_FOLDER = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
SHARD = re.compile(r"-\d{5}-of-(\d{5})\.(?:safetensors|bin)$")
READ = (
    "What is read: safetensors, torch files of state dicts, .npz, and TensorFlow "
    "checkpoints."
)


class Weights(NamedTuple):
    """Arrays of a file, or of a folder, and what lies beside them.

    Attributes:
        arrays: by name, each read when it is asked for.
        files: that were read.
        kind: of the files, in words.
        config: config.json beside the file, as the Hugging Face hub has it; else {}.
        preprocessor: preprocessor_config.json, likewise.
    """

    arrays: dict[str, Lazy]
    files: tuple[pathlib.Path, ...]
    kind: str
    config: dict[str, Any]
    preprocessor: dict[str, Any]


def read_weights(path: str | pathlib.Path) -> Weights:
    """Describes what a file of weights holds, or a folder as of the hub's.

    Raises:
        FileNotFoundError: if there is nothing.
        ValueError: if it is none that is read, or damaged; saying what can be done.
    """
    if re.match(r"[a-z][a-z0-9+.-]+://", str(path)):
        raise ValueError(
            f"{path} is an address, and nothing is fetched here; fetch the file, as by "
            "curl -LO, and import it."
        )
    path = pathlib.Path(path)
    if path.is_dir():
        found = [path / name for name in IN_FOLDER if (path / name).is_file()]
        if not found:
            raise ValueError(
                f"{path} holds none of {', '.join(IN_FOLDER)}; name the file itself."
            )
        path = found[0]
    if (index := index_of(path)) is not None:
        shards = sorted(index.parent.glob(index.name.removesuffix("index") + "data-*"))
        files = (index, *shards)
        return Weights(read_bundle(index), files, "TensorFlow checkpoint", {}, {})
    if not path.is_file():
        on_the_hub = (
            " What has this name on the Hugging Face hub is fetched by hf download "
            f"{path} --local-dir=FOLDER, and FOLDER imported."
        )
        named = re.fullmatch(r"[\w-]+/[\w.-]+", str(path)) and not path.suffix
        raise FileNotFoundError(
            f"there is no file {path} to import.{on_the_hub if named else ''}"
        )
    if (shard := SHARD.search(path.name)) and int(shard[1]) > 1:
        raise ValueError(
            f"{path} is one of {int(shard[1])} files of a network; name the folder "
            "that holds them and their .index.json."
        )
    if path.name.endswith(".index.json"):
        listed = _json(path).get("weight_map")
        if not listed or not isinstance(listed, dict):
            raise ValueError(f"{path} has no weight_map, which names files of weights.")
        names = sorted(set(map(str, listed.values())))
        parts = [path.with_name(pathlib.PurePath(name).name) for name in names]
        if missing := [part.name for part in parts if not part.is_file()]:
            raise FileNotFoundError(f"{path} lists {missing[0]}, which is not there.")
    else:
        parts, listed = [path], {}
    arrays: dict[str, Lazy] = {}
    kind = ""
    for part in parts:
        kind, found_arrays = _read(part)
        arrays |= found_arrays
    if lacking := [name for name in listed if name not in arrays]:
        raise ValueError(
            f"{path} lists {lacking[0]} in {listed[lacking[0]]}, where it is not: the "
            "files are of several versions. Fetch them again."
        )
    beside = (
        _json(path.with_name(name), missing={})
        for name in ("config.json", "preprocessor_config.json")
    )
    return Weights(arrays, tuple(parts), kind, *beside)


def _read(path: pathlib.Path) -> tuple[str, dict[str, Lazy]]:
    with open(path, "rb") as file:
        begin = file.read(64)
    if begin[:4] == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except DAMAGED as error:
            raise ValueError(
                f"{path} is a damaged zip archive, or cut short: {error}. Fetch it "
                "again."
            ) from error
        return ("npz", read_npz(path)) if is_npz(names) else ("torch", read_zip(path))
    if is_legacy(begin):
        return "torch before 1.6", read_legacy(path)
    if is_safetensors(path):
        return "safetensors", read_safetensors(path)
    raise ValueError(f"{path}: {_unknown(path, begin)}")


def _unknown(path: pathlib.Path, begin: bytes) -> str:
    """Why a file is not read, and what can be done."""
    if not begin:
        return f"the file is empty. Fetch it again. {READ}"
    if begin[:1] == b"\x80":
        with open(path, "rb") as file:
            first = file.read(2**16)
        byol = b"byol" in first or b"haiku" in first
        how = of_byol(path) if byol else advice(path, loading=PICKLE)
        return (
            f"a pickle of Python objects, which could run any code, is not read. {how}"
        )
    if begin.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS and not the weights; git lfs pull fetches them."
    if begin.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page and not the weights: the download was refused or moved."
    if begin.startswith(b"\x89HDF"):
        return f"an HDF5 file; save its arrays as .npz by h5py. {READ}"
    if begin.startswith((b"\x1f\x8b", b"BZh", b"7z", b"\xfd7zXZ")):
        return "a compressed archive; unpack it, and import the file of weights in it."
    if path.suffix == ".onnx":
        return f"an ONNX graph; import the weights that it was made of. {READ}"
    return f"no file of weights by its first bytes. {READ}"


def _json(path: pathlib.Path, missing: Any = None) -> dict[str, Any]:
    if not path.is_file() and missing is not None:
        return dict(missing)
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error
    return found if isinstance(found, dict) else {}


def sha256(path: pathlib.Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
