"""Reading NumPy archives, as big_vision's and those of Google's vision transformers."""

import functools
import pathlib
import zipfile

import jax.numpy as jnp
import numpy as np
from numpy.lib import format as npy

from jax_ssl.interop.lazy import DAMAGED, Lazy, contiguous


def is_npz(names: list[str]) -> bool:
    """Whether a zip archive's members are NumPy arrays."""
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_npz(path: pathlib.Path) -> dict[str, Lazy]:
    """Arrays of an archive by name, "/" as "."; nothing pickled is read.

    Raises:
        ValueError: if it is damaged, or an entry is no array of numbers.
    """
    found = {}
    with zipfile.ZipFile(path) as archive:
        if "card.npy" in archive.namelist():
            raise ValueError(
                f"{path} has a card, as jax-ssl export and import write it, and needs "
                "no import; name it as --encoder, or as run.init_from."
            )
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            try:
                with archive.open(member) as file:
                    version = npy.read_magic(file)
                    header = (
                        npy.read_array_header_1_0
                        if version == (1, 0)
                        else npy.read_array_header_2_0
                    )
                    shape, _, dtype = header(file)
            except (ValueError, *DAMAGED) as error:
                raise ValueError(f"{path}: {name} is damaged ({error}).") from error
            if dtype == np.dtype("V2"):  # NumPy has no name for bfloat16.
                dtype = np.dtype(jnp.bfloat16)
            elif dtype.kind not in "fiub":
                raise ValueError(
                    f"{path}: {name} is of type {dtype}, and what is read are "
                    "numbers. Save it without Python objects."
                )
            read = functools.partial(_read, path, name, dtype)
            found[name.replace("/", ".")] = contiguous(name, dtype, shape, read)
    return dict(sorted(found.items()))


def _read(path: pathlib.Path, name: str, dtype: np.dtype) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            array = archive[name]
    except (ValueError, *DAMAGED) as error:
        raise ValueError(f"{path}: {name} is damaged ({error}).") from error
    return array.view(dtype).reshape(-1) if array.size else array.reshape(-1)
