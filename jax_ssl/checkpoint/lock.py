"""A run's folder has one owner at a time."""

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import TextIO

LOCK = ".lock"

log = logging.getLogger(__name__)


@contextlib.contextmanager
def owned(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Holds a run's folder for the block, which no other process can then write in.

    The file `LOCK` says who holds it. The operating system frees it when its owner
    ends, however that comes, so that the next one takes over what was left behind.

    Raises:
        ValueError: naming the process and the host that hold it.
    """
    path = pathlib.Path(folder) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(_locked(path)) as file:
        if left := file.read():
            log.info("%s was left by %s; taken over", path, _owner(left))
        mine = {"pid": os.getpid(), "host": socket.gethostname()}
        file.seek(0)
        file.truncate()
        file.write(json.dumps(mine))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def refuse_owned(folder: str | os.PathLike[str]) -> None:
    """Refuses a folder that another process holds, without taking it.

    Raises:
        ValueError: naming the process and the host that hold it.
    """
    path = pathlib.Path(folder) / LOCK
    if path.exists():
        _locked(path).close()


def _locked(path: pathlib.Path) -> TextIO:
    while True:
        file = open(path, "a+")  # noqa: SIM115 - the caller closes it.
        file.seek(0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with file:
                owner = _owner(file.read())
            raise ValueError(
                f"{path.parent} belongs to a run that is under way, {owner}; wait for "
                "its end, stop it, or choose another --workdir."
            ) from error
        except OSError:
            log.warning("%s: locks do not work here; start no second run", path)
            return file
        # The owner before may have removed the file between the two calls.
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
        file.close()


def _owner(text: str) -> str:
    try:
        found = json.loads(text)
        return f"process {found['pid']} on {found['host']}"
    except (ValueError, KeyError, TypeError):
        return "a process that did not say its number"
