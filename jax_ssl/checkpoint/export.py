"""An encoder's variables as one portable file: arrays by name, and a card.

The file is a NumPy `.npz` archive. Each array lies under its "/"-joined name, such as
"params/stem/conv/kernel"; the entry "card" is a JSON text saying what the encoder is
and what it must be fed. `numpy.load(path)` alone reads it. NumPy has no bfloat16, so
arrays of such types are stored as unsigned integers of the same bits, their true types
being listed under "dtypes" in the card. Of the same names and arrays may be a
safetensors file, whose metadata hold the card.
"""

import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from jax_ssl import __version__
from jax_ssl.checkpoint.names import by_name, describe_differences, shape_text
from jax_ssl.checkpoint.run_folder import json_value, replacing
from jax_ssl.core.trees import count
from jax_ssl.core.types import Variables
from jax_ssl.interop.safetensors import (
    is_safetensors,
    read_metadata,
    read_safetensors,
)

FORMAT = 1
CARD = "card"
# What is computed, and so never given.
ADDED = ("format", "library", "parameters", "dtypes", "sha256")
_REMEDY = (
    "Export it again, or make an encoder of weights of another library with jax-ssl "
    "import."
)


def export_encoder(
    path: str | os.PathLike[str], variables: Variables, card: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes `variables` and their card to one file, atomically.

    All processes call it; the first alone writes.

    Args:
        path: the file, by custom ending in ".npz".
        variables: linen variables of the encoder, {"params": ..., ...}.
        card: JSON values; by custom "encoder" (name and settings), "input" (size,
            channels, range, mean, std), "method" and "step". "format", "library",
            "parameters" (scalars in "params"), "dtypes" and "sha256" are added.

    Returns:
        The whole card.

    Raises:
        ValueError: if there is nothing to export, or the card gives an added entry.
    """
    arrays = {name: _on_host(leaf) for name, leaf in by_name(variables).items()}
    if not arrays or CARD in arrays:
        raise ValueError(
            f"cannot export variables named {sorted(arrays)}; pass linen variables, "
            '{"params": ...}.'
        )
    added = {
        "format": FORMAT,
        "library": __version__,
        "parameters": count(variables.get("params", ())),
        "dtypes": {
            name: array.dtype.name
            for name, array in arrays.items()
            if not _native(array.dtype)
        },
        "sha256": digest(arrays),
    }
    if clash := sorted(added.keys() & card.keys()):
        raise ValueError(f"the card may not give {clash}; these entries are computed.")
    whole = json_value({**added, **card})
    if jax.process_index() == 0:
        entries: dict[str, Any] = {n: _bits(array) for n, array in arrays.items()}
        entries[CARD] = np.asarray(json.dumps(whole, indent=2, allow_nan=False))
        with replacing(path) as file:
            np.savez(file, **entries)
    return whole


def load_encoder(path: str | os.PathLike[str]) -> tuple[Variables, dict[str, Any]]:
    """Reads what `export_encoder` wrote, or `jax-ssl export --to=safetensors`.

    Returns:
        Variables as nested dictionaries of NumPy arrays, and the card.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no exported encoder, of another format, or damaged.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        raise FileNotFoundError(
            f"{name} is a folder and no exported encoder; name the file, which in a "
            f"finished run is {os.path.join(name, 'export', 'encoder.npz')}."
        )
    if not os.path.isfile(name):
        raise FileNotFoundError(
            f"there is no exported encoder {name}; make it with jax-ssl export."
        )
    of_safetensors = is_safetensors(pathlib.Path(name))
    if not of_safetensors and not zipfile.is_zipfile(name):
        # NumPy would take it for a pickle, and say how to run it.
        raise ValueError(
            f"{name} is no exported encoder, which is an .npz file, or it is cut "
            f"short. {_REMEDY}"
        )
    try:
        if of_safetensors:
            card, arrays = _of_safetensors(pathlib.Path(name))
        else:
            with np.load(name, allow_pickle=False) as archive:
                card = json.loads(str(archive[CARD]))
                arrays = {key: archive[key] for key in archive.files if key != CARD}
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
        said = str(error.args[0] if isinstance(error, KeyError) else error)
        raise ValueError(
            f"{name} is no exported encoder, or is damaged: {said.rstrip('.')}. "
            f"{_REMEDY}"
        ) from error
    if not isinstance(card, dict):
        raise ValueError(f"{name} has a card that is no JSON object. {_REMEDY}")
    if card.get("format") != FORMAT:
        raise ValueError(
            f"{name} has format {card.get('format')!r}, and this version reads "
            f"{FORMAT}; read it with jax_ssl {card.get('library')}."
        )
    for key in arrays.keys() & card["dtypes"].keys():
        arrays[key] = arrays[key].view(jax.numpy.dtype(card["dtypes"][key]))
    found = digest(arrays)
    if found != card["sha256"]:
        raise ValueError(
            f"the arrays of {name} have the SHA-256 {found}, not {card['sha256']} as "
            "its card says: the file is damaged or was changed. Export it again."
        )
    return unflatten_dict(arrays, sep="/"), card


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Whether a file has a card, as `load_encoder` reads it.

    Raises:
        ValueError: if it is a safetensors file, and damaged.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        return False
    if is_safetensors(file):
        return CARD in read_metadata(file)
    try:
        with zipfile.ZipFile(file) as archive:
            return f"{CARD}.npy" in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def rewrite(
    path: str | os.PathLike[str], variables: Variables, card: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes again what `load_encoder` has read; see `export_encoder`."""
    given = {name: value for name, value in card.items() if name not in ADDED}
    return export_encoder(path, variables, given)


def check_structure(abstract: Variables, variables: Variables) -> None:
    """Refuses variables that are not those of an encoder; dtypes may differ.

    Args:
        abstract: the encoder's own, e.g. by `jax.eval_shape` of its `init`.
        variables: what is to be used with it.

    Raises:
        ValueError: naming what is missing, unexpected and of another shape.
    """
    lines = describe_differences(by_name(abstract), by_name(variables), shape_text)
    if lines:
        listed = "\n  ".join(lines)
        raise ValueError(
            f"the variables are not this encoder's:\n  {listed}\nBuild the encoder "
            "with the settings on the card of the file."
        )


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256, in hex, of all names, dtypes, shapes and bytes in the order of names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        shape = ",".join(map(str, array.shape))
        total.update(f"{name}\n{array.dtype.name}\n{shape}\n".encode())
        total.update(np.ascontiguousarray(_bits(array)).tobytes())
    return total.hexdigest()


def _of_safetensors(path: pathlib.Path) -> tuple[Any, dict[str, np.ndarray]]:
    card = json.loads(read_metadata(path)[CARD])
    lazy = read_safetensors(path)
    # Not by its `load`, which widens.
    found = {n: one.storage.read().reshape(one.shape).copy() for n, one in lazy.items()}
    return card, found


def _on_host(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        from jax.experimental import multihost_utils

        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(leaf)


def _native(dtype: np.dtype) -> bool:
    return dtype.isbuiltin == 1


def _bits(array: np.ndarray) -> np.ndarray:
    return array if _native(array.dtype) else array.view(f"u{array.dtype.itemsize}")
