"""The user's cache folder, for what can be made again."""

import os
import pathlib


def cache_folder(name: str) -> pathlib.Path:
    """The library's folder of that name in the user's cache folder, made if need be.

    The user's is XDG_CACHE_HOME, or ~/.cache.

    Raises:
        OSError: if it cannot be made.
        RuntimeError: if the user has no home.
    """
    told = os.environ.get("XDG_CACHE_HOME")
    caches = pathlib.Path(told) if told else pathlib.Path.home() / ".cache"
    folder = caches / "jax_ssl" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
