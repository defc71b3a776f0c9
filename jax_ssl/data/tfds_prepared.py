"""Where a data set that TFDS has prepared lies, and whether all of it is there."""

import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from jax_ssl.data.places import is_folder, names_in, plain, remote
from jax_ssl.data.source import absent

INFO, FEATURES = "dataset_info.json", "features.json"


def find(data_dir: str, dataset: str) -> pathlib.Path:
    """The directory of a prepared data set, of its newest version if none is named."""
    from tensorflow_datasets.core import Version

    data_dir = plain(data_dir)
    root: Any = pathlib.Path(data_dir)
    if remote(data_dir):
        from etils import epath

        root = epath.Path(data_dir)
        if not is_folder(data_dir):
            raise FileNotFoundError(absent("data.data_dir", data_dir, "folder"))
    name, _, version = dataset.partition(":")
    infos = [*root.glob("*/*/dataset_info.json"), *root.glob("*/*/*/dataset_info.json")]
    ready = sorted(i.parent for i in infos if Version.is_valid(i.parent.name))
    # The name of each, or name/config.
    names = {path: path.parent.relative_to(root).as_posix() for path in ready}
    fitting = [
        path
        for path, full in names.items()
        if f"{full}/".startswith(f"{name}/") and version in ("", path.name)
    ]
    if not fitting:
        begun = [*root.glob(f"{name}/*"), *root.glob(f"{name}/*/*")]
        for path in begun:
            if Version.is_valid(path.name) and version in ("", path.name):
                raise FileNotFoundError(
                    f"{path / INFO} is not there. {_again(name, root)}"
                )
        there = ", ".join(f"{full}:{path.name}" for path, full in names.items())
        if not root.is_dir():
            raise FileNotFoundError(absent("data.data_dir", str(root), "folder"))
        raise FileNotFoundError(
            f"no prepared data set {dataset!r} in data.data_dir = {str(root)!r} "
            f"(there: {there or 'none'}). Prepare it once, on any machine: pip install "
            f"tensorflow tensorflow-datasets; tfds build {name} --data_dir={root}"
        )
    configs = sorted({names[path] for path in fitting})
    if len(configs) > 1:
        raise FileNotFoundError(
            f"data.dataset = {dataset!r} has several configurations in {root}; name "
            f"one of {', '.join(configs)}."
        )
    return max(fitting, key=lambda path: Version(path.name))


def _again(name: str, root: Any) -> str:
    """What an incomplete data set means, and what can be done."""
    return (
        "The download or copy of the data set is incomplete: copy what is missing, or "
        f"delete its folder and prepare it again (tfds build {name} --data_dir={root})."
    )


def check_described(directory: Any, dataset: str) -> None:
    """Refuses a prepared directory whose description is not there or cut off.

    Raises:
        FileNotFoundError: naming the file.
        ValueError: naming the file.
    """
    name = dataset.partition(":")[0]
    up = len(pathlib.PurePosixPath(name).parts)
    again = _again(name, directory.parents[up])
    for file in (INFO, FEATURES):
        if not (directory / file).exists():
            old = " (TFDS 3.2.1 and older wrote none)" if file == FEATURES else ""
            raise FileNotFoundError(f"{directory / file} is not there{old}. {again}")
        try:
            json.loads((directory / file).read_text())
        except ValueError as error:
            raise ValueError(
                f"{directory / file} is cut off or damaged ({error}). {again}"
            ) from error


def check_files(parts: Sequence[Any], split: str, directory: Any) -> None:
    """Refuses a split of which files are not there.

    Args:
        parts: the file instructions of TFDS.
        split: as it was asked for.
        directory: that holds the files.

    Raises:
        FileNotFoundError: with their number and the first.
    """
    there = set(names_in(os.fspath(directory)))
    wanted = dict.fromkeys(os.path.basename(part.filename) for part in parts)
    if missing := [name for name in wanted if name not in there]:
        raise FileNotFoundError(
            f"{directory / missing[0]} is not there: {len(missing)} of the "
            f"{len(wanted)} files of data.split = {split!r} are missing, which {INFO} "
            "says there are. The download or copy of the data set is incomplete: copy "
            "what is missing, or delete the folder and prepare it again (tfds build)."
        )


def check_records(parts: Sequence[Any], reader: Callable[[str], Any]) -> None:
    """Refuses array_record files that do not hold what they should.

    Raises:
        ValueError: naming the first.
    """
    for path, count in {
        os.fspath(part.filename): part.examples_in_shard for part in parts
    }.items():
        why = ""
        try:
            if (found := reader(path).num_records()) != count:
                why = f"holds {found} records, but {INFO} says {count}"
        except (RuntimeError, ValueError, AttributeError, TypeError) as error:
            why = f"cannot be read ({str(error).splitlines()[0][:100]})"
        if why:
            raise ValueError(
                f"{path} {why}; it is incomplete or damaged: copy it or prepare the "
                "data set again."
            )
