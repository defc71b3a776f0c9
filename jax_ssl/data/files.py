"""Files under a folder, by their suffix, and the classes that sub-folders stand for."""

import logging
import os
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import BinaryIO, Literal

import numpy as np

from jax_ssl.core.fields import Field
from jax_ssl.data.images import open_file
from jax_ssl.data.places import (
    files_below,
    is_file,
    is_folder,
    plain,
    remote,
    whole,
)
from jax_ssl.data.source import absent

log = logging.getLogger(__name__)


def folder_of(path: str, split: str) -> tuple[str, str]:
    """The folder that a path and a sub-folder of it are together, and its name.

    Raises:
        FileNotFoundError: if the path is a folder, but has no such sub-folder.
    """
    path = plain(path)
    place = path.rstrip("/") if remote(path) else os.path.abspath(path)
    name = os.path.basename(place) + (f" {split}" if split else "")
    root = os.path.join(path, split).rstrip(os.sep) or os.sep
    if is_folder(path) and not is_folder(root):
        raise FileNotFoundError(
            f"data.split = {split!r} is not a folder in {path!r}; --config.data.split= "
            "reads all of that, --config.evals.test=None is for data without a test "
            "part."
        )
    return root, name


def files_in(root: str, extensions: Sequence[str], what: str) -> tuple[str, ...]:
    """Files of these kinds under a folder, at any depth, in the order of their paths.

    Links are followed, names that begin with a dot are not.

    Args:
        root: the folder, here or in a bucket.
        extensions: that count, in lower case, with the dot.
        what: they hold, for messages.

    Returns:
        Paths relative to the root, "/" between parts, sorted.

    Raises:
        FileNotFoundError: if there is no such folder, or no such file in it.
        ValueError: for a folder inside that cannot be read.
    """
    root = plain(root)
    if not is_folder(root):
        raise FileNotFoundError(absent("data.path", root, "folder"))
    files, others, seen = [], Counter[str](), set()
    special, folders = [], [""]
    if remote(root):
        folders = []
        for name in files_below(root):
            extension = os.path.splitext(name)[1].lower()
            if extension in extensions and not f"/{name}".count("/."):
                files.append(name)
            else:
                others[extension] += 1
    while folders:
        here = folders.pop()
        real = os.path.realpath(os.path.join(root, here))
        if real in seen:  # Links may lead in a circle.
            continue
        seen.add(real)
        try:
            # In order, so that of two ways to one folder the same is always taken.
            inside = sorted(os.scandir(real), key=lambda entry: entry.name)
        except OSError as error:
            raise ValueError(
                f"data.path: {real!r} cannot be read ({error.strerror}); permit it, or "
                "move that folder away."
            ) from error
        below = []
        for entry in inside:
            name = f"{here}{entry.name}"
            extension = os.path.splitext(name)[1].lower()
            hidden, kind = entry.name.startswith("."), _kind(entry)
            if kind == "folder":
                below += [] if hidden else [f"{name}/"]
            elif extension not in extensions or hidden:
                others[extension] += 1
            elif kind == "special":
                special.append(name)
            else:
                files.append(name)
        folders += reversed(below)
    if special:
        log.warning(
            "%s: left out %d that are no files but a FIFO, a device or a socket, such "
            "as %s",
            root,
            len(special),
            special[0],
        )
    if not files and not others:
        raise FileNotFoundError(f"{root!r} holds no {what}: there is no file in it.")
    if not files:
        raise FileNotFoundError(
            f"{root!r} holds no {what}: none of its {others.total()} files ends in one "
            f"of {', '.join(extensions)} (most frequent: {others.most_common(3)})."
        )
    return tuple(sorted(files))


def classes_of(files: Sequence[str], root: str, what: str) -> tuple[np.ndarray, Field]:
    """The folders directly under the root as classes, in alphabetical order.

    Args:
        files: relative to the root.
        root: for messages.
        what: they hold, likewise.

    Returns:
        [N] int32 classes of the files; the field that they are.

    Raises:
        ValueError: if a file lies directly under the root.
    """
    outside = [file for file in files if "/" not in file]
    if outside:
        raise ValueError(
            f"data.labels = 'folders', but {len(outside)} {what}s lie directly in "
            f"{root}, such as {outside[0]!r}; move them into class folders or set "
            "data.labels = 'none'."
        )
    words = [file.split("/", 1)[0] for file in files]
    classes, indices = np.unique(words, return_inverse=True)
    label = indices.astype(np.int32)
    return label, Field("label", (), label.dtype, tuple(classes.tolist()))


def listed_in(path: str, files: Sequence[str]) -> np.ndarray:
    """Rows of the files that a list names, such as one of 1 % of ImageNet.

    Args:
        path: of a text file with a name on each line: a path relative to the root, or
            the last part of one, with or without its suffix.
        files: relative to the root.

    Returns:
        [n] int64, rising.

    Raises:
        FileNotFoundError: if there is no such list.
        ValueError: if it names nothing, or a name is that of no file or of several.
    """
    path = plain(path)
    if not is_file(path):
        raise FileNotFoundError(absent("data.only", path, "file"))
    try:
        data = whole(path) if remote(path) else pathlib.Path(path).read_bytes()
        lines = data.decode("utf-8").splitlines()
        names = list(dict.fromkeys(filter(None, map(str.strip, lines))))
    except UnicodeDecodeError as error:
        raise ValueError(f"data.only = {path!r} is no text file.") from error
    if not names:
        raise ValueError(f"data.only = {path!r} names no file.")
    places: dict[str, list[int]] = {}
    for row, file in enumerate(files):
        short = file.rsplit("/", 1)[-1]
        for word in {file, short, *(os.path.splitext(x)[0] for x in (file, short))}:
            places.setdefault(word, []).append(row)
    for name in names:
        found = len(places.get(name, ()))
        if found != 1:
            lost = sum(len(places.get(each, ())) != 1 for each in names)
            raise ValueError(
                f"data.only = {path!r}: {lost} of its {len(names)} names are not those "
                f"of one file each; {name!r} is that of {found}."
            )
    return np.unique([places[name][0] for name in names])


def known_of(path: str, part: int) -> bytes:
    """What tells a file from another: its size and first MiB, and a part's number.

    Raises:
        OSError: if it cannot be read.
    """
    with open_file(path) as file:
        return known_by(file, part)


def known_by(file: BinaryIO, part: int) -> bytes:
    """What `known_of` says, of a file that is open and can seek."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    said = size.to_bytes(8, "little") + part.to_bytes(8, "little")
    return said + file.read(2**20)


def _kind(entry: os.DirEntry[str]) -> Literal["folder", "file", "special"]:
    """A link to nothing, or in a circle, is a file: reading it says what is wrong."""
    try:
        if entry.is_dir():
            return "folder"
        there = entry.is_file() or not os.path.exists(entry.path)
        return "file" if there else "special"
    except OSError:
        return "file"
