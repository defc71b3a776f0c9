"""Where the members of tar files lie, and which shards a pattern stands for."""

import functools
import glob
import itertools
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from jax_ssl.data.images import open_file
from jax_ssl.data.places import (
    is_file,
    is_folder,
    mark_of,
    matching,
    names_in,
    plain,
    reading,
    remote,
)
from jax_ssl.data.scans import kept
from jax_ssl.data.source import absent

_BLOCK = 512
_MOST = 100_000  # Shards that a pattern may stand for.
_LONGEST = 2**16  # Bytes of a member that is a label.
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


class Member(NamedTuple):
    """A file in a tar file.

    Attributes:
        key: its path up to the first dot of its name, which a sample's members share.
        suffix: what follows that dot, in lower case, such as "jpg" or "seg.png".
        offset: of its first byte in the tar file.
        size: in bytes.
        said: the label that it is, a number or a word; None of others.
    """

    key: str
    suffix: str
    offset: int
    size: int
    said: int | str | None = None


def shards_of(path: str, split: str) -> tuple[str, ...]:
    """The tar files that a path stands for.

    Args:
        path: a tar file, a folder of them, or a pattern with {0000..0003}, {a,b}, * or
            ? in it, and perhaps {split}; here or in a bucket.
        split: takes the place of {split}; in a folder it is the sub-folder, or without
            one the beginning of the names.

    Returns:
        Their paths, in the order of the pattern, those of one * in alphabetical order.

    Raises:
        FileNotFoundError: if there is none, or one of a range is missing.
        ValueError: for a pattern that cannot be.
    """
    path = plain(path)
    if "{split}" in path:
        if not split:
            raise ValueError(
                f"data.path = {path!r} has {{split}} in it; set data.split to the word "
                "that takes its place."
            )
        path, split = path.replace("{split}", split), ""
    if not glob.has_magic(path) and "{" not in path and is_folder(path):
        return _in_folder(path, split)
    if split:
        raise ValueError(
            f"data.split = {split!r} has no place in data.path = {path!r}, which is no "
            "folder; write {split} where it belongs, or leave data.split empty."
        )
    if not remote(path) and os.path.isfile(path):  # Whatever characters it has.
        return (path,)
    names = list(itertools.islice(_expanded(path), _MOST + 1))
    if len(names) > _MOST:
        raise ValueError(f"data.path = {path!r} stands for more than {_MOST} files.")
    found = list[str]()
    for name in names:
        if not glob.has_magic(name):
            found.append(name)
        elif here := matching(name):
            found += here
        else:
            raise FileNotFoundError(f"data.path: no file matches {name!r}.")
    with ThreadPoolExecutor(16) as pool:
        there = list(pool.map(is_file, found))
    if missing := [file for file, is_ in zip(found, there, strict=True) if not is_]:
        if len(found) == 1:
            raise FileNotFoundError(absent("data.path", path, "file"))
        raise FileNotFoundError(
            f"data.path = {path!r}: {len(missing)} of the {len(found)} shards are not "
            f"there, such as {missing[0]!r}."
        )
    return tuple(dict.fromkeys(found))


def _in_folder(path: str, split: str) -> tuple[str, ...]:
    below = os.path.join(path, split)
    root, begin = (below, "") if is_folder(below) else (path, split)
    names = [name for name in names_in(root) if name.lower().endswith(".tar")]
    chosen = [name for name in names if name.startswith(begin)]
    if not chosen:
        there = f", but {len(names)} others, such as {names[0]}" if names else ""
        what = f"no tar file whose name begins with {begin!r}" if begin else "no .tar"
        raise FileNotFoundError(f"data.path = {root!r} holds {what}{there}.")
    return tuple(os.path.join(root, name) for name in chosen)


def _expanded(pattern: str) -> Iterator[str]:
    """What a pattern with braces stands for, as the shell says it.

    Raises:
        ValueError: for braces that hold neither a range nor a list.
    """
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        yield pattern
        return
    inside = found[1]
    if ends := re.fullmatch(r"(\d+)\.\.(\d+)", inside):
        first, last = ends[1], ends[2]
        padded = any(end[0] == "0" and len(end) > 1 for end in (first, last))
        width = max(len(first), len(last)) if padded else 0
        words: Any = (f"{i:0{width}}" for i in range(int(first), int(last) + 1))
        count = int(last) - int(first) + 1
        if not 1 <= count <= _MOST:
            what = "counts down" if count < 1 else f"is more than {_MOST} files"
            raise ValueError(f"data.path = {pattern!r}: {found[0]} {what}.")
    elif "," in inside:
        words = inside.split(",")
    else:
        raise ValueError(
            f"data.path = {pattern!r}: {found[0]} is neither a range, such as "
            "{0000..0003}, nor a list, such as {a,b}."
        )
    for word in words:
        yield from _expanded(pattern[: found.start()] + word + pattern[found.end() :])


def members_of(path: str, label: str = "none", label_key: str = "") -> list[Member]:
    """The members of a tar file that have a suffix, in their order.

    Folders, links, names that begin with a dot and WebDataset's own members, such as
    __meta__, are left out. The first scan is kept for the next time.

    Args:
        path: the tar file.
        label: suffix of the members that are read for what they say, "none" for none.
        label_key: of JSON, what is the label.

    Raises:
        ValueError: if it is no tar file, is compressed, damaged or ends too early, or a
            label cannot be read, naming the file and the member.
    """
    mark = mark_of(path)
    scan = functools.partial(_scan, path, label, label_key)
    place = path if remote(path) else os.path.realpath(path)
    # Without a time nothing would tell that it has changed.
    found = kept(["tar", place, *mark, label, label_key], scan) if mark[1] else scan()
    return [Member(*each) for each in found]


def _scan(path: str, label: str, label_key: str) -> list[list[Any]]:
    found = []
    with reading(path) if remote(path) else open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_BLOCK)
        file.seek(0)
        for begin, name in _PACKED.items():
            if head.startswith(begin):
                raise ValueError(
                    f"{path} is compressed by {name}, so that no member can be read "
                    "without all before it; unpack it into a plain .tar."
                )
        try:
            # It has nothing of its own to close.
            archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115
            for info in archive:
                if info.offset_data + info.size > size:
                    raise tarfile.ReadError(f"it ends inside the member {info.name!r}")
                split = _split(info.name)
                if split is None or not info.isreg() or info.issparse():
                    continue
                key, suffix = split
                said = None
                if suffix == label:
                    where = f"{path}, {info.name}"
                    said = _said(archive, info, label_key, where)
                found.append([key, suffix, info.offset_data, info.size, said])
            file.seek(archive.offset)
            # Python's reader takes a damaged header for the end of the archive.
            if file.read(_BLOCK).strip(b"\0"):
                raise tarfile.ReadError(f"no header of a member at {archive.offset}")
        except tarfile.TarError as error:
            raise ValueError(
                f"{path} is damaged or no tar file: {error}; copy or write it again."
            ) from error
    return found


def _split(name: str) -> tuple[str, str] | None:
    """Key and suffix of a member, as WebDataset has them; None of others."""
    folder, _, base = name.rpartition("/")
    word, dot, suffix = base.partition(".")
    if not dot or not word or not suffix or re.search(r"(^|/)__[^/]*__($|/)", name):
        return None
    return (f"{folder}/{word}" if folder else word), suffix.lower()


def _said(
    archive: tarfile.TarFile, info: tarfile.TarInfo, label_key: str, where: str
) -> int | str:
    """The label that a member is.

    Raises:
        ValueError: if it is neither a whole number nor a word.
    """
    if info.size > _LONGEST:
        raise ValueError(f"{where} has {info.size} bytes, too many for a label.")
    file: Any = archive.extractfile(info)
    try:
        text = file.read().decode("utf-8").strip()
        value = text
        if info.name.lower().endswith(".json"):
            table = json.loads(text)
            if not isinstance(table, dict) or label_key not in table:
                there = sorted(table) if isinstance(table, dict) else "no names"
                raise ValueError(f"there is no {label_key!r} in it, but {there}")
            value = table[label_key]
    except ValueError as error:
        raise ValueError(
            f"{where} is no label: {error}; see data.labels and data.label_key."
        ) from error
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError(
            f"{where} is no label: {value!r} is neither a whole number nor a word; see "
            "data.labels and data.label_key."
        )
    return value


def samples_of(path: str, members: Sequence[Member]) -> dict[str, dict[str, Member]]:
    """Members by the key of their sample, and then by their suffix.

    Raises:
        ValueError: if two have the same name, naming the file and them.
    """
    found: dict[str, dict[str, Member]] = {}
    for member in members:
        sample = found.setdefault(member.key, {})
        if member.suffix in sample:
            raise ValueError(
                f"{path} holds two members {member.key}.{member.suffix}; give each "
                "sample a key of its own."
            )
        sample[member.suffix] = member
    return found
