"""Reading a pickle of arrays without executing it.

A pickle is a program: it may name any function of any module and call it. Here a name
is looked up in a short list, all of whose functions only describe arrays, and every
other one is refused before anything is called.
"""

import collections
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_ssl.interop.lazy import Lazy, Storage

STORAGES: Mapping[str, np.dtype] = {
    name: np.dtype(dtype)
    for name, dtype in {
        "FloatStorage": "<f4",
        "HalfStorage": "<f2",
        "BFloat16Storage": jnp.bfloat16,
        "DoubleStorage": "<f8",
        "LongStorage": "<i8",
        "IntStorage": "<i4",
        "ShortStorage": "<i2",
        "CharStorage": "i1",
        "ByteStorage": "u1",
        "BoolStorage": "?",
    }.items()
}
TORCH = "torch.load(PATH, map_location='cpu', weights_only=False)"
# A whole module would be refused again.
ARRAYS = "m.state_dict() if hasattr(m, 'state_dict') else m"
TORCHSCRIPT = "torch.jit.load(PATH, map_location='cpu')"
PICKLE = "__import__('pickle').load(open(PATH, 'rb'))"


# BYOL's checkpoints, as its program reads them; each array by the path of its module.
BYOL = (
    "import dill, numpy; s = dill.load(open(PATH, 'rb'))['experiment_state']; "
    "numpy.savez('byol.npz', **{m + '/' + n: a for t in (s.online_params, "
    "s.online_state) for m in t for n, a in t[m].items()})"
)


class RefusedError(ValueError):
    """A pickle that names what may not be called."""


class HarmError(RefusedError):
    """One that names what only an attack would call."""


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Lazy:
    del rest  # Whether it learns, and hooks.
    if not isinstance(storage, Storage):
        raise RefusedError(
            f"an array is declared over {storage!r}, which is no storage"
        )
    return Lazy(storage, offset, tuple(size), tuple(stride))


MAKERS: Mapping[str, Callable[..., Any]] = {
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_parameter": lambda data, *rest: data,
    "Size": lambda numbers: tuple(numbers),
    "device": lambda *place: None,
}


class Maker(NamedTuple):
    """Stands for a function; a tuple, which no pickle can change for the next one."""

    name: str

    def __call__(self, *arguments: Any) -> Any:
        """What the function describes."""
        return MAKERS[self.name](*arguments)


# A type of storage is only ever an argument, and stays a word.
ALLOWED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): Maker("_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"): Maker("_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"): Maker("_rebuild_parameter"),
    ("torch", "Size"): Maker("Size"),
    ("torch", "device"): Maker("device"),
    **{("torch", name): name for name in STORAGES},
}
# Modules that run commands, code or other pickles, or reach files and the network.
HARMFUL = {
    *("os", "posix", "nt", "sys", "subprocess", "runpy"),
    *("shutil", "socket", "ctypes", "importlib", "pickle", "_pickle", "webbrowser"),
    *("commands", "pty", "code", "timeit", "marshal", "urllib", "requests", "pip"),
}
BUILT_IN = {"builtins", "__builtin__"}
RUNNING = {"eval", "exec", "execfile", "compile", "getattr", "open", "__import__"}
# Full checkpoints hold the command line that they were trained with.
NAMESPACE = ("argparse", "Namespace")


class Reader(pickle.Unpickler):
    """An unpickler that calls nothing but what `ALLOWED` holds.

    Args:
        file: that the pickle is read from.
        storage: makes a `Storage` of what the pickle says of one.
    """

    def __init__(self, file: Any, storage: Callable[[Any], Any] | None = None) -> None:
        super().__init__(file, encoding="latin1")
        self.storage = storage
        # One of its own, so that what is done to the class ends with this file.
        self.namespace = type("Namespace", (), {})

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name.

        Raises:
            RefusedError: naming it, if there is none.
        """
        if (module, name) == NAMESPACE:
            return self.namespace
        within = module.split(".")[0]
        if within in HARMFUL or (within in BUILT_IN and name in RUNNING):
            raise HarmError(
                f"it calls {module}.{name}, which has no place in a file of weights"
            )
        if (module, name) not in ALLOWED:
            raise RefusedError(f"it calls {module}.{name}, which is not run here")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """The storage that the pickle refers to."""
        if self.storage is None:
            raise RefusedError(f"it refers to {pid!r} outside of the pickle")
        return self.storage(pid)


def declared(pid: Any) -> tuple[np.dtype, str, int]:
    """Type, key and number of elements of a storage, of what a pickle says of it.

    Raises:
        RefusedError: if that is no storage.
    """
    try:
        word, dtype, key, _, count = pid[:5]
        if word == "storage" and int(count) >= 0:
            return STORAGES[dtype], str(key), int(count)
    except (TypeError, ValueError, IndexError, KeyError):
        pass
    raise RefusedError(
        f"it refers to {str(pid)[:80]!r}, which is no storage of numbers"
    )


def loads(data: bytes, storage: Callable[[Any], Any] | None = None) -> Any:
    """What a pickle in memory holds; see `load`."""
    return load(io.BytesIO(data), storage)


def load(file: Any, storage: Callable[[Any], Any] | None = None) -> Any:
    """What the next pickle of a file holds, arrays as `Lazy`.

    Raises:
        RefusedError: if it would call something else.
        ValueError: if it is damaged.
    """
    try:
        return Reader(file, storage).load()
    except RefusedError:
        raise
    except RecursionError as error:
        raise ValueError("its pickle is nested too deeply") from error
    except Exception as error:
        # A damaged pickle fails in any way; nothing of it has run.
        raise ValueError(
            f"its pickle is damaged or cut short ({type(error).__name__}: {error})"
        ) from error


def of_byol(path: Any) -> str:
    """How a user turns a checkpoint of BYOL's program into one of arrays alone."""
    code = BYOL.replace("PATH", repr(str(path)))
    return (
        "It is a checkpoint of BYOL's program: convert it where that program (its "
        "folder byol, dill, Haiku and their JAX) is installed, if you trust its "
        f'source, and import byol.npz: python -c "{code}"'
    )


def advice(path: Any, how: str = ARRAYS, loading: str = TORCH) -> str:
    """How a user turns a file into one of arrays alone, if its source is trusted.

    Args:
        path: of the file.
        how: the arrays by name, in terms of what was loaded, `m`.
        loading: the expression that loads it.
    """
    loaded = loading.replace("PATH", repr(str(path)))
    return (
        "Convert it where torch and its own code are installed, if you trust its "
        f'source, and import weights.pth: python -c "import torch; m = {loaded}; '
        f"torch.save({how}, 'weights.pth')\""
    )
