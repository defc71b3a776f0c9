"""Files of a run's folder: atomic writing, JSON, guards of the config and the data."""

import contextlib
import errno
import json
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import jax
import numpy as np
from flax.traverse_util import flatten_dict

CONFIG = "config.json"
DATA = "data.json"
ABSENT = "absent"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of `path` when the block ends well.

    A reader, or a process killed in between, sees the old file or the new one whole.
    """
    path = pathlib.Path(path)
    refuse_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_folder(path: str | os.PathLike[str]) -> None:
    """Refuses a folder where a file is to be written, before the work for it.

    Raises:
        IsADirectoryError: naming it.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", os.fspath(path))


def json_value(value: Any) -> Any:
    """`value` as JSON can say it, recursively.

    NaN and the infinities, which JSON lacks, become the strings "NaN", "Infinity" and
    "-Infinity", all of which Python's `float` reads back; null is left to mean "not
    measured". Arrays and NumPy scalars become numbers and lists, paths strings, keys
    of dictionaries strings.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "-Infinity"[value > 0 :]
    if isinstance(value, (np.generic, np.ndarray, jax.Array)):
        return json_value(np.asarray(value).tolist())
    if isinstance(value, Mapping):
        return {str(name): json_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{value!r} of type {type(value).__name__} has no form in JSON.")


def read_json(path: pathlib.Path, remedy: str) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: if it is damaged, with the remedy.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); {remedy}.") from error


def read_config(folder: str | os.PathLike[str], remedy: str) -> dict[str, Any]:
    """The config of a run, of its folder.

    Folders of other libraries, as `jax-ssl export --to=hf` writes them, have a
    config.json too.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or none of a run, with the remedy.
    """
    path = pathlib.Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no run (no {CONFIG}).")
    found = read_json(path, remedy)
    if not isinstance(found, dict) or not {"method", "run"} <= found.keys():
        raise ValueError(
            f"{folder} holds no run: its {CONFIG} has no sections method and run. Name "
            "the folder that jax-ssl train was given as --workdir."
        )
    return found


def write_json_atomic(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` as indented JSON by one rename; floats as in `json_value`.

    Raises:
        TypeError: if `value` has no form in JSON; the old file then stays.
    """
    text = json.dumps(json_value(value), indent=2, allow_nan=False) + "\n"
    with replacing(path) as file:
        file.write(text.encode())


def config_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lines "section.key: old → new", one for each value that differs, sorted."""
    # An empty section is a value of its own, so that its coming and going shows.
    before, after = (
        flatten_dict(json_value(config), keep_empty_nodes=True, sep=".")
        for config in (old, new)
    )
    return [
        f"{name}: {_shown(before, name)} → {_shown(after, name)}"
        for name in sorted({*before, *after})
        if name not in before or name not in after or before[name] != after[name]
    ]


def check_config(
    folder: str | os.PathLike[str],
    resolved: Mapping[str, Any],
    *,
    may_change: Sequence[str] = (),
    traces: Sequence[str] = (),
    completed: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> list[str]:
    """Refuses to go on in a folder whose run had another config.

    The first run writes `config.json`. A later one must have the same values, except
    under `may_change`, whose changes are written down. A run that left neither a
    record nor a checkpoint binds nobody. Every process may call this; the first alone
    writes.

    Args:
        folder: the run's.
        resolved: the config with every default filled in.
        may_change: dotted keys, or whole sections, that do not touch the result.
        traces: names of files or folders in it that hold nothing until there is a
            record or a checkpoint; () for a run that binds in any case.
        completed: what a config.json of an earlier version says, with the settings that
            came later.

    Returns:
        The changes that were let through, as `config_differences` words them.

    Raises:
        ValueError: naming every other difference, or that config.json is damaged.
    """
    path = pathlib.Path(folder) / CONFIG
    lines: list[str] = []
    if (old := _read(path)) is not None:
        lines = config_differences(completed(old), resolved)
        free = tuple(f"{section}." for section in may_change)
        # A line begins with its dotted name and a colon.
        refused = [x for x in lines if not x.replace(":", ".", 1).startswith(free)]
        fresh = traces and not any(_holds(path.with_name(name)) for name in traces)
        if refused and not fresh:
            listed = "\n  ".join(refused)
            raise ValueError(
                f"{folder} holds a run with other settings:\n  {listed}\nGo back to "
                "its settings to resume it, or start in a new folder. A finished run "
                "is trained for longer by --extend."
            )
    if (lines or not path.exists()) and jax.process_index() == 0:
        write_json_atomic(path, resolved)
    return lines


def _holds(path: pathlib.Path) -> bool:
    """Whether a folder has something in it, or a file a byte."""
    if path.is_dir():
        return any(path.iterdir())
    return path.exists() and path.stat().st_size > 0


def data_of(folder: str | os.PathLike[str], checkpoints: str) -> dict[str, Any]:
    """What data.json says of the examples that a run with checkpoints began with.

    Args:
        folder: the run's.
        checkpoints: name of the folder in it that holds those.

    Returns:
        As `data.identity` makes it; empty if there is none, or nothing to go on from.

    Raises:
        ValueError: if data.json is damaged.
    """
    folder = pathlib.Path(folder)
    steps = (path.name for path in (folder / checkpoints).glob("*"))
    return (any(map(str.isdigit, steps)) and _read(folder / DATA)) or {}


def check_data(
    folder: str | os.PathLike[str],
    began: Mapping[str, Any],
    found: Mapping[str, Any],
    *,
    accept: bool = False,
) -> str:
    """Refuses to go on with other examples than the run began with.

    Every process may call this; the first alone writes data.json.

    Args:
        folder: the run's.
        began: from `data_of`.
        found: the same of the examples that are there now.
        accept: go on with them.

    Returns:
        What is other than it was, in words; "" for nothing.

    Raises:
        ValueError: saying so, and what can be done.
    """
    said, now = "", found["num_examples"]
    if began and began.get("num_examples") != now:
        before = began.get("num_examples")
        said = f"the data set has {now} examples, the run began with {before}"
    elif began and began.get("digest") != found["digest"]:
        said = (
            f"the data set has {now} examples as when the run began, but they are "
            "other ones, or have other names or another order"
        )
    if said and not accept:
        raise ValueError(
            f"{folder}: {said}. Batches, and what a method keeps of every example, go "
            "by the row, which would mean another example now. Restore the data, start "
            "in a new folder, or go on with --config.run.accept_changed_data=True."
        )
    if found != began and jax.process_index() == 0:
        write_json_atomic(pathlib.Path(folder) / DATA, found)
    return said


def _read(path: pathlib.Path) -> Any:
    """The content of a JSON file, None where there is none.

    Raises:
        ValueError: if it is damaged.
    """
    if not path.exists():
        return None
    return read_json(path, "restore it, or start in a new folder")


def _shown(flat: Mapping[str, Any], name: str) -> str:
    # `vars` of the marker of an empty section is {}.
    return json.dumps(flat[name], default=vars) if name in flat else ABSENT
